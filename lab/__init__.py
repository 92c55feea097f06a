"""The lab: an isolated world of an administrator's place, an outer host and its nodes, on one Linux machine.

See lab/README.md for what is real in it and what stands in for Proxmox.
"""
