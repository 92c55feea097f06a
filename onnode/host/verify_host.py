"""verify-host: the outer host can carry this stack, and nothing foreign is in its way. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.contract.host import VerifyHost
from onnode.errors import StepError
from onnode.host import demands, kind
from onnode.host.hypervisor import Vm  # noqa: TC001 - the tests' cases are read by these types
from onnode.step import Action, Step, act_never
from onnode.system import network, originals, processor, pve

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine


@dataclass(frozen=True)
class Observed:
    """The host's abilities, and what already lives on it."""

    virtualization: str | None
    version: pve.Version
    memory_mib: int
    iso_there: bool
    guests: dict[int, Vm] = field(default_factory=dict)  # of those vmids that the stack wants
    own_bridges: list[str] = field(default_factory=list)
    interfaces: list[str] = field(default_factory=list)
    networks: list[network.Route] = field(default_factory=list)  # of its own addresses, live or configured
    routes: list[network.Route] = field(default_factory=list)
    masters: dict[str, str] = field(default_factory=dict)  # of ports and slaves, live or configured


def observe(machine: ThisMachine, desired: VerifyHost) -> Observed:
    """Look at the host."""
    live, stanzas = network.interfaces(machine), network.stanzas(machine)
    return Observed(
        processor.virtualization(machine),
        pve.version(machine),
        demands.memory_mib(machine),
        desired.iso_path is None or machine.exists(desired.iso_path),
        kind.hypervisor(machine).taken(desired.vmids),
        originals.bridges(machine, desired.stack),
        network.interface_names(machine),
        demands.connected(live, stanzas),
        network.routes(machine),
        {port: found.name for found in stanzas for port in found.ports}
        | {found.name: found.master for found in live if found.master is not None},
    )


def decide(observed: Observed, desired: VerifyHost) -> list[Action]:
    """Refuse a host that cannot, or must not, carry the stack.

    Raises:
        StepError: no-virtualization, pve-version, host-memory, iso-missing, foreign-vmid, foreign-bridge, foreign-subnet,
            interface-missing, interface-in-use.
    """
    demands.refuse_no_virtualization(observed.virtualization)
    pve.refuse_version(observed.version, desired.pve_major)
    demands.refuse_little_memory(observed.memory_mib, desired.memory_mib)
    if not observed.iso_there:
        raise demands.iso_missing(desired.iso_path or "")
    for vmid, vm in observed.guests.items():
        if not vm.owned_by(desired.stack):
            raise demands.foreign_vmid(vmid, vm)
    for bridge in desired.bridges:
        if bridge.name in observed.interfaces and bridge.name not in observed.own_bridges:
            raise demands.foreign_bridge(bridge.name, "not this stack")
        demands.refuse_foreign_subnet(bridge, observed.networks, observed.routes)
    for wanted in desired.ports:
        for port in wanted.ports:
            _refuse_port(wanted.bridge, port, observed)
    return []


def _refuse_port(bridge: str, port: str, observed: Observed) -> None:
    """A card is in one bridge only, and in a bridge it has no address: what is reached over it would be cut off."""
    if port.partition(".")[0] not in observed.interfaces:  # a VLAN is made with the bridge
        raise demands.interface_missing(f"network card {port} for {bridge}", port, observed.interfaces)
    master = observed.masters.get(port, bridge)
    addresses = [found.network for found in observed.networks if found.device == port]
    if master != bridge or addresses:
        raise StepError(
            "interface-in-use",
            f"{port} is in use on the outer host, and cannot be a port of {bridge}",
            observed=f"{port} belongs to {master}" if master != bridge else f"{port} has {', '.join(addresses)}",
            expected=f"a network card without addresses that is in no bridge or bond but {bridge}",
        )


def facts(observed: Observed, _desired: VerifyHost) -> dict[str, Any]:
    """What the host is, and which of the stack's VMs are there already (a killed run may have left one unrecorded)."""
    return {
        "virtualization": observed.virtualization,
        "pve_version": observed.version.manager,
        "memory_mib": observed.memory_mib,
        "own_vmids": sorted(observed.guests),
    }


def unchanged(observed: Observed, _desired: VerifyHost) -> str:
    """Say what was found."""
    return f"Proxmox VE {observed.version.manager} with {observed.virtualization} and {observed.memory_mib} MiB, nothing foreign in the way"


STEP = Step(VerifyHost, observe, decide, act_never, facts, unchanged, lock="shared")
