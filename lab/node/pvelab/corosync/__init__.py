"""Corosync as Proxmox VE uses it: configuration model, checks, and the running daemon's view."""
