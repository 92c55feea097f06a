"""What each step is asked to bring about, and what it reports: the contract between the control machine and the machines.

The control machine builds what is asked from the configuration, and sends it as JSON on a step's standard input; the
on-node package parses it back with :func:`parse`. What is reported comes as JSON in the last line of a step's output.
Both ends use the classes of this module. They hold plain JSON types only, so that a preview shows the wanted facts
themselves. Units are part of the names.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union, get_args, get_origin

from onnode.cluster.corosync import KNET, Conf, ConfNode, Device, PeerLink, Quorum

T = TypeVar("T")


# -- what is asked for -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bridge:
    """An isolated bridge of the outer host, with its optional DHCP range."""

    name: str
    address: str  # the host's own address with prefix, "10.10.1.1/24"
    dhcp_start: str | None = None
    dhcp_end: str | None = None


@dataclass(frozen=True)
class Journal:
    """Remember once, before anything is changed, how the outer host was; `--restore` puts that back."""

    stack: str
    bridges: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class BridgePorts:
    """The network cards that a bridge of the stack is to have."""

    bridge: str
    ports: list[str]


@dataclass(frozen=True)
class VerifyHost:
    """The outer host can carry this stack: virtualization, version, memory, nothing foreign in the way."""

    stack: str
    pve_major: int
    vmids: list[int]
    bridges: list[Bridge]
    memory_mib: int
    iso_path: str | None = None  # set when the installer ISO is the user's own file on the host
    ports: list[BridgePorts] = field(default_factory=list)


@dataclass(frozen=True)
class Repository:
    """Which Proxmox repository a machine uses, and the packages that must be there."""

    mode: str  # "no-subscription" | "enterprise" | "keep"
    uri: str  # "http://download.proxmox.com/debian/pve"
    packages: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class KvmNested:
    """Nested virtualization is on now and after a reboot, on Intel and on AMD (F22)."""

    enabled: bool = True


@dataclass(frozen=True)
class Dhcp:
    """One dnsmasq per bridge that has a range, as a systemd unit of ours; no default route is offered."""

    stack: str
    bridges: list[Bridge]


@dataclass(frozen=True)
class NfsExport:
    """A directory of the outer host exported to the storage network."""

    stack: str
    path: str
    client_network: str  # "10.30.1.0/24"


@dataclass(frozen=True)
class InstallNode:
    """Install one nested node unattended on an existing, empty VM and wait until it answers with its pinned key."""

    stack: str
    vmid: int
    name: str
    base_iso_path: str
    iso_storage: str  # datastore that takes the node's own ISO, removed again after the installation
    answer: dict[str, Any]  # the answer file's content, nested tables as dicts
    first_boot: str  # script text, run once by the installed system
    ssh_address: str
    ssh_host_key: str  # public line the installed node must present, "ecdsa-sha2-nistp256 AAAA…"
    timeout_s: int


@dataclass(frozen=True)
class VmPower:
    """The VM of an installed nested node is not powered off, and its node answers with its pinned key."""

    stack: str
    vmid: int
    name: str
    ssh_address: str
    ssh_host_key: str  # as of InstallNode
    timeout_s: int


@dataclass(frozen=True)
class LinkInterface:
    """A network interface of a node, found by its MAC (nested) or its name (existing)."""

    address: str  # with prefix
    mac: str | None = None
    name: str | None = None
    mtu: int = 1500


@dataclass(frozen=True)
class NodeNetwork:
    """Addresses of one node on its links and further networks; a member only gets back what it had."""

    name: str
    address: str  # management address, no prefix: its interface is left alone
    pve_major: int
    interfaces: list[LinkInterface]


@dataclass(frozen=True)
class ArmNetwork:
    """A change of the machine's network by its API is about to be made; it undoes itself unless it is confirmed."""

    change: str  # in words
    run: str  # a mark of its own for each time


@dataclass(frozen=True)
class PrepareNode:
    """Name, repository and upgrade of one node; upgrade and reboot happen only while it is no member."""

    name: str
    fqdn: str
    address: str  # management address, no prefix
    pve_major: int
    repository: Repository
    upgrade: bool
    reboot: bool  # allow a reboot into the newest kernel (never on a member)


@dataclass(frozen=True)
class VerifyNode:
    """After the possible reboot: the node is what the program believes it is."""

    name: str
    address: str
    pve_major: int
    interfaces: list[LinkInterface]
    require_virtualization: bool
    require_newest_kernel: bool
    clock_skew_max_s: float = 5.0


@dataclass(frozen=True)
class LinkPeer:
    """Another node's address on one link."""

    name: str
    address: str


@dataclass(frozen=True)
class PreflightLink:
    """One link as seen from one node."""

    number: int
    local_address: str
    peers: list[LinkPeer]
    mtu: int = 1500


@dataclass(frozen=True)
class LinkPreflight:
    """Every peer answers on every link, with full-size packets, quickly enough (Proxmox: below 5 ms)."""

    links: list[PreflightLink]
    latency_max_ms: float = 5.0
    probe: bool = True  # with packets of our own where ping is silent; all nodes do so at the same time, or none


@dataclass(frozen=True)
class ClusterLink:
    """A Corosync link of one node. A higher priority number wins (corosync.conf(5))."""

    number: int
    address: str
    priority: int | None = None


@dataclass(frozen=True)
class CreateCluster:
    """`pvecm create` on the seed; the caller has looked at every peer first."""

    cluster: str
    node: str
    node_id: int
    votes: int
    links: list[ClusterLink]
    timeout_s: int = 120


@dataclass(frozen=True)
class JoinCluster:
    """`pvecm add` on the joiner, password on standard input; finishes a join that stopped half way."""

    cluster: str
    node: str
    node_id: int
    votes: int
    seed_address: str
    seed_fingerprint: str  # SHA-256 of the seed's API certificate, read over SSH just before
    root_password: str
    links: list[ClusterLink]
    timeout_s: int = 180
    listed: bool | None = None  # does the live cluster list this node already? None: the caller could not see


@dataclass(frozen=True)
class EvacuateNode:
    """All guests leave a node for good; asked on another member, before the node is taken out of the cluster."""

    node: str
    targets: list[str]  # the members that stay
    stack_tag: str  # HA rules with this mark let go of the node
    timeout_s: int  # for the HA manager to take the node out of use; guests have their own time


@dataclass(frozen=True)
class KeepMembers:
    """Nodes that stay: what a removal of them began before it was taken back is undone; asked on a working member."""

    nodes: list[str]
    stack_tag: str


@dataclass(frozen=True)
class NodeGone:
    """A node is to be off for good: what a member still sees of it."""

    node: str
    node_id: int
    addresses: list[str]  # of its links, and for management


@dataclass(frozen=True)
class RemoveMember:
    """A node that is off leaves the cluster's list, with all that is left of it; asked on a working member."""

    node: str
    addresses: list[str]  # of its links, and for management


@dataclass(frozen=True)
class ResetNode:
    """A machine that left its cluster is stand-alone again; the caller has seen that no working member lists it."""

    cluster: str
    apart: list[int] = field(default_factory=list)  # ids of nodes that may vote with it: they leave, too
    guests: list[int] = field(default_factory=list)  # that the cluster has in its own configuration, too


@dataclass(frozen=True)
class StartServices:
    """Corosync, pmxcfs and what reads /etc/pve run, started in this order."""

    quorate: bool  # enough others vote already: this node is to have quorum, too, within the time
    timeout_s: int


@dataclass(frozen=True)
class CorosyncFile:
    """The corosync.conf in /etc/corosync of one node, whole; corosync starts anew if it has loaded another version."""

    text: str


@dataclass(frozen=True)
class ExpectVotes:
    """So many votes are expected that this node's side has a quorum; asked after the loss of the others was confirmed."""

    votes: int
    gone: list[int]  # node ids that must not vote
    timeout_s: int


@dataclass(frozen=True)
class ReleaseMember:
    """The entry of a lost node goes from the cluster's list, and nothing else of it; asked on a working member."""

    node: str
    node_id: int


@dataclass(frozen=True)
class CorosyncConfig:
    """The next corosync.conf of a live cluster, whole, and what it was made from: another one is not overwritten."""

    text: str
    replaces: str  # SHA-256 of the former text
    restarts: list[str] = field(default_factory=list)  # the members whose corosync takes it only by a restart
    kept: str | None = None  # others' settings of a QDevice's section that goes; "": forget them; None: as they are


@dataclass(frozen=True)
class CorosyncRestart:
    """Corosync and what depends on it start anew, where that is still wanted."""

    timeout_s: int


@dataclass(frozen=True)
class Witness:
    """Step `witness`: a server for QDevices runs here, and has signed what the cluster's members ask for.

    Step `witness --remove`: what was made for this cluster is gone, and what was installed, unless others use it.
    """

    cluster: str
    requests: dict[str, str] = field(default_factory=dict)  # by member, base64 of DER (PKCS #10)


@dataclass(frozen=True)
class WitnessReport:
    """What the members need of it."""

    authority: str  # its own certificate authority, PEM
    certificates: dict[str, str]  # by member, base64 of DER


@dataclass(frozen=True)
class QDevice:
    """Step `qdevice`: this member can connect to the QDevice's server, and does; `qdevice --remove`: it does no more."""

    cluster: str
    authority: str = ""  # as of WitnessReport
    certificate: str | None = None
    serve: bool = False  # the daemon that connects runs


@dataclass(frozen=True)
class QDeviceReport:
    """What a member asks to be signed; None when it has its certificate."""

    request: str | None


@dataclass(frozen=True)
class ApiUser:
    """The user for day-to-day work, made on the seed with its role, and no other one, on `/`."""

    stack_tag: str
    user: str  # "pulumi@pve"
    password: str
    role: str  # that of the step's name for its own is made, with what the program's calls need


@dataclass(frozen=True)
class Storage:
    """A shared storage over NFS in the cluster's configuration; what is not described there stays as it is."""

    stack_tag: str
    name: str
    server: str
    export: str
    contents: list[str]
    adopt: bool = False  # one of that name, server and export without a mark is this stack's, too


@dataclass(frozen=True)
class Maintenance:
    """The HA manager gives a node no guests, and takes away those that it has; or that is over. Any working member is asked."""

    node: str
    enabled: bool
    timeout_s: int  # for the HA manager to take it up; guests have their own time


@dataclass(frozen=True)
class GuestMove:
    """A guest ("vm:100", "ct:101") and the node that it goes to."""

    sid: str
    target: str


@dataclass(frozen=True)
class MoveGuests:
    """Running guests that are not under HA leave this node: VMs live, containers by a restart."""

    node: str
    moves: list[GuestMove]


@dataclass(frozen=True)
class RebootNode:
    """A member without running guests reboots, unless it did so since that boot id was read."""

    node: str
    boot_id: str


@dataclass(frozen=True)
class UpgradeNode:
    """All packages of a member are upgraded within its major version; without `apply` it is only found out which."""

    node: str
    pve_major: int
    apply: bool
    lists_max_age_s: float  # package lists that are older are fetched first


@dataclass(frozen=True)
class Neighbour:
    """Another machine that a node tries to reach: on its management address, and on its links."""

    name: str
    address: str
    links: list[ClusterLink] = field(default_factory=list)


@dataclass(frozen=True)
class Diagnose:
    """Step `diagnosis`: all that one machine shows of itself and of its neighbours."""

    neighbours: list[Neighbour]
    links: list[ClusterLink] = field(default_factory=list)  # its own


@dataclass(frozen=True)
class LookStep:
    """A step that is asked what it would do, and the name under which it answers."""

    name: str
    step: str
    desired: str  # JSON


@dataclass(frozen=True)
class Look:
    """What the steps of a machine would do now, and which files of the package there are not as they should be."""

    steps: list[LookStep]
    files: dict[str, str] = field(default_factory=dict)  # name -> SHA-256


# -- what steps report -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Membership:
    """One node's own word about its cluster."""

    node: str
    state: str  # "absent": stand-alone | "half": what an interrupted join leaves (F2) | "member": quorate or not
    missing: list[str] = field(default_factory=list)  # of half a member
    cluster: str | None = None
    config_version: int | None = None
    nodes: list[ConfNode] = field(default_factory=list)
    priorities: dict[int, int] = field(default_factory=dict)  # of links, by number
    transport: str = KNET
    totem: dict[str, str] = field(default_factory=dict)  # the values of that section of corosync.conf
    device: Device | None = None  # the QDevice that is configured
    device_state: str | None = None  # of the connection to its server: "Connected"; None where nothing connects to it
    edited: bool = False  # somebody's next corosync.conf lies beside it
    quorate: bool = False
    quorum: Quorum | None = None  # None: corosync does not run
    links: list[PeerLink] = field(default_factory=list)
    pve_mounted: bool = True
    pve_writable: bool = True
    api_fingerprint: str | None = None  # SHA-256, of the certificate that the node holds
    guests: list[int] = field(default_factory=list)

    def listed(self, name: str) -> ConfNode | None:
        """That node as this one's cluster configuration lists it."""
        return next((node for node in self.nodes if node.name == name), None)

    @property
    def voters(self) -> set[int]:
        """Ids of the nodes that take part in the vote at this moment."""
        return {voter.id for voter in self.quorum.members} if self.quorum else set()

    @property
    def works(self) -> bool:
        """Whether it is a quorate member whose /etc/pve takes writes (F1)."""
        return self.state == "member" and self.quorate and self.pve_writable


@dataclass(frozen=True)
class MembershipReport(Membership):
    """Step `membership`: the above, and what is compared before a join."""

    pve_version: str = ""
    time: float = 0.0  # of the node's clock, when it was asked
    authorized_keys: list[str] = field(default_factory=list)  # fingerprints, as `ssh-keygen -l` prints them


@dataclass(frozen=True)
class NodeTraces:
    """Step `node-gone`: what shows that the node is on, in words; nothing when it is off."""

    seen: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CorosyncReport(Membership):
    """Step `corosync-state`: the above, and how far the configuration has come on this node."""

    text: str = ""  # of the cluster's corosync.conf
    local_version: int = 0  # of this node's copy
    running_version: int | None = None  # None: corosync does not run
    addresses: dict[int, str] = field(default_factory=dict)  # of this node, which its corosync uses, by link
    restarts: list[str] = field(default_factory=list)  # the members whose corosync has yet to be restarted
    kept: str = ""  # others' settings of a QDevice's section that is gone for a while


@dataclass(frozen=True)
class Kernel:
    """The running kernel and the newest one installed."""

    running: str
    newest: str | None
    reboot_missing: bool  # one was asked for, and has not happened


@dataclass(frozen=True)
class Watchdog:
    """Whether the watchdog's device and the multiplexer's socket are there (F18)."""

    device: bool
    socket: bool
    used: bool = False  # watchdog-mux has a client, or had one when it ended: it starts again only after a reboot


@dataclass(frozen=True)
class HaService:
    """A guest under HA, as the HA manager sees it."""

    node: str | None
    state: str | None


@dataclass(frozen=True)
class Ha:
    """The HA manager: its master, the state of each node's agent, the guests it looks after."""

    master: str | None = None
    lrm: dict[str, str] = field(default_factory=dict)
    services: dict[str, HaService] = field(default_factory=dict)


@dataclass(frozen=True)
class GuestStatus:
    """A guest that is configured on the node."""

    id: int
    type: str
    name: str | None
    status: str
    template: bool
    ha: str | None


@dataclass(frozen=True)
class Health(Membership):
    """Step `cluster-health`: all that one node shows; None: it could not be found out."""

    pve_version: str = ""
    kernel: Kernel | None = None
    services: dict[str, bool] = field(default_factory=dict)  # unit -> active
    watchdog: Watchdog | None = None
    busy: str | None = None  # the step that holds the machine's lock
    time: float = 0.0
    ha: Ha | None = None
    running_guests: list[GuestStatus] | None = None


@dataclass(frozen=True)
class RunningGuest:
    """A guest that runs on a node, and what decides where else it can."""

    sid: str
    name: str
    managed: bool  # by HA
    obstacles: list[str] = field(default_factory=list)  # why it cannot leave, in words
    nodes: list[str] | None = None  # the only ones that have its storages and that its HA rule allows; None: any


@dataclass(frozen=True)
class RunningGuests:
    """Step `running-guests`: those of one node."""

    node: str
    guests: list[RunningGuest]


@dataclass(frozen=True)
class Upgrade:
    """Step `upgrade-node`: what is still to be done."""

    pve_version: str
    packages: list[str]
    kernel_running: str
    kernel_newest: str | None
    boot_id: str

    @property
    def reboots(self) -> bool:
        """Whether a newer kernel is installed than the one that runs."""
        return self.kernel_newest is not None and self.kernel_newest != self.kernel_running


@dataclass(frozen=True)
class KeptConf:
    """A corosync.conf that a node has somewhere, with its text."""

    place: str  # a path, or words for what the running corosync has loaded
    text: str


@dataclass(frozen=True)
class KeptConfs:
    """Step `corosync-files`: every one that a node has."""

    node: str
    files: list[KeptConf]


@dataclass(frozen=True)
class ConfFile:
    """A corosync.conf as it lies on one machine."""

    digest: str  # SHA-256 of its text
    version: int = 0  # its config_version
    cluster: str | None = None
    nodes: list[ConfNode] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # why corosync would not take it
    device: Device | None = None
    transport: str = KNET


@dataclass(frozen=True)
class Space:
    """A file system that a node cannot work without."""

    path: str
    total_mib: int
    free_mib: int
    free_inodes: int | None = None  # None: it makes them as they are needed


@dataclass(frozen=True)
class Datastore:
    """A storage, as the machine sees it."""

    type: str  # as Proxmox VE names it: "dir", "lvmthin", "nfs", …
    status: str  # "active", "inactive", "disabled"
    free_mib: int = 0


@dataclass(frozen=True)
class Certificate:
    """The certificate of a node's API."""

    path: str
    fingerprint: str | None = None  # SHA-256; None: it cannot be read
    ends: float | None = None  # seconds since 1970
    authority_ends: float | None = None  # of the cluster's own
    signed: bool | None = None  # by the cluster's authority; None for one that users brought
    served: str | None = None  # fingerprint of what the API presents; None: it does not answer


@dataclass(frozen=True)
class HaFiles:
    """What the HA manager and its agents have written last; ages in seconds, by this node's clock."""

    resources: int = 0
    master: str | None = None
    master_age_s: float | None = None
    agent_ages_s: dict[str, float] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)  # guest -> state


@dataclass(frozen=True)
class Card:
    """A network interface that has an address."""

    name: str
    addresses: list[str]  # without prefix
    mtu: int
    up: bool  # with carrier


@dataclass(frozen=True)
class Reached:
    """Whether a neighbour answers a ping."""

    name: str
    link: int | None  # None: on its management address
    address: str
    small: bool
    large: bool | None = None  # packets of the interface's own size; None: not tried


@dataclass(frozen=True)
class DiagnosisReport:
    """Step `diagnosis`: all that one machine shows; what could not be found out is None or empty, and `unanswered` names it.

    Attributes:
        node: its name.
        resolves: the addresses that its name has there.
        version: of Proxmox VE; empty: not installed.
        time: of its clock, when it was asked.
        cores, memory_mib: of the machine.
        pve: "mounted", "absent", or "hangs".
        pve_writable: by the mode of /etc/pve, which pmxcfs takes away without quorum; nothing is written.
        pmxcfs: "" when it does not run, "local" when it was started with -l, else "cluster".
        authkey: SHA-256 of corosync's key; None: there is none.
        local, shared: corosync.conf in /etc/corosync and in /etc/pve.
        loaded: the config_version that the running corosync has taken.
        quorum, links: what corosync says; None, empty: it does not run.
        services: the state of each unit, as systemd names it.
        online: the nodes whose pmxcfs this one sees, itself included.
        certified: the nodes that have a certificate in /etc/pve/nodes: the last thing that a join makes.
        read_only: file systems that a node writes to, and are mounted so that nobody can.
        storages: by name; None: not asked, because pvestatd or pmxcfs does not run, or without an answer.
        unanswered: the attributes for which the question failed, or did not end in time.
    """

    node: str
    resolves: list[str] = field(default_factory=list)
    version: str = ""
    time: float = 0.0
    cores: int = 0
    memory_mib: int = 0
    pve: str = "absent"
    pve_writable: bool = False
    pmxcfs: str = ""
    authkey: str | None = None
    local: ConfFile | None = None
    shared: ConfFile | None = None
    loaded: int | None = None
    quorum: Quorum | None = None
    links: list[PeerLink] = field(default_factory=list)
    services: dict[str, str] = field(default_factory=dict)
    online: list[str] = field(default_factory=list)
    certified: list[str] = field(default_factory=list)
    guests: int = 0
    spaces: list[Space] = field(default_factory=list)
    certificate: Certificate | None = None
    watchdog: Watchdog | None = None
    ha: HaFiles | None = None
    storages: dict[str, Datastore] | None = None
    cards: list[Card] = field(default_factory=list)
    reached: list[Reached] = field(default_factory=list)
    read_only: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FoundInterface:
    """A network interface, as it is set up."""

    name: str
    addresses: list[str]  # IPv4, with prefix
    mtu: int


@dataclass(frozen=True)
class FoundGuest:
    """A guest of the cluster, from its file in /etc/pve.

    Attributes:
        memory_mib: its memory in MiB.
        obstacles: why HA could start it on no other node, in words.
        nodes: the only ones that have its storages, or copies of its disks; None: all of them.
    """

    kind: str  # "vm" or "ct"
    id: int
    node: str
    name: str
    tags: list[str] = field(default_factory=list)
    template: bool = False
    memory_mib: int = 0
    obstacles: list[str] = field(default_factory=list)
    nodes: list[str] | None = None


@dataclass(frozen=True)
class Inventory:
    """Step `inventory`: what a stack file can say of a member and of its cluster.

    Attributes:
        node: its name.
        pve_major: of the installed Proxmox VE.
        conf: the cluster's corosync.conf; None: the node is stand-alone, or /etc/pve does not run.
        quorum: what corosync says; None: it does not run.
        addresses: the management address of each node whose pmxcfs this one sees online, by name.
        host_keys: the SSH host key of each node that /etc/pve has, type and key, by name.
        witness_key: the SSH host key of the QDevice's server, as far as this node knows it.
        interfaces: the live ones.
        gateway: the default one.
        name_servers, domain: from /etc/resolv.conf, and from the node's own full name.
        watchdog: the kernel module that /etc/default/pve-ha-manager names; empty: none is named.
        storages, resources, rules, groups: the texts of storage.cfg and of HA's files.
    """

    node: str
    pve_major: int
    conf: Conf | None = None
    quorum: Quorum | None = None
    addresses: dict[str, str] = field(default_factory=dict)
    host_keys: dict[str, str] = field(default_factory=dict)
    witness_key: str | None = None
    interfaces: list[FoundInterface] = field(default_factory=list)
    gateway: str | None = None
    name_servers: list[str] = field(default_factory=list)
    domain: str = ""
    watchdog: str = ""
    memory_mib: int = 0
    storages: str = ""
    resources: str = ""
    rules: str = ""
    groups: str = ""
    guests: list[FoundGuest] = field(default_factory=list)


@dataclass(frozen=True)
class Refusal:
    """Why a step would end with an error."""

    code: str
    what: str
    observed: str = ""
    expected: str = ""
    next: str = ""


@dataclass(frozen=True)
class StepLook:
    """What one step found: the actions that it would take with what they differ in, or its refusal."""

    name: str
    actions: list[str]
    refusal: Refusal | None = None
    facts: dict[str, Any] | None = None  # of steps without a desired state, which only look


@dataclass(frozen=True)
class LookReport:
    """Step `look`: all steps that were asked, and the files of the package that are gone or altered."""

    steps: list[StepLook]
    altered: list[str]


# -- to JSON and back --------------------------------------------------------------------------------------------------


def _of(kind: type[Any], value: Any, path: str) -> Any:  # noqa: ANN401 - JSON in, dataclass field out
    accepted = (int, float) if kind is float else (kind,)
    if type(value) not in accepted:
        raise ValueError(f"{path}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def _build(kind: Any, value: Any, path: str) -> Any:  # noqa: ANN401 - JSON in, dataclass field out
    if dataclasses.is_dataclass(kind):
        _of(dict, value, path)
        make: Any = kind  # is_dataclass() narrows to instances as well, which cannot be called
        hints = typing.get_type_hints(kind)
        known = {f.name: f for f in dataclasses.fields(kind)}
        if unknown := sorted(set(value) - set(known)):
            raise ValueError(f"{path}: unknown keys {unknown}")
        missing = [
            name
            for name, f in known.items()
            if name not in value and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise ValueError(f"{path}: missing keys {missing}")
        return make(**{name: _build(hints[name], item, f"{path}.{name}") for name, item in value.items()})
    origin = get_origin(kind)
    if origin is list:
        (inner,) = get_args(kind)
        return [_build(inner, item, f"{path}[{index}]") for index, item in enumerate(_of(list, value, path))]
    if origin is dict:
        _, inner = get_args(kind)
        return {key: _build(inner, item, f"{path}.{key}") for key, item in _of(dict, value, path).items()}
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (inner,) = [arm for arm in get_args(kind) if arm is not type(None)]
        return _build(inner, value, path)
    return value if kind is Any else _of(kind, value, path)


def parse(kind: type[T], document: dict[str, Any]) -> T:
    """Turn a step's JSON input into its dataclass.

    Raises:
        ValueError: a key is unknown, missing, or of the wrong shape; the message carries its path.
    """
    built: T = _build(kind, document, kind.__name__)
    return built


def document(desired: Any) -> dict[str, Any]:  # noqa: ANN401 - any of the dataclasses above
    """The JSON form of a desired state; the inverse of :func:`parse`."""
    return dataclasses.asdict(desired)
