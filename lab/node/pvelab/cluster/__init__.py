"""Forming, joining and leaving a cluster, as Proxmox' pve-cluster does it."""
