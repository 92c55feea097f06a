"""node-network: the addresses of a node's links and further networks, now and at every boot.

The described value is all that changes in a file. Before anything does, the network's dead man's switch is armed;
whoever asked for this step must log in anew and confirm (`confirm-network`), or the change is put back.

On a member, a new address is put beside the one that its corosync uses. That one goes when this step runs again after corosync has
let go of it, and only if this step wrote it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import membership
from onnode.contract.node import LinkInterface, NodeNetwork
from onnode.errors import StepError
from onnode.node import prepare_node
from onnode.step import Action, Step
from onnode.system import interfaces_file, network, network_guard, originals, pve
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

LOOPBACK = "lo"
LIVE, FILES = "live", "files"
RELOADS = 2


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
    former: dict[str, list[str]] = field(default_factory=dict)  # interface -> those that it wrote before
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
        originals.former_addresses(machine),
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
            texts, found.name, wanted.address, wanted.mtu, _gives_way(observed, found.name)
        )
        reload = reload or LIVE in lacking
    leftovers = _leftovers(observed, desired)
    for name, address in leftovers:
        texts = interfaces_file.without_address(texts, name, address)
        reload = reload or any(address in live.addresses for live in observed.live if live.name == name)
    changed = {path: text for path, text in texts.items() if text != observed.files.get(path)}
    if not changed and not reload:
        return []
    return [
        Action("arm", ", ".join(f"{wanted.address}" for wanted in desired.interfaces)),
        *(Action("write", path, text) for path, text in changed.items()),
        *([Action("reload", "ifreload -a")] if reload else []),
        *(Action("forget", f"{address} on {name}") for name, address in leftovers),
    ]


def _gives_way(observed: Observed, name: str) -> str | None:
    """The address that this step wrote for an interface, unless corosync uses it."""
    address = observed.ours.get(name)
    return None if address is None or _is_used(observed, address) else address


def _is_used(observed: Observed, address: str) -> bool:
    return address.partition("/")[0] in observed.cluster


def _leftovers(observed: Observed, desired: NodeNetwork) -> list[tuple[str, str]]:
    """What this step wrote earlier, stands in the files still, and nobody wants any more: interface and address."""
    wanted = {found.address for found in desired.interfaces}
    written = [
        *((name, address) for name, addresses in observed.former.items() for address in addresses),
        *observed.ours.items(),
    ]
    there = {
        (stanza.name, address)
        for stanza in interfaces_file.stanzas(observed.files)
        if stanza.family == "inet"
        for address in stanza.addresses
    }
    return [
        (name, address)
        for name, address in written
        if (name, address) in there
        and address not in wanted
        and address.partition("/")[0] != desired.address
        and not _is_used(observed, address)
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
    """Refuse to change what is not a link's own, or what corosync uses at this moment."""
    if other := _other_prefix(observed, wanted, found):
        raise StepError(
            "link-address-of-member",
            "the prefix of an address that corosync uses is not changed",
            observed=f"{found.name}: {other}",
            expected=wanted.address,
        )
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


def _other_prefix(observed: Observed, wanted: LinkInterface, found: network.Interface) -> str | None:
    """The wanted address as it is up under another prefix, while corosync uses it."""
    bare = wanted.address.partition("/")[0]
    there = [address for address in found.addresses if address.partition("/")[0] == bare and address != wanted.address]
    return next(iter(there), None) if _is_used(observed, wanted.address) else None


def act(machine: ThisMachine, desired: NodeNetwork, action: Action) -> None:
    """Do one thing."""
    if action.do == "arm":
        network_guard.arm(machine, f"addresses {action.what} in {interfaces_file.FILE}\n")
    elif action.do == "write":
        _remember_ours(machine, desired)
        originals.replace_file(machine, action.what, action.text)
    elif action.do == "forget":
        address, _, name = action.what.partition(" on ")
        originals.forget_address(machine, name, address)
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
    """Let ifupdown2 apply its configuration; its exit code also counts warnings about interfaces that are not ours.

    When an interface loses its first address, the kernel takes the others of that subnet along, unless it was told to promote them
    (promote_secondaries). ifupdown2 may then fail to remove what is gone, and add nothing: the second time it does.
    """
    deadline = machine.monotonic() + network_guard.RELOAD_S
    for _ in range(RELOADS):
        result = machine.run(["ifreload", "-a"], timeout_s=max(1.0, deadline - machine.monotonic()))
        live = [address for found in network.interfaces(machine) for address in found.addresses]
        absent = [wanted.address for wanted in desired.interfaces if wanted.address not in live]
        if not absent:
            return
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
