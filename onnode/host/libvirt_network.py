"""libvirt-network: a bridge of the stack is an isolated network of libvirt, active and started with the host.

A network that is stopped loses its bridge, and libvirt does not connect the cards of running VMs to the next one. So it is restarted only
while nothing is connected; the range of DHCP is changed in the network that is active. Where somebody else stopped it, the cards of this
stack's VMs are connected again.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from onnode.contract.libvirt import LibvirtNetwork
from onnode.errors import StepError
from onnode.host import demands, libvirt_files, libvirt_xml, virsh
from onnode.host.libvirt_files import NETWORKS, Network
from onnode.step import Action, Step
from onnode.system import network

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

COMMANDS = {"start": "net-start", "stop": "net-destroy", "autostart": "net-autostart", "undefine": "net-undefine"}
UPDATES = {"withdraw": "delete", "offer": "add-last"}  # of a range


@dataclass(frozen=True)
class Observed:
    """The network as it is defined, as it is active, and who is connected."""

    defined: Network | None = None
    live: Network | None = None
    autostart: bool = False
    interface: bool = False  # one of its name exists, whoever made it
    ports: list[str] = field(default_factory=list)  # interfaces in its bridge
    loose: list[str] = field(
        default_factory=list
    )  # interfaces of this stack's VMs that are to be in its bridge, and are not
    domains: list[str] = field(default_factory=list)  # that have a card there, at their next start at the latest

    @property
    def found(self) -> Network | None:
        """What is there."""
        return self.defined or self.live


def observe(machine: ThisMachine, desired: LibvirtNetwork) -> Observed:
    """Look at libvirt's networks, its domains, and the interfaces of the host."""
    name = desired.bridge.name
    rivals = [one for one in libvirt_files.networks(machine) if name in (one.name, one.bridge)]
    interfaces = network.interfaces(machine)
    there = name in {one.name for one in interfaces}
    running = libvirt_files.live(machine)
    taps = {tap for one in running if one.stack == desired.stack for tap, bridge in one.taps.items() if bridge == name}
    return Observed(
        min(
            rivals, key=lambda one: (one.name, one.stack) == (name, desired.stack), default=None
        ),  # a foreign one first
        _live(machine, name) if there or rivals else None,
        libvirt_files.starts_with_the_daemon(machine, NETWORKS, name),
        there,
        [one.name for one in interfaces if one.master == name],
        sorted(one.name for one in interfaces if one.name in taps and one.master is None),
        sorted({one.name for one in (*libvirt_files.domains(machine), *running) if one.on(name)}),
    )


def _live(machine: ThisMachine, name: str) -> Network | None:
    if name not in virsh.names(machine, "net-list"):
        return None
    return libvirt_files.parse_network(virsh.virsh(machine, "net-dumpxml", name), name)


def wanted(desired: LibvirtNetwork) -> Network:
    """The network as it is to be."""
    bridge = desired.bridge
    return Network(
        bridge.name,
        "",
        desired.stack,
        bridge.name,
        [ipaddress.IPv4Interface(bridge.address).with_prefixlen],
        [f"{bridge.dhcp_start} {bridge.dhcp_end}"] if bridge.dhcp_start else [],
        desired.mtu,
    )


def decide(observed: Observed, desired: LibvirtNetwork) -> list[Action]:
    """Describe it, and let what is active become what is described.

    Raises:
        StepError: foreign-bridge, network-in-use.
    """
    _refuse_foreign(observed, desired)
    name, target, live = desired.bridge.name, wanted(desired), observed.live
    changes = _bring_up(observed, name) if live is None or not _fits(live, target) else _ranges(live, target)
    if observed.defined is None or not _same(observed.defined, target):
        uuid = observed.found.uuid if observed.found else ""
        changes = [Action("define", name, libvirt_xml.network(desired, uuid)), *changes]
    changes += [Action("connect", tap) for tap in observed.loose]
    return changes if observed.autostart else [*changes, Action("autostart", name)]


def _refuse_foreign(observed: Observed, desired: LibvirtNetwork) -> None:
    found, name = observed.found, desired.bridge.name
    if found is not None and (found.stack != desired.stack or found.name != name):
        owner = f"stack {found.stack}" if found.stack else "not this stack"
        raise demands.foreign_bridge(name, owner if found.name == name else f"{owner}, as network {found.name}")
    if found is None and observed.interface:
        raise demands.foreign_bridge(name, "not this stack")


def _same(found: Network, target: Network) -> bool:
    return replace(found, uuid="") == target


def _fits(live: Network, target: Network) -> bool:
    """Whether it can become what is wanted while it is active: libvirt changes ranges then, and nothing else of this."""
    return _same(replace(live, ranges=[]), replace(target, ranges=[]))


def _bring_up(observed: Observed, name: str) -> list[Action]:
    if observed.live is None:
        return [Action("start", name)]
    if observed.ports:
        fix = (
            f"take what is not this stack's off the network; then `virsh net-destroy {name}` on the outer host, which cuts the nodes off until "
            "the same command, run again, has started it and connected them"
        )
        raise in_use(name, "restarted", observed, fix)
    return [Action("stop", name), Action("start", name)]


def _ranges(live: Network, target: Network) -> list[Action]:
    return [
        *(Action("withdraw", one) for one in live.ranges if one not in target.ranges),
        *(Action("offer", one) for one in target.ranges if one not in live.ranges),
    ]


def in_use(name: str, what: str, observed: Observed, fix: str) -> StepError:
    """The refusal to cut somebody off."""
    users = [*(f"VM {one}" for one in observed.domains), *observed.ports]
    return StepError(
        "network-in-use",
        f"the network {name} would have to be {what}, which cuts off what is connected",
        observed=f"connected to {name}: {', '.join(users)}",
        expected="nothing that is connected",
        fix=fix,
    )


def act(machine: ThisMachine, desired: LibvirtNetwork, action: Action) -> None:
    """Tell libvirt."""
    name = desired.bridge.name
    if action.do == "define":
        virsh.virsh(machine, "net-define", virsh.STDIN, stdin=action.text)
    elif action.do == "connect":
        machine.check(["ip", "link", "set", "dev", action.what, "master", name])
    elif action.do in UPDATES:
        xml = libvirt_xml.offer(action.what)
        virsh.virsh(machine, "net-update", name, UPDATES[action.do], "ip-dhcp-range", xml, "--live")
    else:
        virsh.virsh(machine, COMMANDS[action.do], name)


def facts(_observed: Observed, desired: LibvirtNetwork) -> dict[str, Any]:
    """Which bridge."""
    return {"bridge": desired.bridge.name, "address": desired.bridge.address}


def unchanged(_observed: Observed, desired: LibvirtNetwork) -> str:
    """Say what was found."""
    return f"the network {desired.bridge.name} is active with {desired.bridge.address}"


def differs(observed: Observed, _desired: LibvirtNetwork, action: Action) -> str:
    """How the network is, where it is not as described."""
    if action.do == "define":
        return shown(observed.defined)
    values = {
        "stop": shown(observed.live),
        "start": "it is not active" if observed.live is None else "",
        "connect": "the card of a VM that runs is not in the bridge",
        "autostart": "it would not start with the host",
    }
    return values.get(action.do, f"DHCP offers {', '.join(observed.live.ranges) or 'nothing'}" if observed.live else "")


def shown(found: Network | None) -> str:
    """A network, for people."""
    if found is None:
        return f"it is not in {NETWORKS}"
    offered = f", DHCP {', '.join(one.replace(' ', ' to ') for one in found.ranges)}" if found.ranges else ""
    kind = "" if found.isolated else ", not isolated or with names"
    return f"it has {', '.join(found.addresses) or 'no address'}, MTU {found.mtu}{offered}{kind}"


STEP = Step(LibvirtNetwork, observe, decide, act, facts, unchanged, differs=differs)
