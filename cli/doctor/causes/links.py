"""Links between nodes whose corosync runs: the switch, one node's end, one pair, the size of packets. Pure."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from cli.doctor.causes import names
from cli.doctor.model import Cause
from cli.doctor.symptoms import of_node
from onnode.cluster import corosync
from onnode.system import network

if TYPE_CHECKING:
    from cli.doctor.causes import Found, Symptoms
    from cli.doctor.model import Symptom, World

FIREWALL = "a firewall: Corosync needs UDP 5405 to 5412"


def _links(found: Symptoms, *wanted: str) -> list[Symptom]:
    """The broken links that all of these are an end of, or the number of."""
    return [one for one in found if one[0] == "link" and set(wanted) <= set(one[1:])]


def _running(world: World) -> list[str]:
    return [name for name in world.joined if name in world.listed and world.joined[name].quorum]


def _dark(world: World, nodes: list[str], numbers: list[int]) -> str:
    """The cards of these links without carrier, to be added to a sentence."""
    down = [
        f"{card.name} of {name}"
        for name in nodes
        for card in world.joined[name].cards
        if not card.up and {world.link(name, number) for number in numbers} & set(card.addresses)
    ]
    return f"; no carrier at {names(down)}" if down else ""


def transport(world: World, _found: Symptoms) -> list[Found]:
    """Another transport than knet: it has one link, and corosync tells nothing of its state."""
    if world.conf is None or world.conf.faults or world.conf.transport == corosync.KNET:
        return []
    cause = Cause(
        "transport-unknown",
        "cluster",
        f"corosync's transport is {world.conf.transport}, and this program knows {corosync.KNET} only",
        [world.newest or ""],
        "who sees whom is not looked at; the votes are",
        "leave it while the cluster works: the change to knet stops corosync on all nodes together, with no guest under HA; "
        "`corosync-quorumtool -s` shows who votes",
    )
    return [(cause, set())]


def address_down(world: World, found: Symptoms) -> list[Found]:
    """A node whose own address on a link is missing, or on a card without carrier."""
    causes: list[Found] = []
    for name, report in world.joined.items():
        if not report.cards:
            continue  # nobody knows which addresses it has
        up = {address for card in report.cards if card.up for address in card.addresses}
        for number, address in sorted(world.listed[name].links.items() if name in world.listed else []):
            # Only one that is missed: a corosync of before still sends over an address that is gone.
            cut = {one for one in _links(found, name, str(number)) if one[3] == str(number)}
            if address in up or not network.is_ipv4(address) or not (cut or ("corosync", name) in found):
                continue
            card = next((card.name for card in report.cards if address in card.addresses), None)
            cause = Cause(
                "link-address-down",
                name,
                f"the address {address} of link {number} is not up on {name}",
                [name],
                f"{card} has no carrier"
                if card
                else f"{name} has {names([one for c in report.cards for one in c.addresses])}",
                world.on(name, "ifreload -a")
                + ("; with no carrier: its cable, or the bridge of its VM" if card else ""),
            )
            causes.append((cause, cut if ("corosync", name) not in found else of_node(dict(found), name)))
    return causes


def apart(world: World, found: Symptoms) -> list[Found]:
    """No two nodes see each other on any link: what is between them all; of two nodes, neither is known to be at fault."""
    running = _running(world)
    pairs = list(combinations(running, 2))
    expected = sum(len(set(world.listed[near].links) & set(world.listed[far].links)) for near, far in pairs)
    broken = _links(found)
    if not pairs or len(broken) < expected:
        return []
    passes = any(world.pinged(near, far, int(number)) for _kind, near, far, number in broken)
    numbers = sorted({one[3] for one in broken})
    cause = Cause(
        "all-links-down",
        "cluster",
        f"{names(running)} see each other on no link",
        running,
        f"ping passes, Corosync's packets do not: {FIREWALL}"
        if passes
        else f"nobody gets an answer to a ping, either{_dark(world, running, list(map(int, numbers)))}",
        world.on(running[0], "iptables-save") + " shows the rules"
        if passes
        else f"check the switches, VLANs or bridges of link {names(numbers)}, and what they have in common",
    )
    votes = {("vote", name) for name in running} & set(found)
    return [(cause, {*broken, *votes})]


def cut_off(world: World, found: Symptoms) -> list[Found]:
    """A node that is cut off from every other one on every link, while those see each other."""
    running = _running(world)
    causes: list[Found] = []
    for name in running:
        peers = [other for other in running if other != name]
        expected = {(peer, number) for peer in peers for number in world.listed[peer].links}
        broken = _links(found, name)
        if len(peers) < 2 or len(broken) < len(expected):  # noqa: PLR2004 - of two, each is cut off from the other
            continue
        pings = [world.pinged(near, name, number) for near in peers for number in world.listed[name].links]
        passes = any(pings)
        cause = Cause(
            "cut-off",
            name,
            f"{name} is cut off from all other nodes on every link",
            peers,
            f"ping passes on its links, Corosync's packets do not: {FIREWALL}"
            if passes
            else f"no answer to a ping on any of its links, either{_dark(world, [name], list(world.listed[name].links))}",
            world.on(name, "iptables-save") + " shows its rules"
            if passes
            else _ends(world, name, sorted(world.listed[name].links)),
        )
        causes.append((cause, {*broken, *({("vote", name)} & set(found))}))
    return causes


def _ends(world: World, name: str, numbers: list[int]) -> str:
    return f"check the cables, switch ports or bridges of link {names(list(map(str, numbers)))} at {name}: {world.on(name, 'ip -br link')}"


def switch(world: World, found: Symptoms) -> list[Found]:
    """A link that connects no two nodes: what is between them."""
    running = _running(world)
    pairs = list(combinations(running, 2))
    causes: list[Found] = []
    for number in sorted({int(one[3]) for one in _links(found)}):
        broken = [one for one in _links(found) if one[3] == str(number)]
        if len(pairs) < 2 or len(broken) < len(pairs):  # noqa: PLR2004
            continue
        passes = any(world.pinged(near, far, number) for near, far in pairs)
        cause = Cause(
            "link-down",
            "cluster",
            f"link {number} connects no two nodes",
            running,
            f"ping passes on it, Corosync's packets do not: {FIREWALL}"
            if passes
            else f"nobody gets an answer to a ping on it, either{_dark(world, running, [number])}",
            world.on(running[0], "iptables-save") + " shows the rules"
            if passes
            else f"check the switch, VLAN or bridge of link {number}",
        )
        causes.append((cause, broken))
    return causes


def ends(world: World, found: Symptoms) -> list[Found]:
    """A link of one node to all others; then what is left, pair by pair."""
    running = _running(world)
    causes: list[Found] = []
    left = set(_links(found))
    for name in running:
        for number in sorted(world.listed[name].links):
            broken = {one for one in left if name in one[1:3] and one[3] == str(number)}
            if len(broken) == len(running) - 1 > 1:
                left -= broken
                peers = [other for other in running if other != name]
                causes.append((_end(world, name, number, peers), broken))
    return causes + [
        (_pair(world, near, far, int(number)), {(kind, near, far, number)}) for kind, near, far, number in sorted(left)
    ]


def _end(world: World, name: str, number: int, peers: list[str]) -> Cause:
    passes = any(world.pinged(peer, name, number) for peer in peers)
    return Cause(
        "link-end-down",
        name,
        f"link {number} of {name} is down to all other nodes",
        peers,
        f"ping passes, Corosync's packets do not: {FIREWALL}"
        if passes
        else f"no answer to a ping at {world.link(name, number)}, either",
        world.on(name, "iptables-save") + " shows its rules" if passes else _ends(world, name, [number]),
    )


def _pair(world: World, near: str, far: str, number: int) -> Cause:
    passes = world.pinged(near, far, number) or world.pinged(far, near, number)
    return Cause(
        "link-pair-down",
        near,
        f"link {number} does not connect {near} and {far}",
        [near, far],
        f"ping passes, Corosync's packets do not: {FIREWALL}" if passes else "no answer to a ping, either",
        world.on(near, "corosync-cfgtool -n")
        + f"; check what is between {world.link(near, number)} and {world.link(far, number)}",
    )


def packet_size(world: World, _found: Symptoms) -> list[Found]:
    """Links on which small packets pass and large ones do not."""
    narrow: dict[int, set[tuple[str, str]]] = {}
    for name, report in world.nodes.items():
        for one in report.reached:
            if one.link is not None and one.small and one.large is False:
                narrow.setdefault(one.link, set()).add((min(name, one.name), max(name, one.name)))
    causes: list[Found] = []
    for number, pairs in sorted(narrow.items()):
        sizes = {
            name: card.mtu
            for name, report in world.nodes.items()
            for card in report.cards
            if world.link(name, number) in card.addresses
        }
        shown = f"MTU of the cards: {', '.join(f'{name} {mtu}' for name, mtu in sizes.items())}"
        between = [f"{near} to {far}" for near, far in sorted(pairs)]
        cause = Cause(
            "mtu-too-small",
            "cluster",
            f"link {number} lets small packets pass, and no large ones: {names(between)}",
            sorted({name for pair in pairs for name in pair}),
            shown if len(set(sizes.values())) > 1 else f"{shown}; what is between them lets less pass",
            f"give all cards of link {number}, and the switch or bridge between them, one MTU, and the stack file the same",
        )
        causes.append((cause, set()))
    return causes
