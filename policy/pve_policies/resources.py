"""Type tokens of the resources that rules judge, as the engine sees them."""

DESIGN = "nested-pve-ha:index:Design"
HOST_PREP = "nested-pve-ha:index:HostPrep"
NESTED_PVE_NODE = "nested-pve-ha:index:NestedPveNode"
COROSYNC_CLUSTER = "nested-pve-ha:index:CorosyncCluster"

PROVIDER = "pulumi:providers:proxmoxve"
VM = "proxmoxve:index/vmLegacy:VmLegacy"
VMS = (VM, "proxmoxve:index/vm:Vm", "proxmoxve:index/vm2Legacy:Vm2Legacy")
CONTAINER = "proxmoxve:index/containerLegacy:ContainerLegacy"
CLONED_VM = "proxmoxve:cloned/vm:Vm"
HA_RULE = "proxmoxve:index/harule:Harule"
HA_RULES = (HA_RULE, "proxmoxve:index/haruleLegacy:HaruleLegacy")
HA_GROUP = "proxmoxve:index/hagroup:Hagroup"
HA_GROUPS = (HA_GROUP, "proxmoxve:index/hagroupLegacy:HagroupLegacy")
HA_RESOURCE = "proxmoxve:index/haresource:Haresource"
HA_RESOURCES = (HA_RESOURCE, "proxmoxve:index/haresourceLegacy:HaresourceLegacy")
REPOSITORY = "proxmoxve:apt/standard/repository:Repository"
REPOSITORIES = (REPOSITORY, "proxmoxve:apt/standard/repositoryLegacy:RepositoryLegacy")
STORAGE = "proxmoxve:storage/nfs:Nfs"
STORAGES = tuple(
    f"proxmoxve:storage/{kind[0].lower()}{kind[1:]}{legacy}:{kind}{legacy}"
    for kind in ("Cifs", "Directory", "Lvm", "Lvmthin", "Nfs", "Pbs", "Zfspool")
    for legacy in ("", "Legacy")
)
REMOTE_COMMAND = "command:remote:Command"
REMOTE = (REMOTE_COMMAND, "command:remote:CopyToRemote", "command:remote:CopyFile")
