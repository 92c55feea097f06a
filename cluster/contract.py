"""What each step on the control machine is asked to bring about: the contract between the program and ``python -m cluster NAME``.

The program runs ``.venv/bin/python -m cluster NAME`` as a local command with one of these values as JSON on
standard input (:func:`onnode.contract.document` and :func:`onnode.contract.parse` are the two directions). Secrets are
not part of them: they are in the environment variable ``NESTED_PVE_SECRETS`` (:class:`Secrets`). Progress goes to
standard error; the last line of standard output is ``{"changed": bool, "facts": {...}}``. When a step runs again,
``PULUMI_COMMAND_STDOUT`` holds what the previous run printed. The steps that change a cluster are also given what the step
``identity`` printed, in ``NESTED_PVE_KNOWN``: it ran first, and knows nodes that they may never have met.

A step that makes something (``storage``, ``template``, ``container``) is called as ``python -m cluster NAME --delete`` with the same
input to remove it, and removes only what carries ``stack_tag``. Units are part of the names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from onnode.cluster.corosync import Device  # noqa: TC001 - its parse reads the types at run time
from onnode.contract.formation import Storage  # noqa: TC001 - as above
from onnode.contract.links import ClusterLink  # noqa: TC001 - as above
from onnode.contract.node import NodeNetwork  # noqa: TC001 - as above

SECRETS_VARIABLE = "NESTED_PVE_SECRETS"
KNOWN_VARIABLE = "NESTED_PVE_KNOWN"


@dataclass(frozen=True)
class Secrets:
    """The JSON object in ``NESTED_PVE_SECRETS``; a step is given only what it needs."""

    ssh_private_key: str  # PEM, opens root on every member
    root_password: str | None = None  # of the nodes, needed by a join (Proxmox takes no token there)
    api_password: str | None = None  # of the API user for day-to-day work


@dataclass(frozen=True)
class Machine:
    """A machine reached over SSH as root, with the host key it must present."""

    name: str
    address: str
    host_key: str  # "ecdsa-sha2-nistp256 AAAA…"


@dataclass(frozen=True)
class Member(Machine):
    """A node of the cluster, as described; on a live cluster its name and id stay.

    Only steps that form the cluster or compare it take members. Those that just reach the nodes take machines: a changed
    vote or link address does not run them again.
    """

    node_id: int
    votes: int
    links: list[ClusterLink]


@dataclass(frozen=True)
class ApiAccess:
    """The address and the user of the cluster's API."""

    endpoint: str  # "https://pve.lab.internal:8006"
    user: str  # "pulumi@pve"
    tls: str  # "verified": by the system's certificate authorities | "pinned": compared over SSH with the members' own


@dataclass(frozen=True)
class Housing:
    """The VM of a nested node."""

    host: Machine
    vmid: int


@dataclass(frozen=True)
class ClusterChange:
    """Steps ``identity``, ``change-cluster``, ``remove-members``: the live cluster becomes the described one (decision 17).

    All of them plan the whole way from what is live (:func:`cluster.planning.plan.plan`), and each takes its own part:
    ``identity``, before any node is touched, refuses what cannot be, and releases the entries of lost members;
    ``change-cluster``, before nodes join, changes votes, links and settings; ``remove-members``, after all have joined, takes out
    the nodes that are described no more.
    Facts: see :mod:`cluster.planning.known`.
    """

    cluster: str
    stack: str
    members: list[Member]
    housing: dict[str, Housing]  # of nested nodes, by name
    totem: dict[str, str]  # described settings of corosync's section of that name
    timeout_s: int
    witness: str | None = None  # address of the described QDevice's server
    networks: dict[str, NodeNetwork] = field(default_factory=dict)  # of nodes whose addresses are set up, by name


@dataclass(frozen=True)
class Claim:
    """Step ``claim``: an existing machine belongs to one stack, which is written down there; ``--delete`` takes it back."""

    machine: Machine
    stack: str


@dataclass(frozen=True)
class NodeNetworks:
    """Step ``node-network``: a node's link addresses; the node undoes what cuts it off, unless a new login follows."""

    machine: Machine
    network: NodeNetwork


@dataclass(frozen=True)
class Ownership:
    """Steps ``ownership`` and, when removed, ``delete-guard``: nothing is there, or it carries this stack's mark."""

    machines: list[Machine]  # any of them can answer
    stack: str
    kind: str  # of cluster.marks
    name: str
    code: str  # of the refusal
    inside: Machine | None = None  # the nested node in that VM: guests of others on it would go with it
    called: str = (
        ""  # of a guest that is about to be made: none of this stack has that name or that number, and not both
    )


@dataclass(frozen=True)
class HostNetwork:
    """Steps ``arm-network`` and ``confirm-network``, around each change of an outer host's bridges by its API.

    And ``remove-bridge``, which does all of it when it goes.
    """

    machine: Machine
    change: str  # in words, "bridge vmbr1 of stack dev"
    bridge: str
    ownership: Ownership | None = None  # what must be so before the network is armed


@dataclass(frozen=True)
class Card:
    """A network card as the program gives it: what it does not give is None."""

    bridge: str | None
    mac: str | None


@dataclass(frozen=True)
class FurtherDevices:
    """Step ``further-devices``: a VM whose cards or disks are about to be changed has no others."""

    machines: list[Machine]  # any of them can answer
    where: str  # its devices are changed by hand
    vmid: int
    cards: list[Card] | None  # the new ones; None when they do not change
    ours: list[str]  # MAC addresses of those that were described before, and may go
    disks: dict[str, float]  # where one changes: size in GiB by name


@dataclass(frozen=True)
class LinkMtu:
    """The largest packet, in bytes with IP header, that a link must carry."""

    number: int
    mtu: int


@dataclass(frozen=True)
class ClusterPreflight:
    """Step ``link-preflight``: each member reaches each other on each link, full-size packets, quickly (F9)."""

    members: list[Member]
    mtus: list[LinkMtu]
    latency_max_ms: float


@dataclass(frozen=True)
class ClusterCreation:
    """Step ``create-cluster``: on the seed, unless any node already reports this cluster (F6); another is refused.

    Ends when the seed is quorate and /etc/pve is writable (F1).
    """

    cluster: str
    seed: str
    members: list[Member]
    timeout_s: int


@dataclass(frozen=True)
class JoinNode:
    """Step ``join-node``: one node joins, or is seen to be a member; verified from both sides (F2, F3, F4, F5, F25).

    It joins through the first of ``present`` that works. Those of them that are no members yet are left alone. For the node with
    the lowest id they are all others, since any may have created the cluster; for each other node those with lower ids, and two at
    least. So neither another seed nor the order of the stack file runs a join again, and a further node only the first one.
    """

    cluster: str
    joiner: Member
    present: list[Member]
    timeout_s: int


@dataclass(frozen=True)
class QDeviceSetting:
    """Step `set-qdevice`: every member is connected to the QDevice's server, which casts its vote.

    Another QDevice is removed first; the described one, set up by whom ever, is left as it is.
    """

    cluster: str
    members: list[Member]
    server: Machine
    device: Device
    timeout_s: int


@dataclass(frozen=True)
class WitnessRemoval:
    """Step ``remove-witness``, when it goes: what was made on the QDevice's server for this cluster is gone, if it answers."""

    cluster: str
    machine: Machine


@dataclass(frozen=True)
class VerifyCluster:
    """Step ``verify-cluster``: membership, votes, every link connected, /etc/pve writable, :8006 answering.

    A member that was off when the cluster changed gets the cluster's corosync.conf.
    """

    cluster: str
    members: list[Member]
    expected_votes: int
    timeout_s: int


@dataclass(frozen=True)
class CheckCertificate:
    """Step ``check-certificate``: the engine trusts what the machines hold, as seen over SSH, and an API presents that.

    Without ``endpoint``: at the member that ``PROXMOX_VE_ENDPOINT`` names.
    """

    machines: list[Machine]
    endpoint: str | None = None


@dataclass(frozen=True)
class ClusterApiUser:
    """Step ``api-user``: the user for day-to-day work with its role on ``/``; its password works at the endpoint."""

    members: list[Machine]
    api: ApiAccess
    stack_tag: str
    role: str
    cluster: str = ""  # no other one is written to; earlier versions recorded none


@dataclass(frozen=True)
class ClusterStorage:
    """Step ``storage``: a shared storage, made and kept through a working member. A mark distinguishes it from those of others."""

    members: list[Machine]
    storage: Storage
    cluster: str = ""  # no other one is written to; earlier versions recorded none


@dataclass(frozen=True)
class Image:
    """A file to download to a storage by the cluster itself."""

    url: str
    file_name: str
    checksum: str | None  # "sha256:…"
    storage: str


@dataclass(frozen=True)
class Template:
    """Step ``template``: a VM template: agent on, no CD drive, disk on shared storage, ``kvm`` as wanted.

    Without an image its disk is empty. ``cpu_type`` must be one that works without KVM when ``kvm`` is false.
    """

    members: list[Machine]
    api: ApiAccess
    stack_tag: str
    vmid: int
    name: str
    node: str  # where it is made; wherever it is found later is fine
    storage: str
    disk_gib: int
    cores: int
    memory_mib: int
    cpu_type: str
    kvm: bool
    bridge: str
    image: Image | None


@dataclass(frozen=True)
class Container:
    """Step ``container``: an LXC container, made once and then found wherever HA has moved it (bpg#3104).

    A change of name, cores, memory, tags or the size of its disk is applied where it runs; a change that would need a new
    container is refused.
    """

    members: list[Machine]
    api: ApiAccess
    stack_tag: str
    vmid: int
    name: str
    node: str  # where it is made; wherever it is found later is fine
    storage: str
    disk_gib: int
    cores: int
    memory_mib: int
    swap_mib: int
    bridge: str
    address: str  # "dhcp" or with prefix, "192.168.0.200/24"
    gateway: str | None
    template: Image | None  # downloaded first when the storage has it not yet
    template_volume: str  # "shared:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"
    ssh_public_keys: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class GuestDisk:
    """Step ``guest-disk``: a VM's disk is as large as described; it grows while the VM runs, and a smaller size is refused."""

    members: list[Machine]
    api: ApiAccess
    stack_tag: str
    vmid: int
    name: str
    disk_gib: int


@dataclass(frozen=True)
class DisksGone:
    """Step ``disks-gone``, when it goes: no disk of a VM that the provider destroyed is left on shared storage."""

    members: list[Machine]
    api: ApiAccess
    vmid: int
    node: str  # that is asked first
    storage: str  # that must answer


@dataclass(frozen=True)
class KeptGuest:
    """Step ``keep-guest``, when it goes: the guest stays as it is, and loses the tags of this stack, which destroys no others."""

    members: list[Machine]
    api: ApiAccess
    stack_tag: str
    vmid: int
    name: str


@dataclass(frozen=True)
class ExistingGuest:
    """Step ``existing-guest``: a guest that exists is under HA as described. Nothing else of it is changed.

    On deletion what this stack has made of that goes again; what somebody else has set stays as it is.
    """

    members: list[Machine]
    api: ApiAccess
    stack_tag: str
    pve_major: int
    type: str  # "vm" | "container"
    vmid: int
    name: str
    state: str  # "started" | "stopped"
    max_restart: int
    max_relocate: int
    failback: bool
    nodes: dict[str, int]  # priorities by node; empty = any node
    strict: bool

    @property
    def sid(self) -> str:
        """What HA calls it: "vm:200", "ct:300"."""
        return f"{'vm' if self.type == 'vm' else 'ct'}:{self.vmid}"


@dataclass(frozen=True)
class HaReady:
    """Step ``ha-ready``, before a guest is registered: quorum, a CRM master, every LRM and watchdog alive (F18).

    On deletion, after the guest is no longer registered: the HA manager has let go of it (F15).
    """

    members: list[Machine]
    api: ApiAccess
    sid: str  # "vm:200"
    timeout_s: int
    watchdogs: dict[str, str]  # module of each member's HA manager, by name
    stack_tag: str = ""  # what marks the guest and its registration as ours; earlier versions recorded none


@dataclass(frozen=True)
class VerifyGuest:
    """Step ``verify-guest``, after registration: the guest is in the wanted HA state on an allowed node.

    When other nodes are preferred than in the run before, HA brings the guest to one of them. At all other times a guest stays
    where HA has it.
    """

    members: list[Machine]
    api: ApiAccess
    sid: str  # "vm:200" | "ct:300"
    state: str  # "started" | "stopped"
    nodes: list[str]  # allowed; empty = any
    timeout_s: int
    preferred: list[str] = field(default_factory=list)  # with the highest priority; empty = none
    failback: bool = True  # HA brings it there by itself
    existing: bool = False  # it was there before the stack: its HA state may be somebody else's, and is only read


STEPS: dict[str, type[Any]] = {
    "identity": ClusterChange,
    "change-cluster": ClusterChange,
    "remove-members": ClusterChange,
    "node-network": NodeNetworks,
    "arm-network": HostNetwork,
    "confirm-network": HostNetwork,
    "remove-bridge": HostNetwork,
    "claim": Claim,
    "ownership": Ownership,
    "further-devices": FurtherDevices,
    "delete-guard": Ownership,
    "link-preflight": ClusterPreflight,
    "create-cluster": ClusterCreation,
    "join-node": JoinNode,
    "set-qdevice": QDeviceSetting,
    "remove-witness": WitnessRemoval,
    "verify-cluster": VerifyCluster,
    "check-certificate": CheckCertificate,
    "api-user": ClusterApiUser,
    "storage": ClusterStorage,
    "template": Template,
    "container": Container,
    "guest-disk": GuestDisk,
    "disks-gone": DisksGone,
    "keep-guest": KeptGuest,
    "existing-guest": ExistingGuest,
    "ha-ready": HaReady,
    "verify-guest": VerifyGuest,
}
