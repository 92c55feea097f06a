"""verify-host: the outer host can carry this stack, and nothing foreign is in its way. Changes nothing."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.contract.host import Bridge, VerifyHost
from onnode.errors import StepError
from onnode.host import journal, kind
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


def parse_memory_mib(meminfo: str) -> int:
    """The machine's memory, from /proc/meminfo."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) // 1024 if found else 0


def observe(machine: ThisMachine, desired: VerifyHost) -> Observed:
    """Look at the host."""
    live = network.interfaces(machine)
    addresses = [network.Route(address, found.name) for found in live for address in found.addresses]
    stanzas = network.stanzas(machine)
    configured = [network.Route(address, found.name) for found in stanzas for address in found.addresses]
    return Observed(
        processor.virtualization(machine),
        pve.version(machine),
        parse_memory_mib(machine.read("/proc/meminfo") or ""),
        desired.iso_path is None or machine.exists(desired.iso_path),
        kind.hypervisor(machine).taken(desired.vmids),
        originals.bridges(machine, desired.stack),
        network.interface_names(machine),
        [*addresses, *configured],
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
    _refuse_unable(observed, desired)
    for vmid, vm in observed.guests.items():
        if not vm.owned_by(desired.stack):
            raise foreign_vmid(vmid, vm)
    for bridge in desired.bridges:
        if bridge.name in observed.interfaces and bridge.name not in observed.own_bridges:
            raise journal.foreign_bridge(bridge.name, "not this stack")
        _refuse_foreign_subnet(bridge, observed)
    for wanted in desired.ports:
        for port in wanted.ports:
            _refuse_port(wanted.bridge, port, observed)
    return []


def _refuse_unable(observed: Observed, desired: VerifyHost) -> None:
    if observed.virtualization is None:
        raise StepError(
            "no-virtualization",
            "the outer host cannot run KVM guests",
            observed=f"neither vmx nor svm in {processor.CPUINFO}",
            expected="vmx or svm",
        )
    pve.refuse_version(observed.version, desired.pve_major)
    if observed.memory_mib < desired.memory_mib:
        raise StepError(
            "host-memory",
            "the outer host has less memory than the nested nodes are to have",
            observed=f"{observed.memory_mib} MiB",
            expected=f"at least {desired.memory_mib} MiB",
        )
    if not observed.iso_there:
        raise iso_missing(desired.iso_path or "")


def iso_missing(path: str) -> StepError:
    """The installer image is not where the configuration says."""
    return StepError(
        "iso-missing", "the installer ISO is not on the outer host", observed=f"no file {path}", expected=path
    )


def foreign_vmid(vmid: int, vm: Vm) -> StepError:
    """The refusal to touch a guest that this stack did not make."""
    return StepError(
        "foreign-vmid",
        f"the vmid {vmid} belongs to a guest that this stack did not make",
        observed=f"guest {vmid} ({vm.name}), tags: {', '.join(vm.tags) or 'none'}",
        expected=f"no guest {vmid}, or one with the tags of this stack",
    )


def _refuse_foreign_subnet(bridge: Bridge, observed: Observed) -> None:
    """A network that the host is connected to is in use, and one that it has a route to as narrow as the subnet.

    A wider route is none: a VPN's 0.0.0.0/1, or 10.0.0.0/8 behind a company's router, yields to the bridge's own.
    """
    wanted = ipaddress.IPv4Interface(bridge.address).network
    connected = [found for found in observed.networks if wanted.overlaps(_network(found))]
    for found in [*connected, *(route for route in observed.routes if _network(route).subnet_of(wanted))]:
        if found.device != bridge.name:
            raise StepError(
                "foreign-subnet",
                f"the subnet {wanted} of {bridge.name} is already in use on the outer host",
                observed=f"{found.network} on {found.device or 'a route without device'}",
                expected=f"{wanted} only on {bridge.name}",
            )


def _refuse_port(bridge: str, port: str, observed: Observed) -> None:
    """A card is in one bridge only, and in a bridge it has no address: what is reached over it would be cut off."""
    if port.partition(".")[0] not in observed.interfaces:  # a VLAN is made with the bridge
        raise StepError(
            "interface-missing",
            f"the outer host has no network card {port} for {bridge}",
            observed=", ".join(name for name in observed.interfaces if name != "lo") or "no interface",
            expected=port,
        )
    master = observed.masters.get(port, bridge)
    addresses = [found.network for found in observed.networks if found.device == port]
    if master != bridge or addresses:
        raise StepError(
            "interface-in-use",
            f"{port} is in use on the outer host, and cannot be a port of {bridge}",
            observed=f"{port} belongs to {master}" if master != bridge else f"{port} has {', '.join(addresses)}",
            expected=f"a network card without addresses that is in no bridge or bond but {bridge}",
        )


def _network(found: network.Route) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Interface(found.network).network


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
