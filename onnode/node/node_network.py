"""node-network: the addresses of a node's links and further networks, now and at every boot.

The described value is all that changes in a file. Before anything does, the network's dead man's switch is armed;
whoever asked for this step must log in anew and confirm (`confirm-network`), or the change is put back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import membership
from onnode.contract import LinkInterface, NodeNetwork
from onnode.errors import StepError
from onnode.node import prepare_node
from onnode.step import Action, Step
from onnode.system import interfaces_file, network, network_guard, originals, pve
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

LOOPBACK = "lo"
LIVE, FILES = "live", "files"


@dataclass(frozen=True)
class Observed:
    """The node's network, live and configured."""

    node: str
    version: pve.Version
    member: bool  # of a cluster, completely or half
    cluster: list[str] = field(default_factory=list)  # the addresses that corosync.conf has of this node
    files: dict[str, str] = field(default_factory=dict)
    live: list[network.Interface] = field(default_factory=list)
    ours: dict[str, str] = field(default_factory=dict)  # interface -> the address that this step wrote for it
    guard: str = "none"


def observe(machine: ThisMachine, _desired: NodeNetwork) -> Observed:
    """Look at the node."""
    cluster = membership.observe(machine)
    entry = cluster.conf.node(cluster.node) if cluster.conf else None
    return Observed(
        cluster.node,
        pve.version(machine),
        cluster.state != "absent",
        sorted(entry.links.values()) if entry else [],
        interfaces_file.files(machine),
        network.interfaces(machine),
        originals.addresses(machine),
        network_guard.state(machine),
    )


def decide(observed: Observed, desired: NodeNetwork) -> list[Action]:
    """Which files change, and whether they have to be loaded.

    Raises:
        StepError: hostname, pve-version, interface-missing, address-elsewhere, link-address-of-member,
            management-interface, interface-in-use, interface-method.
    """
    prepare_node.refuse_other_machine(observed.node, observed.version, desired)
    texts, reload = observed.files, False
    for wanted in desired.interfaces:
        found = network.find(wanted, observed.live)
        _refuse_elsewhere(wanted, found, observed.live)
        lacking = _lacking(observed, wanted, found)
        if not lacking:
            continue
        _refuse_unfit(observed, desired, wanted, found)
        texts = interfaces_file.ensure_static(
            texts, found.name, wanted.address, wanted.mtu, observed.ours.get(found.name)
        )
        reload = reload or LIVE in lacking
    changed = {path: text for path, text in texts.items() if text != observed.files.get(path)}
    if not changed and not reload:
        return []
    return [
        Action("arm", ", ".join(f"{wanted.address}" for wanted in desired.interfaces)),
        *(Action("write", path, text) for path, text in changed.items()),
        *([Action("reload", "ifreload -a")] if reload else []),
    ]


def _lacking(observed: Observed, wanted: LinkInterface, found: network.Interface) -> dict[str, str]:
    """What is not as wanted, live and in the files, in words."""
    live = wanted.address in found.addresses and found.mtu == wanted.mtu
    return {
        **({} if live else {LIVE: f"{found.name} has {_shown(found.addresses, found.mtu)}"}),
        **_unconfigured(observed, wanted, found.name),
    }


def _unconfigured(observed: Observed, wanted: LinkInterface, name: str) -> dict[str, str]:
    own = [stanza for stanza in interfaces_file.stanzas(observed.files) if stanza.name == name]
    addresses = [address for stanza in own if stanza.family == "inet" for address in stanza.addresses]
    mtu = _configured_mtu(own)
    if wanted.address not in addresses or mtu != wanted.mtu:
        return {FILES: f"for {name} {_shown(addresses, mtu)}"}
    # How an interface of the user's comes up at boot is the user's matter.
    if observed.ours.get(name) == wanted.address and not interfaces_file.comes_up(observed.files, name):
        return {FILES: f"no `auto {name}`"}
    return {}


def _configured_mtu(own: list[interfaces_file.Stanza]) -> int:
    return next((found.mtu for found in own if found.mtu is not None), network.MTU_DEFAULT)


def _shown(addresses: list[str], mtu: int) -> str:
    return f"{', '.join(addresses) or 'no address'}, MTU {mtu}"


def differs(observed: Observed, desired: NodeNetwork, action: Action) -> str:
    """What somebody has changed, file and value."""
    about = {"write": FILES, "reload": LIVE}.get(action.do)
    found = [_lacking(observed, wanted, network.find(wanted, observed.live)) for wanted in desired.interfaces]
    return "; ".join(one[about] for one in found if about in one)


def _refuse_elsewhere(wanted: LinkInterface, found: network.Interface, live: list[network.Interface]) -> None:
    bare = wanted.address.partition("/")[0]
    for other in live:
        if other.name != found.name and bare in _bare(other):
            raise StepError(
                "address-elsewhere",
                f"the address {bare} is on another interface than configured",
                observed=f"{bare} on {other.name}",
                expected=f"{bare} on {found.name}",
            )


def _bare(found: network.Interface) -> list[str]:
    return [address.partition("/")[0] for address in found.addresses]


def _refuse_unfit(observed: Observed, desired: NodeNetwork, wanted: LinkInterface, found: network.Interface) -> None:
    """Refuse to change what is not a link's own."""
    if observed.member and not _restores(observed, wanted, found):
        raise _member_link(wanted, found)
    own = [stanza for stanza in interfaces_file.stanzas(observed.files) if stanza.name == found.name]
    carried = [*_bare(found), *(address.partition("/")[0] for stanza in own for address in stanza.addresses)]
    if desired.address in carried:
        raise StepError(
            "management-interface",
            f"{found.name} carries the machine's management address, and is not changed",
            observed=f"{found.name}: {', '.join(found.addresses)}, MTU {found.mtu}",
            expected=f"another interface for {wanted.address}, MTU {wanted.mtu}",
        )
    masters = [stanza.name for stanza in interfaces_file.stanzas(observed.files) if found.name in stanza.ports]
    master = found.master or next(iter(masters), None)
    if master is not None or found.name == LOOPBACK:
        raise StepError(
            "interface-in-use",
            f"{found.name} cannot carry an address of its own",
            observed=f"{found.name} belongs to {master}" if master else f"{found.name} is the loopback",
            expected=f"an interface of its own for {wanted.address}" + (f", or {master} itself" if master else ""),
        )
    for stanza in own:
        if stanza.family == "inet" and stanza.method not in interfaces_file.METHODS:
            raise StepError(
                "interface-method",
                f"{found.name} is not configured with static IPv4 addresses",
                observed=f"iface {found.name} inet {stanza.method}",
                expected=f"`static` or `manual`, so that it can have {wanted.address}",
            )


def _restores(observed: Observed, wanted: LinkInterface, found: network.Interface) -> bool:
    """Whether a member gets back what it had: the address that its cluster knows or this step wrote, its MTU.

    An MTU that is another one live and in the files may as well be a new wish, and that waits.
    """
    own = [stanza for stanza in interfaces_file.stanzas(observed.files) if stanza.name == found.name]
    known = wanted.address.partition("/")[0] in observed.cluster or observed.ours.get(found.name) == wanted.address
    return known and wanted.mtu in (found.mtu, _configured_mtu(own))


def _member_link(wanted: LinkInterface, found: network.Interface) -> StepError:
    return StepError(
        "link-address-of-member",
        "the network of a cluster member is never changed",
        observed=f"{found.name}: {', '.join(found.addresses) or 'no address'}, MTU {found.mtu}",
        expected=f"{wanted.address}, MTU {wanted.mtu}, now and in {interfaces_file.FILE}",
    )


def act(machine: ThisMachine, desired: NodeNetwork, action: Action) -> None:
    """Do one thing."""
    if action.do == "arm":
        network_guard.arm(machine, f"addresses {action.what} in {interfaces_file.FILE}\n")
    elif action.do == "write":
        _remember_ours(machine, desired)
        originals.replace_file(machine, action.what, action.text)
    else:
        _reload(machine, desired)


def _remember_ours(machine: ThisMachine, desired: NodeNetwork) -> None:
    """An address that is not there yet is this step's own, and gives way to the next one that is described."""
    live, stanzas = network.interfaces(machine), network.stanzas(machine)
    for wanted in desired.interfaces:
        name = network.find(wanted, live).name
        if not any(wanted.address in stanza.addresses for stanza in stanzas if stanza.name == name):
            originals.remember_address(machine, name, wanted.address)


def _reload(machine: ThisMachine, desired: NodeNetwork) -> None:
    """Let ifupdown2 apply its configuration; its exit code also counts warnings about interfaces that are not ours."""
    result = machine.run(["ifreload", "-a"], timeout_s=network_guard.RELOAD_S)
    live = [address for found in network.interfaces(machine) for address in found.addresses]
    if absent := [wanted.address for wanted in desired.interfaces if wanted.address not in live]:
        network_guard.revert(machine)
        raise StepError(
            "network-failed",
            "link addresses did not come up, and the network was put back as it was",
            observed=f"missing {', '.join(absent)}; `ifreload -a`: {tail(result.text)}",
            expected=f"the addresses that were written to {interfaces_file.FILE}",
        )


def facts(observed: Observed, desired: NodeNetwork) -> dict[str, Any]:
    """Where the addresses are, and whether the change still has to be confirmed."""
    return {
        "interfaces": {wanted.address: network.find(wanted, observed.live).name for wanted in desired.interfaces},
        "armed": observed.guard == "armed",
    }


def unchanged(observed: Observed, desired: NodeNetwork) -> str:
    """Say what was found."""
    found = facts(observed, desired)["interfaces"]
    return "the addresses are up: " + (", ".join(f"{address} on {name}" for address, name in found.items()) or "none")


STEP = Step(NodeNetwork, observe, decide, act, facts, unchanged, differs=differs)
