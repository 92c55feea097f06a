"""What the change of each value of a design means on a running cluster: data."""

from __future__ import annotations

from enum import StrEnum

AT_START = "takes effect when its VM is next stopped and started"


class Mark(StrEnum):
    """What a reviewer must not overlook."""

    NONE = ""
    REFUSED = "`up` refuses"
    QUORUM = "can cost the quorum"
    REPLACE = "replaces a node"
    LEAVES = "takes a node out of the cluster"
    RESTART = "restarts or stops a guest"
    DATA = "destroys data"
    LEFT = "leaves something behind"
    RULE = "changes what is refused"
    TRUST = "changes whom we trust"
    BOUND = "leaves HA no choice"


# What happens to the place itself; the marks' own texts are about other things.
OF_ITSELF = {
    ("guest", Mark.RESTART): "is restarted or stopped",
    ("guest", Mark.DATA): "loses its data",
    ("guest", Mark.BOUND): "is not highly available meanwhile",
    ("node", Mark.REPLACE): "is replaced",
    ("node", Mark.LEAVES): "leaves for good",
}


def risk(place: str, mark: Mark) -> str:
    """The text of a mark, for that place."""
    return OF_ITSELF.get((place.partition(" ")[0], mark), mark.value)


IDENTITY_CHANGED = ("an existing cluster keeps it: docs/recovery.md#identity-changed", Mark.REFUSED)
VM_CHANGED = ("a member keeps it: docs/recovery.md#vm-changed", Mark.REFUSED)
OTHER_CLUSTER = ("an existing cluster keeps it: docs/recovery.md#other-cluster", Mark.REFUSED)
ANY_PRIORITY = "without a described priority, any is accepted"
IN_THE_CLUSTER = "changed in the live cluster, without a restart"
GUEST_DIFFERS = ("a container is never replaced: docs/recovery.md#guest-differs", Mark.REFUSED)
GUEST_CHANGED = ("a guest keeps it: docs/recovery.md#guest-changed", Mark.REFUSED)
SECOND_ONE = "a second one is made; the old one stays, and is no longer managed"
MAY_MOVE = "HA may move it: a VM live, where it can"
MAY_MOVE_CONTAINER = "HA may move it: a container is stopped and started for that"
HOLDER = "whoever has that key is trusted as this machine"
SENT = "passwords are sent there"
MACS = "nested[*].macs.*"
PRIORITY = "cluster.links[*].priority"
GUEST_DISK = "guests[*].diskGib"
PREFERRED = "guests[*].ha.preferred"
SHRINKS = ("disks only grow: docs/recovery.md#guest-differs", Mark.REFUSED)

# By path, of which the first match counts: its name, what a change means, and its mark. Nodes and guests are
# named by their kinds; `nodes` and `guests` mean both.
KNOWN: list[tuple[str, str, str, Mark]] = [
    ("existing[*].memoryMib", "memory in MiB", "only described: nothing is changed there", Mark.NONE),
    ("nested[*].memoryMib", "memory in MiB", AT_START, Mark.NONE),
    ("nested[*].cores", "processors", AT_START, Mark.NONE),
    ("nested[*].cpuType", "CPU type", AT_START, Mark.NONE),
    ("nested[*].diskGib", "disk in GiB", "Proxmox VE only enlarges disks; the file system inside stays as it is", Mark.NONE),
    ("nested[*].vmid", "vmid", *VM_CHANGED),
    ("nested[*].host", "outer host", "a new VM is made there; a member is lost with the old one", Mark.REPLACE),
    (MACS, "MAC address on {last}", f"{AT_START}; its links are matched by MAC inside", Mark.QUORUM),
    ("nodes[*].votes", "votes", IN_THE_CLUSTER, Mark.NONE),
    ("nodes[*].nodeId", "Corosync number", *IDENTITY_CHANGED),
    ("nodes[*].address", "management address", "an installed node is not changed: change it there first", Mark.QUORUM),
    ("nodes[*].kind", "kind", *VM_CHANGED),
    ("nodes[*].watchdog", "watchdog", "compared with the node, never set (watchdog-differs)", Mark.NONE),
    ("nodes[*].networks", "further addresses", "its interfaces are reloaded; storage on that network stalls", Mark.RESTART),
    ("nodes[*].hostKey", "SSH host key", HOLDER, Mark.TRUST),
    ("outerHosts[*].hostKey", "SSH host key", HOLDER, Mark.TRUST),
    ("outerHosts[*].endpoint", "endpoint", SENT, Mark.TRUST),
    ("outerHosts[*].address", "address", SENT, Mark.TRUST),
    ("outerHosts[*].tls", "tls", "how the certificate of its API is checked", Mark.TRUST),
    ("outerHosts[*].installer.*", "installer.{last}", "nodes that are not installed yet are installed from it", Mark.TRUST),
    ("cluster.api.endpoint", "api.endpoint", SENT, Mark.TRUST),
    ("cluster.api.tls", "api.tls", "how the certificate of the API is checked", Mark.TRUST),
    ("maintenance.uri", "package source of the nodes", "packages come from there", Mark.TRUST),
    ("cluster.name", "name", *OTHER_CLUSTER),
    ("cluster.seed", "seed", "it only says which node creates the cluster", Mark.NONE),
    ("cluster.links[*].addresses.*", "address", "the link is out of use meanwhile, on all nodes", Mark.QUORUM),
    (PRIORITY, "priority", IN_THE_CLUSTER, Mark.NONE),
    ("cluster.totem.linkMode", "link mode", "corosync is restarted for it, node by node", Mark.QUORUM),
    ("cluster.totem.*", "setting of corosync", IN_THE_CLUSTER, Mark.NONE),
    ("cluster.links[*].subnet", "subnet", "", Mark.NONE),
    ("cluster.migrationNetwork", "migration network", "the next live migrations use it", Mark.NONE),
    ("cluster.haShutdownPolicy", "HA shutdown policy", "holds from the next shutdown of a node on", Mark.NONE),
    ("cluster.api.user", "API user", "the new one is made, the old one stays", Mark.NONE),
    ("outerHosts[*].nested", "nested virtualization", "changed only while no VM runs there; otherwise refused", Mark.NONE),
    ("outerHosts[*].memoryMib", "memory for nodes in MiB", "", Mark.NONE),
    ("outerHosts[*].diskGib", "disk for nodes in GiB", "", Mark.NONE),
    ("outerHosts[*].cores", "processors for nodes", "", Mark.NONE),
    ("outerHosts[*].bridges[*].address", "address of {item}", "the host's network is reloaded", Mark.NONE),
    ("outerHosts[*].bridges[*].subnet", "subnet of {item}", "the host's network is reloaded", Mark.NONE),
    ("outerHosts[*].bridges[*].dhcp.*", "DHCP {last} on {item}", "the DHCP service is restarted", Mark.NONE),
    ("outerHosts[*].repository", "repository", "source lists are rewritten", Mark.NONE),
    ("maintenance.repository", "repository of the nodes", "source lists are rewritten; members are not upgraded", Mark.NONE),
    ("storages[*].server", "server", "the storage is replaced under running guests", Mark.RESTART),
    ("storages[*].export", "export", "the storage is replaced under running guests", Mark.RESTART),
    ("storages[*].kind", "kind", "the storage is replaced under running guests", Mark.RESTART),
    ("templates[*].vmid", "vmid", SECOND_ONE, Mark.LEFT),
    ("guests[*].vmid", "vmid", *GUEST_CHANGED),
    ("guests[*].kind", "kind", *GUEST_CHANGED),
    ("guests[*].existing", "existing", *GUEST_CHANGED),
    ("guests[*].keep", "keep", "counts when it is left out of the stack file after this run", Mark.NONE),
    ("vm[*].memoryMib", "memory in MiB", AT_START, Mark.NONE),
    ("container[*].memoryMib", "memory in MiB", "takes effect at once", Mark.NONE),
    ("vm[*].cores", "processors", AT_START, Mark.NONE),
    ("container[*].cores", "processors", "takes effect at once", Mark.NONE),
    ("vm[*].storage", "storage", "an existing disk is not moved", Mark.NONE),
    ("vm[*].template", "template", "only what it was cloned from; its disk stays", Mark.NONE),
    ("container[*].template.*", "template {last}", "only what it was made from; it stays as it is", Mark.NONE),
    ("container[*].storage", "storage", *GUEST_DIFFERS),
    (GUEST_DISK, "disk in GiB", "enlarged while it runs; in a VM, the partition and its file system are yours", Mark.NONE),
    ("guests[*].node", "node", "only where it is made; HA decides where it runs", Mark.NONE),
    ("vm[*].bridge", "bridge", "its network card is moved", Mark.NONE),
    ("container[*].bridge", "bridge", *GUEST_DIFFERS),
    ("guests[*].address", "address", *GUEST_DIFFERS),
    ("guests[*].ha.state", "HA state", "HA starts or stops it", Mark.RESTART),
    ("vm[*].ha.preferred", "preferred node", "if it is elsewhere, HA moves it there live", Mark.NONE),
    ("container[*].ha.preferred", "preferred node", "if it is elsewhere, HA stops it and starts it there", Mark.RESTART),
    ("vm[*].ha.nodes", "HA nodes", MAY_MOVE, Mark.NONE),
    ("vm[*].ha.strict", "HA strict", MAY_MOVE, Mark.NONE),
    ("container[*].ha.nodes", "HA nodes", MAY_MOVE_CONTAINER, Mark.RESTART),
    ("container[*].ha.strict", "HA strict", MAY_MOVE_CONTAINER, Mark.RESTART),
    ("guests[*].ha.*", "HA {last}", "", Mark.NONE),
    ("protectNodes", "protection of the nodes' VMs", "", Mark.NONE),
    ("keepsGuests", "guests outlive the stack (onDestroy)", "what make down does with guests, HA and storage", Mark.NONE),
    ("plainSecrets", "plain secrets in the stack file", "whoever reads the repository has them", Mark.NONE),
    ("pveMajor", "Proxmox VE's major version", "nothing upgrades members: they must have it already, or make up refuses", Mark.NONE),
]  # fmt: skip
# What follows from other values, and is shown with them.
DERIVED = (
    "cluster.votes",
    "cluster.links[*].cards.*",
    "cluster.links[*].number",
    *("cluster.links[*].bridges.*", "guests[*].kvm"),  # only recorded by version 0.1.0
)
