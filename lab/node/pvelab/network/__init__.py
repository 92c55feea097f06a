"""A node's network configuration, as Proxmox's API edits it."""
