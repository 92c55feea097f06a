"""What stands in for Proxmox VE on a machine of the lab."""
