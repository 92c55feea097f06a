"""Stand-in for pmxcfs, Proxmox' cluster file system on /etc/pve.

The real one replicates a database through corosync. Here the members of a cluster share one directory of the
lab; what makes a node follow the cluster is real: corosync's quorum decides whether /etc/pve may be written.
"""
