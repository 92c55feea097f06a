"""Type tokens of the resources that rules judge, as the engine sees them."""

DESIGN = "nested-pve-ha:index:Design"
HOST_PREP = "nested-pve-ha:index:HostPrep"
NESTED_PVE_NODE = "nested-pve-ha:index:NestedPveNode"
COROSYNC_CLUSTER = "nested-pve-ha:index:CorosyncCluster"
VM = "proxmoxve:index/vmLegacy:VmLegacy"
