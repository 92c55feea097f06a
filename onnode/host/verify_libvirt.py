"""verify-libvirt: the outer host can carry this stack with libvirt, and nothing foreign is in its way. Changes nothing.

libvirt itself need not be there yet: its packages come after this step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.contract.libvirt import VerifyLibvirt
from onnode.errors import StepError
from onnode.host import demands, libvirt, libvirt_domain, libvirt_files, virsh
from onnode.host.libvirt_files import Domain, Network  # noqa: TC001 - the tests' cases are read by these types
from onnode.step import Action, Step, act_never
from onnode.system import network, originals, processor

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

DAEMONS = ("/usr/sbin/libvirtd", "/usr/sbin/virtqemud")
BLOCK = 512  # of stat(2)
GIB = 1 << 30


@dataclass(frozen=True)
class Observed:
    """The host's abilities, and what already lives on it.

    Attributes:
        complaint: what libvirt's client says, where libvirt is installed and does not answer.
        disk_gib_free: on the file system of the directory.
        disk_gib_own: what the stack's disks take up there already.
        networks: of libvirt.
        connected: the networks of the host's own addresses, live or configured.
    """

    virtualization: str | None
    memory_mib: int
    disk_gib_free: float
    iso_there: bool = True
    complaint: str = ""
    disk_gib_own: float = 0.0
    domains: list[Domain] = field(default_factory=list)
    networks: list[Network] = field(default_factory=list)
    own_bridges: list[str] = field(default_factory=list)
    interfaces: list[str] = field(default_factory=list)
    connected: list[network.Route] = field(default_factory=list)
    routes: list[network.Route] = field(default_factory=list)

    def own_vmids(self, desired: VerifyLibvirt) -> list[int]:
        """Which of the stack's VMs are there."""
        return sorted(
            one.vmid for one in self.domains if one.stack == desired.stack and one.vmid in desired.vms and one.vmid
        )


def observe(machine: ThisMachine, desired: VerifyLibvirt) -> Observed:
    """Look at the host."""
    networks = libvirt_files.networks(machine)
    configured = [network.Route(address, one.bridge) for one in networks for address in one.addresses if address]
    return Observed(
        processor.virtualization(machine),
        demands.memory_mib(machine),
        machine.free_bytes(desired.directory) / GIB,
        desired.iso_path is None or machine.exists(desired.iso_path),
        _complaint(machine),
        sum(_taken_up(machine, desired, vmid) for vmid in desired.vms) / GIB,
        libvirt_files.domains(machine),
        networks,
        originals.bridges(machine, desired.stack),
        network.interface_names(machine),
        [*demands.connected(network.interfaces(machine), network.stanzas(machine)), *configured],
        network.routes(machine),
    )


def _complaint(machine: ThisMachine) -> str:
    if not any(map(machine.exists, DAEMONS)):
        return ""
    try:
        virsh.virsh(machine, "uri")
    except StepError as error:
        return "" if error.code == "command-missing" else error.observed
    return ""


def _taken_up(machine: ThisMachine, desired: VerifyLibvirt, vmid: int) -> int:
    """What a disk takes up: it has holes where the node has not written."""
    path = machine.path(libvirt_domain.disk_path(desired.directory, desired.stack, vmid))
    return path.stat().st_blocks * BLOCK if path.is_file() else 0


def decide(observed: Observed, desired: VerifyLibvirt) -> list[Action]:
    """Refuse a host that cannot, or must not, carry the stack.

    Raises:
        StepError: no-virtualization, host-memory, host-disk, iso-missing, libvirt-down, foreign-vmid, foreign-domain, foreign-bridge,
            foreign-subnet, interface-missing.
    """
    demands.refuse_no_virtualization(observed.virtualization)
    demands.refuse_little_memory(observed.memory_mib, desired.memory_mib)
    _refuse_no_room(observed, desired)
    if not observed.iso_there:
        raise demands.iso_missing(desired.iso_path or "")
    if observed.complaint:
        raise StepError(
            "libvirt-down", "libvirt does not answer", observed=observed.complaint, expected="an answer to `virsh uri`"
        )
    for one in observed.domains:
        _refuse_foreign_domain(one, desired)
    for bridge in desired.bridges:
        _refuse_foreign_bridge(bridge.name, observed, desired)
        demands.refuse_foreign_subnet(bridge, observed.connected, observed.routes)
    for name in desired.existing_bridges:
        if name not in observed.interfaces:
            raise demands.interface_missing(f"bridge {name}", name, observed.interfaces)
    return []


def _refuse_no_room(observed: Observed, desired: VerifyLibvirt) -> None:
    """Only for VMs that are yet to be made: those that are there have their disks, whatever has filled up since."""
    room = observed.disk_gib_free + observed.disk_gib_own
    if len(observed.own_vmids(desired)) < len(desired.vms) and room < desired.disk_gib:
        raise StepError(
            "host-disk",
            "the outer host has less room than the installations of the nested nodes take",
            observed=f"{desired.directory}: {room:.1f} GiB",
            expected=f"at least {desired.disk_gib} GiB",
        )


def _refuse_foreign_domain(one: Domain, desired: VerifyLibvirt) -> None:
    if one.stack == desired.stack:
        return
    if one.vmid is not None and one.vmid in desired.vms:
        raise demands.foreign_vmid(one.vmid, libvirt.as_vm(one))
    if one.name in desired.vms.values():
        raise libvirt_domain.foreign_domain(one.name, one)


def _refuse_foreign_bridge(name: str, observed: Observed, desired: VerifyLibvirt) -> None:
    """Somebody's network need not be active to have the bridge."""
    for one in observed.networks:
        if name in (one.name, one.bridge) and one.stack != desired.stack:
            owner = f"stack {one.stack}" if one.stack else "not this stack"
            raise demands.foreign_bridge(name, f"{owner}, as network {one.name} of libvirt")
    if name in observed.interfaces and name not in observed.own_bridges:
        raise demands.foreign_bridge(name, "not this stack")


def facts(observed: Observed, desired: VerifyLibvirt) -> dict[str, Any]:
    """What the host is, and which of the stack's VMs are there already (a killed run may have left one unrecorded)."""
    return {
        "virtualization": observed.virtualization,
        "memory_mib": observed.memory_mib,
        "disk_gib_free": int(observed.disk_gib_free),
        "own_vmids": observed.own_vmids(desired),
    }


def unchanged(observed: Observed, desired: VerifyLibvirt) -> str:
    """Say what was found."""
    room = f"{int(observed.disk_gib_free)} GiB free for {desired.directory}"
    return f"{observed.virtualization}, {observed.memory_mib} MiB and {room}, nothing foreign in the way"


STEP = Step(VerifyLibvirt, observe, decide, act_never, facts, unchanged, lock="shared")
