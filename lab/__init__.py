"""The lab: an isolated world of a control machine, an outer host and its nodes, on one Linux machine.

See lab/README.md for what is real in it and what stands in for Proxmox.
"""
