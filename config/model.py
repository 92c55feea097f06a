"""The configuration's shape. Relations between keys are in :mod:`config.checks`."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, StringConstraints, Tag
from pydantic.alias_generators import to_camel

from onnode.cluster.role import OWN_ROLE

# What a pattern asks for, in words: for refusals and for the reference page.
WORDS: dict[str, str] = {}
# What the installer takes (Proxmox/Sys.pm), which has it from HTML.
MAIL_ADDRESS = (
    r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+"
    r"@[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
)


def shaped(pattern: str, words: str) -> StringConstraints:
    """A text of a shape, and that shape in words."""
    WORDS[pattern] = words
    return StringConstraints(pattern=pattern)


HostName = Annotated[
    str,
    shaped(
        r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "at most 63 lower-case letters, digits and dashes, no dash at the ends"
    ),
]
DomainName = Annotated[
    str,
    shaped(
        r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$",
        "parts of at most 63 lower-case letters, digits and dashes between dots, no dash at the ends of a part",
    ),
]
BridgeName = Annotated[str, shaped(r"^vmbr[0-9]{1,4}$", "vmbr and a number of at most four digits: vmbr1")]
InterfaceName = Annotated[
    str,
    shaped(r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$", "at most 15 letters, digits, _, . and -, beginning with a letter"),
]
StorageName = Annotated[
    str,
    shaped(
        r"^[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]$",
        "two or more letters, digits, _, . and -, beginning with a letter, ending with a letter or digit",
    ),
]
GuestName = HostName
MacAddress = Annotated[
    str,
    shaped(
        r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$", "six pairs of hexadecimal digits between colons: BC:24:11:00:00:01"
    ),
]
HttpsEndpoint = Annotated[
    str,
    shaped(
        r"^https://[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*(:[0-9]+)?/?$",
        "https://, a name or an IPv4 address, and the port: https://host:8006",
    ),
]
HttpUrl = Annotated[
    str,
    shaped(
        r"^https?://[^\s/@\[\]]+/\S+$",
        "http:// or https://, a host (no password before it, no IPv6 address) and a path, without spaces",
    ),
]
Sha256 = Annotated[str, shaped(r"^sha256:[0-9a-f]{64}$", "sha256: and 64 hexadecimal digits, lower case only")]
AbsolutePath = Annotated[
    str,
    shaped(
        r"^(/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*)+$",
        "an absolute path of letters, digits, _, @, +, - and ., no part beginning with ., no / at the end",
    ),
]
FileName = Annotated[
    str, shaped(r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", "letters, digits, ., _, + and -, beginning with a letter or digit")
]
SshPublicKey = Annotated[
    str,
    shaped(
        r"^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d{3}) [A-Za-z0-9+/=]+",
        "type and key of an SSH public key: ssh-ed25519 AAAA…",
    ),
]
UserId = Annotated[str, shaped(r"^[^\s:/@]+@[A-Za-z][A-Za-z0-9._-]+$", "name@realm, without spaces, : and /")]
PackageName = Annotated[
    str,
    shaped(
        r"^[a-z0-9][a-z0-9+.-]+$", "the name of a Debian package: two or more lower-case letters, digits, +, . and -"
    ),
]
CpuType = Annotated[str, shaped(r"^[A-Za-z0-9_.-]+$", "a processor type of Proxmox VE: letters, digits, _, . and -")]


def _with_prefix(value: object) -> object:
    """Without one the library assumes /32, and a mask with dots is read as either kind of mask."""
    if isinstance(value, str) and not re.fullmatch(r"[^/]*/[0-9]{1,2}", value):
        raise ValueError("is no IPv4 network with its prefix")
    return value


Network = Annotated[IPv4Network, BeforeValidator(_with_prefix)]
Interface = Annotated[IPv4Interface, BeforeValidator(_with_prefix)]
Vmid = Annotated[int, Field(ge=100, le=999_999_999)]
MEMORY_MAX = 268_435_456
PROXMOX_VE: Literal["proxmox-ve"] = "proxmox-ve"
Mtu = Annotated[int, Field(ge=1280, le=65520)]
Keyboard = Literal[
    "de", "de-ch", "dk", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu", "is", "it", "jp", "lt",
    "mk", "nl", "no", "pl", "pt", "pt-br", "se", "si", "tr",
]  # fmt: skip
RepositoryMode = Literal["no-subscription", "enterprise", "keep"]
Tls = Literal["pinned", "verified"]


class Model(BaseModel):
    """Strict: unknown keys and wrong types are refused; nothing changes once it is read."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
    )


class ManagementNetwork(Model):
    """The network on which hosts and nodes are administered."""

    subnet: Network = Field(description="The network, for example 192.168.0.0/24.")
    gateway: IPv4Address = Field(description="Default gateway of the nodes.")
    dns: IPv4Address = Field(description="Name server of the nodes. Proxmox' installer takes one.")
    domain: DomainName = Field(description="Domain of hosts and nodes; a node's full name is its name and this.")


class DhcpRange(Model):
    """Addresses that a bridge hands out. Nodes have static addresses; the range is for guests and experiments."""

    start: IPv4Address = Field(description="First address.")
    end: IPv4Address = Field(description="Last address.")


class Bridge(Model):
    """A bridge of an outer host that carries a link or the storage network."""

    name: BridgeName = Field(description="vmbrN, the form that Proxmox's own tools expect.")
    address: Interface = Field(description="The outer host's address on it, with prefix: 10.10.1.1/24.")
    dhcp: DhcpRange | None = Field(
        default=None,
        description="Addresses to hand out; none when left out. No route is offered. Only on a bridge without ports.",
    )
    ports: tuple[InterfaceName, ...] = Field(
        default=(),
        description="Network cards, bonds, or VLANs (1 to 4094) of them. Empty means isolated on this host; needed for links across outer hosts.",
    )
    mtu: Mtu = Field(default=1500, description="Largest packet in bytes.")
    managed: bool = Field(default=True, description="False: the bridge exists and is left as it is.")


class LibvirtBridge(Bridge):
    """A bridge of an outer host with libvirt. What is made there has no ports: a bridge with ports exists already."""

    name: InterfaceName = Field(description="vmbr1, for example.")


class Installer(Model):
    """Where the Proxmox VE installer image comes from: a URL with its checksum, or a file on the outer host."""

    url: HttpUrl | None = Field(default=None, description="Downloaded by the outer host itself.")
    checksum: Sha256 | None = Field(
        default=None, description="Needed with url: sha256:… of the file there; Proxmox publishes it."
    )
    path: AbsolutePath | None = Field(default=None, description="A file that is already on the outer host.")


class NfsExport(Model):
    """A directory of the outer host that is exported as shared storage."""

    path: AbsolutePath = Field(description="The directory, not one of the system's own; made when missing.")
    network: Network = Field(description="Who may mount it: the storage network.")


class _OuterHost(Model):
    name: HostName = Field(description="Its host name, without the domain; on Proxmox VE the name of its node.")
    address: IPv4Address = Field(description="Where SSH reaches it.")
    host_key: SshPublicKey | None = Field(
        default=None, description="Its SSH host key; may also be among the credentials."
    )
    cores: int = Field(ge=1, description="Processor threads that the nodes may use.")
    memory_mib: int = Field(ge=1024, description="Memory that all nodes together may use, in MiB.")
    disk_gib: int = Field(ge=8, description="Disk space that all nodes together may use, in GiB.")
    installer: Installer = Field(description="The Proxmox VE installer image.")
    nested: bool = Field(default=True, description="Turn nested virtualization on, now and after a reboot.")
    nfs_export: NfsExport | None = Field(default=None, description="Export a directory as the nodes' shared storage.")
    packages: tuple[PackageName, ...] = Field(
        default=(), description="Further Debian packages. Those that were not there before are removed by make down."
    )


class ProxmoxVeHost(_OuterHost):
    """A Proxmox VE host that carries nested nodes."""

    kind: Literal["proxmox-ve"] = Field(default=PROXMOX_VE, description="May be left out.")
    endpoint: HttpsEndpoint = Field(
        description="Its API, https://host:8006. With tls pinned, host is a name or the address above."
    )
    user: UserId = Field(
        default="root@pam", description="User of its API, in realm pam or pve; the password is a credential."
    )
    tls: Tls = Field(
        default="pinned",
        description="pinned: the certificate is compared with the machine's own, over SSH; verified: the system's authorities check it.",
    )
    management_bridge: BridgeName = Field(default="vmbr0", description="Existing bridge on the management network.")
    bridges: tuple[Bridge, ...] = Field(description="Bridges for the links and the storage network.")
    disk_storage: StorageName = Field(default="local-lvm", description="Datastore for the nodes' disks.")
    iso_storage: StorageName = Field(default="local", description="Datastore for installer images.")
    iso_directory: AbsolutePath = Field(
        default="/var/lib/vz/template/iso",
        description="Where that datastore keeps installer images on the host: local inside of /var/lib/vz, others elsewhere.",
    )
    repository: RepositoryMode = Field(
        default="no-subscription",
        description="Proxmox repository of the host; keep leaves it to you, enterprise needs a subscription.",
    )


class LibvirtHost(_OuterHost):
    """A Debian or Ubuntu machine with libvirt that carries nested nodes. Its bridges are made as networks of libvirt."""

    kind: Literal["libvirt"]
    management_bridge: InterfaceName = Field(
        default="virbr0",
        description="Existing bridge on the management network. The default is that of libvirt's own network, which only this host reaches.",
    )
    bridges: tuple[LibvirtBridge, ...] = Field(description="Bridges for the links and the storage network.")
    directory: AbsolutePath = Field(
        default="/var/lib/libvirt/nested-pve-ha",
        description="Where images and the nodes' disks are, in a directory for each stack.",
    )


def _kind(host: object) -> object:
    """An outer host without a kind runs Proxmox VE, as all did in earlier versions."""
    return host.get("kind", PROXMOX_VE) if isinstance(host, dict) else getattr(host, "kind", None)


OuterHost = ProxmoxVeHost | LibvirtHost
DescribedHost = Annotated[
    Annotated[ProxmoxVeHost, Tag("proxmox-ve")] | Annotated[LibvirtHost, Tag("libvirt")],
    Discriminator(_kind),
]


class Installation(Model):
    """What all nested nodes are installed with."""

    country: Annotated[str, shaped(r"^[a-z]{2}$", "two letters, lower case only: at")] = Field(
        default="at", description="A country code of ISO 3166, as the installer requires."
    )
    keyboard: Keyboard = Field(default="en-us", description="Keyboard layout of the console.")
    timezone: Annotated[
        str, shaped(r"^[A-Za-z_+-]+(/[A-Za-z0-9_+-]+)*$", "a name of the time zone database: Europe/Vienna")
    ] = Field(default="UTC", description="A name of the installer's list: Europe/Vienna; the only abbreviation is UTC.")
    mailto: Annotated[str, shaped(MAIL_ADDRESS, "an address with one @: plain letters, no quotes, no spaces")] = Field(
        description="Where the nodes send their mail."
    )
    filesystem: Literal["ext4", "xfs"] = Field(default="ext4", description="Root file system.")
    timeout_s: int = Field(default=1800, ge=30, le=86400, description="How long one installation may take, in seconds.")


class Maintenance(Model):
    """What may be done to a node before it is a member of a cluster; `make up` never upgrades or reboots a member."""

    repository: RepositoryMode = Field(
        default="no-subscription",
        description="Proxmox repository of the nodes; keep leaves it to you, enterprise needs a subscription.",
    )
    uri: Annotated[
        str,
        shaped(
            r"^https?://[^\s/@\[\]]+(/[^\s\[\]#?]*[^/\s\[\]#?])?$",
            "http:// or https://, a host (no password before it) and a path, without spaces, ?, # and brackets, without / at the end",
        ),
    ] = Field(default="http://download.proxmox.com/debian/pve", description="Where no-subscription packages come from.")
    packages: tuple[PackageName, ...] = Field(
        default=(), description="Further Debian packages of every node, also of one that is a member already."
    )
    upgrade: bool = Field(default=True, description="Run apt-get dist-upgrade.")
    reboot: bool = Field(default=True, description="Reboot when a newer kernel is installed than the one running.")


class _Node(Model):
    name: HostName = Field(description="Its Proxmox node name; cannot change once it is a member.")
    node_id: int = Field(ge=1, le=65535, description="Corosync's number for it; cannot change once it is a member.")
    votes: int = Field(default=1, ge=0, description="Its votes for the quorum.")
    address: IPv4Address = Field(description="Its management address.")
    watchdog: Annotated[
        str, shaped(r"^[A-Za-z0-9_]{1,55}$", "the name of a kernel module: at most 55 letters, digits and _")
    ] = Field(
        default="softdog",
        description="Kernel module of its watchdog, as in /etc/default/pve-ha-manager. It is compared, never set; none: the node has no watchdog.",
    )


class NestedNode(_Node):
    """A node that is a virtual machine on an outer host, made and installed by this program."""

    kind: Literal["nested"]
    host: HostName = Field(description="The outer host that carries it.")
    vmid: Vmid = Field(description="Number of its VM on the outer host.")
    cores: int = Field(ge=1, description="Virtual processors.")
    memory_mib: int = Field(ge=1024, description="Memory in MiB. Ballooning is off.")
    disk_gib: int = Field(ge=8, description="Disk in GiB.")
    cpu_type: CpuType = Field(
        default="host",
        description="Processor type that Proxmox VE knows, or custom-NAME; guests need host, the policy pack refuses others.",
    )
    links: tuple[IPv4Address, ...] = Field(description="Its address on each of the cluster's links, in their order.")
    networks: tuple[IPv4Address, ...] = Field(
        default=(), description="Further addresses, each on a bridge of the outer host: the storage network."
    )
    macs: dict[InterfaceName, MacAddress] = Field(
        default_factory=dict, description="MAC addresses by bridge; derived from the node's name when left out."
    )


class Attachment(Model):
    """An address of an existing node on a further network."""

    address: Interface = Field(description="Address with prefix, 10.30.1.101/24.")
    interface: InterfaceName = Field(description="Network interface, as Proxmox shows it.")


class LinkAttachment(Model):
    """An existing node's end of a link."""

    address: IPv4Address = Field(description="Its address on the link.")
    interface: InterfaceName | None = Field(
        default=None, description="Network interface; left out when the link is the management network."
    )


class ExistingNode(_Node):
    """A machine that already runs Proxmox VE, reached over SSH and API."""

    kind: Literal["existing"]
    memory_mib: int | None = Field(
        default=None,
        ge=1024,
        description="Its memory in MiB; the policy pack checks with it whether guests fit when a node dies.",
    )
    host_key: SshPublicKey | None = Field(
        default=None, description="Its SSH host key; may also be among the credentials."
    )
    links: tuple[LinkAttachment, ...] = Field(description="Its end of each of the cluster's links, in their order.")
    networks: tuple[Attachment, ...] = Field(default=(), description="Its addresses on further networks: storage.")
    manage_network: bool = Field(default=False, description="Configure the interfaces above; false only verifies them.")
    management_interface: InterfaceName = Field(
        default="vmbr0",
        description="The interface of its management address, which manageNetwork never changes. The default is that of Proxmox' installer.",
    )


Node = Annotated[NestedNode | ExistingNode, Field(discriminator="kind")]


class Link(Model):
    """A Corosync link. Its number is its place in the list, or the one that it says."""

    number: int | None = Field(
        default=None,
        ge=0,
        le=7,
        description="Its number. Default: its place in the list, from 0. Needed where a link before it was taken out of a live cluster.",
    )
    subnet: Network = Field(description="Network of the link; each link has its own.")
    priority: int | None = Field(
        default=None, ge=0, le=255, description="The connected link with the highest number carries the traffic."
    )
    mtu: Mtu = Field(
        default=1500,
        description="Largest packet in bytes: the interfaces of the link get it, and the preflight sends such packets.",
    )


class Totem(Model):
    """Settings of Corosync; what is left out is left alone."""

    token_ms: int | None = Field(
        default=None,
        ge=300,
        le=20000,
        description="A node that is silent for so long is taken for lost, in milliseconds. The HA manager's watchdog waits 60 s.",
    )
    token_coefficient_ms: int | None = Field(
        default=None,
        ge=0,
        le=5000,
        description="For each node beyond two, the token waits so much longer, in milliseconds.",
    )
    link_mode: Literal["passive", "active", "rr"] | None = Field(
        default=None,
        description="passive: the link with the highest priority carries all; active: each link does; rr: the links take turns. "
        "Corosync is restarted for it, node by node.",
    )


class ClusterApi(Model):
    """How the cluster's API is used for day-to-day work."""

    endpoint: HttpsEndpoint = Field(
        description="https://name:8006. Best a DNS name with the address of every member: each is tried in turn."
    )
    user: UserId = Field(
        default="pulumi@pve",
        description="This user is made in realm pve, with at most 64 characters; the password is a credential.",
    )
    role: Annotated[str, shaped(r"^[A-Za-z0-9._-]+$", "letters, digits, ., _ and -")] = Field(
        default=OWN_ROLE,
        description="Its only role on /. The default role is made by this program, with only the privileges that its calls need.",
    )
    tls: Tls = Field(
        default="pinned",
        description="pinned: the certificate is compared with the machine's own, over SSH; verified: the system's authorities check it.",
    )


class ClusterOptions(Model):
    """Datacenter options that the program sets; what is left out is left alone."""

    migration_network: Network | None = Field(default=None, description="Network for live migration.")
    ha_shutdown_policy: Literal["freeze", "failover", "conditional", "migrate"] | None = Field(
        default=None, description="What HA does with guests when a node is shut down."
    )


class WitnessMachine(Model):
    """A Debian machine outside of the cluster, reached over SSH as root."""

    name: HostName = Field(description="What it is called here.")
    address: IPv4Address = Field(description="Where SSH reaches it, and the members do: TCP port 5403.")
    host_key: SshPublicKey | None = Field(
        default=None, description="Its SSH host key; may also be among the credentials, under nodes."
    )


class QDevice(Model):
    """A server outside of the cluster whose decision is one more vote; set up while the number of nodes is even."""

    host: HostName | None = Field(default=None, description="An outer host that runs the server.")
    machine: WitnessMachine | None = Field(default=None, description="Instead of host: any other Debian machine.")
    algorithm: Literal["ffsplit", "lms"] = Field(
        default="ffsplit",
        description="ffsplit: one vote for the larger half; lms: as many votes as the nodes have, less one, for those that are left.",
    )
    tls: Literal["on", "required"] = Field(
        default="on", description="required: members do not talk to a server that offers no TLS."
    )


class Cluster(Model):
    """The Corosync cluster."""

    name: Annotated[
        str,
        shaped(
            r"^[A-Za-z0-9]([A-Za-z0-9-]{0,13}[A-Za-z0-9])?$",
            "at most 15 letters, digits and dashes, no dash at the ends",
        ),
    ] = Field(description="At most 15 letters, digits and dashes; cannot change once the cluster exists.")
    seed: HostName = Field(
        description="The node on which it is created. Once the cluster exists, a change of it changes nothing."
    )
    links: tuple[Link, ...] = Field(min_length=1, max_length=8, description="One to eight; the policy pack wants two.")
    totem: Totem = Field(default=Totem(), description="Settings of Corosync.")
    latency_max_ms: float = Field(
        default=5.0,
        gt=0,
        le=10,
        description="Slower links are refused, in milliseconds. Proxmox asks for less than 5; above 10 Corosync fails.",
    )
    timeout_s: int = Field(
        default=180,
        ge=30,
        le=86400,
        description="How long may take, in seconds: create, each join, each check of the cluster and of a guest's HA, each change of Corosync "
        "before it is undone, and the wait for a cluster that is busy.",
    )
    api: ClusterApi = Field(description="The API for day-to-day work.")
    qdevice: QDevice | None = Field(default=None, description="A further vote, from outside of the cluster.")
    options: ClusterOptions = Field(default=ClusterOptions(), description="Datacenter options.")
    on_destroy: Literal["keep", "remove-guests"] | None = Field(
        default=None,
        description="What pulumi destroy does with guests, HA and storage. Default: keep when a node is existing.",
    )


StorageContent = Literal["images", "rootdir", "iso", "vztmpl", "backup", "snippets", "import"]


class NfsStorage(Model):
    """Shared storage over NFS, added to the cluster."""

    kind: Literal["nfs"]
    name: StorageName = Field(description="Its name in Proxmox.")
    server: IPv4Address = Field(
        description="The NFS server's address on the storage network; the policy pack refuses a member of the cluster."
    )
    export: AbsolutePath = Field(description="The exported directory.")
    contents: tuple[StorageContent, ...] = Field(min_length=1, description="The kinds of content that it may hold.")


class ExternalStorage(Model):
    """Storage that the cluster has already, left as it is."""

    kind: Literal["external"]
    name: StorageName = Field(description="Its name in Proxmox.")
    shared: bool = Field(description="Whether every node sees the same content.")


Storage = Annotated[NfsStorage | ExternalStorage, Field(discriminator="kind")]


class Download(Model):
    """A file that the cluster downloads by itself."""

    url: HttpUrl = Field(description="Where it is.")
    checksum: Sha256 | None = Field(default=None, description="sha256:… of the file; required.")
    file_name: FileName = Field(description="Its name on the storage, after the stack's tag.")


class Template(Model):
    """A VM template that guests are cloned from."""

    name: GuestName = Field(description="Its name; guests refer to it.")
    vmid: Vmid = Field(description="Its number in the cluster.")
    node: HostName = Field(description="Where it is made. A template is not moved.")
    storage: StorageName = Field(description="Where its disk is.")
    disk_gib: int = Field(default=8, ge=1, description="Disk in GiB.")
    cores: int = Field(default=1, ge=1, description="Virtual processors.")
    memory_mib: int = Field(default=512, ge=16, description="Memory in MiB.")
    kvm: bool = Field(default=False, description="KVM in the guest: off is slower, and safe without nested KVM.")
    cpu_type: CpuType = Field(
        default="qemu64", description="Processor type that Proxmox VE knows, or custom-NAME; host works only with KVM."
    )
    bridge: BridgeName = Field(default="vmbr0", description="Bridge of its network card, on the nodes.")
    image: Download | None = Field(default=None, description="Disk image to import; an empty disk when left out.")


class Ha(Model):
    """How the HA manager treats a guest."""

    state: Literal["started", "stopped"] = Field(default="started", description="The state to keep it in.")
    max_restart: int = Field(default=1, ge=0, le=10, description="Tries to start it on the same node.")
    max_relocate: int = Field(default=1, ge=0, le=10, description="Tries to start it on another node.")
    failback: bool = Field(default=True, description="Move it back to a preferred node that returns (PVE 9).")
    # Proxmox VE writes no 0 (NodeAffinity.pm), and the provider treats that as another value: a change in every run.
    nodes: dict[HostName, Annotated[int, Field(ge=1, le=1000)]] = Field(
        default_factory=dict,
        description="Preferred nodes with their priorities, the highest first; any node when left out.",
    )
    strict: bool = Field(default=False, description="Run on these nodes only.")


class _MadeGuest(Model):
    name: GuestName = Field(description="Its name.")
    vmid: Vmid = Field(description="Its number in the cluster.")
    node: HostName = Field(description="Where it is made; afterwards HA decides where it runs.")
    cores: int = Field(default=1, ge=1, le=8192, description="Virtual processors.")
    memory_mib: int = Field(default=512, ge=16, le=MEMORY_MAX, description="Memory in MiB; a VM has at least 64.")
    keep: bool = Field(
        default=False,
        description="When it is left out of this file later, it runs on, out of HA and of the stack, instead of being destroyed.",
    )
    ha: Ha = Field(default=Ha(), description="HA settings.")


class VmGuest(_MadeGuest):
    """A virtual machine cloned from a template."""

    kind: Literal["vm"]
    template: GuestName = Field(description="Name of the template.")
    storage: StorageName = Field(description="Where its disk is.")
    disk_gib: int | None = Field(
        default=None, ge=1, description="Disk in GiB. It only grows; as large as the template's when left out."
    )
    bridge: BridgeName = Field(default="vmbr0", description="Bridge of its network card, on the nodes.")


class ContainerTemplate(Model):
    """What a container is made from: a file on a storage, downloaded first when a URL is given."""

    storage: StorageName = Field(description="Storage with content vztmpl.")
    file_name: FileName = Field(description="Name of the file there; a download gets the stack's tag before it.")
    url: HttpUrl | None = Field(default=None, description="Where to download it from; removed with the container.")
    checksum: Sha256 | None = Field(default=None, description="Needed with url: sha256:… of the file there.")


class ContainerGuest(_MadeGuest):
    """An LXC container."""

    kind: Literal["container"]
    template: ContainerTemplate = Field(description="What it is made from.")
    storage: StorageName = Field(description="Where its root disk is.")
    disk_gib: int = Field(default=4, ge=1, description="Root disk in GiB. It only grows.")
    swap_mib: int = Field(default=0, ge=0, description="Swap in MiB.")
    bridge: BridgeName = Field(default="vmbr0", description="Bridge of its network card, on the nodes.")
    address: Interface | Literal["dhcp"] = Field(default="dhcp", description="dhcp, or an address with prefix.")
    gateway: IPv4Address | None = Field(default=None, description="Default gateway with a static address.")


class ExistingGuest(Model):
    """A guest that exists already. It is put under HA, and taken out again; nothing else of it is changed, and it is never destroyed."""

    kind: Literal["existing"]
    type: Literal["vm", "container"] = Field(description="What it is.")
    name: GuestName = Field(
        description="Its name in Proxmox VE, in lower case, with a dash for every other character; VMID may follow after a dash."
    )
    vmid: Vmid = Field(description="Its number in the cluster.")
    memory_mib: int | None = Field(
        default=None,
        ge=16,
        description="Its memory in MiB; the policy pack checks with it whether guests fit when a node dies. Nothing is set on the guest.",
    )
    ha: Ha = Field(default=Ha(), description="HA settings.")


MadeGuest = VmGuest | ContainerGuest
Guest = Annotated[VmGuest | ContainerGuest | ExistingGuest, Field(discriminator="kind")]


class Config(Model):
    """One stack."""

    pve_major: Literal[8, 9] = Field(description="Proxmox VE's major version; hosts and nodes must have it.")
    management_network: ManagementNetwork = Field(description="Where hosts and nodes are administered.")
    outer_hosts: tuple[DescribedHost, ...] = Field(default=(), description="Hosts of nested nodes.")
    installation: Installation | None = Field(default=None, description="What nested nodes are installed with.")
    maintenance: Maintenance = Field(default=Maintenance(), description="Repository, upgrade and reboot of the nodes.")
    protect_nodes: bool = Field(
        default=True, description="Refuse to delete the VMs of nodes, pulumi destroy included, until this is false."
    )
    nodes: tuple[Node, ...] = Field(min_length=1, description="The members of the cluster.")
    cluster: Cluster = Field(description="The cluster.")
    storages: tuple[Storage, ...] = Field(default=(), description="Storages of the cluster that guests use.")
    templates: tuple[Template, ...] = Field(default=(), description="VM templates.")
    guests: tuple[Guest, ...] = Field(default=(), description="Guests under HA.")
    parallel_clones: int = Field(default=2, ge=1, le=16, description="How many guests are cloned at the same time.")
