"""What every outer host must have, and what must not be in a stack's way there, whatever runs its VMs."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from onnode.errors import StepError
from onnode.system import network, processor

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from onnode.contract.host import Bridge
    from onnode.host.hypervisor import Vm
    from onnode.system import interfaces_file
    from onnode.system.machine import ThisMachine

MEMINFO = "/proc/meminfo"


def parse_memory_mib(meminfo: str) -> int:
    """The machine's memory, from /proc/meminfo."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) // 1024 if found else 0


def memory_mib(machine: ThisMachine) -> int:
    """The machine's memory."""
    return parse_memory_mib(machine.read(MEMINFO) or "")


def connected(live: Iterable[network.Interface], stanzas: Iterable[interfaces_file.Stanza]) -> list[network.Route]:
    """The networks that the machine has an address in, live or as ifupdown has it configured."""
    return [
        *(network.Route(address, found.name) for found in live for address in found.addresses),
        *(network.Route(address, found.name) for found in stanzas for address in found.addresses),
    ]


def refuse_no_virtualization(virtualization: str | None) -> None:
    """Refuse a host that cannot run VMs.

    Raises:
        StepError: no-virtualization.
    """
    if virtualization is None:
        raise StepError(
            "no-virtualization",
            "the outer host cannot run KVM guests",
            observed=f"neither vmx nor svm in {processor.CPUINFO}",
            expected="vmx or svm",
        )


def refuse_little_memory(found_mib: int, wanted_mib: int) -> None:
    """Refuse a host on which the nodes would not all run.

    Raises:
        StepError: host-memory.
    """
    if found_mib < wanted_mib:
        raise StepError(
            "host-memory",
            "the outer host has less memory than the nested nodes are to have",
            observed=f"{found_mib} MiB",
            expected=f"at least {wanted_mib} MiB",
        )


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


def foreign_bridge(name: str, owner: str) -> StepError:
    """The refusal to take over a bridge."""
    return StepError(
        "foreign-bridge",
        f"the bridge {name} already exists, and does not belong to this stack",
        observed=f"{name} was made by {owner}",
        expected=f"no interface {name}, or one that this stack made",
    )


def interface_missing(what: str, name: str, interfaces: Iterable[str]) -> StepError:
    """The host lacks an interface that the configuration names."""
    return StepError(
        "interface-missing",
        f"the outer host has no {what}",
        observed=", ".join(one for one in interfaces if one != "lo") or "no interface",
        expected=name,
    )


def refuse_foreign_subnet(
    bridge: Bridge, networks: Collection[network.Route], routes: Collection[network.Route]
) -> None:
    """A network that the host is connected to is in use, and one that it has a route to as narrow as the subnet.

    A wider route is none: a VPN's 0.0.0.0/1, or 10.0.0.0/8 behind a company's router, yields to the bridge's own.

    Raises:
        StepError: foreign-subnet.
    """
    wanted = ipaddress.IPv4Interface(bridge.address).network
    overlapping = [found for found in networks if wanted.overlaps(_network(found))]
    for found in [*overlapping, *(route for route in routes if _network(route).subnet_of(wanted))]:
        if found.device != bridge.name:
            raise StepError(
                "foreign-subnet",
                f"the subnet {wanted} of {bridge.name} is already in use on the outer host",
                observed=f"{found.network} on {found.device or 'a route without device'}",
                expected=f"{wanted} only on {bridge.name}",
            )


def _network(found: network.Route) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Interface(found.network).network
