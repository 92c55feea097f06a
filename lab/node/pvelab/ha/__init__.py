"""Stand-in for Proxmox' HA manager: what the cluster resource manager (CRM) decides and the local ones (LRM) do.

The decisions see the world only through `environment.Environment`, so that the tests run them in a simulated
cluster with a virtual clock. All durations are Proxmox' own, in seconds; a lab's environment scales them.
"""
