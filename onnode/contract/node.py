"""What is asked of a node by itself."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Repository:
    """Which Proxmox repository a machine uses, and the packages that must be there."""

    mode: str  # "no-subscription" | "enterprise" | "keep"
    uri: str  # "http://download.proxmox.com/debian/pve"
    packages: list[str] = field(default_factory=list)


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
