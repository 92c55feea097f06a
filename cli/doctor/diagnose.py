"""From what all machines report to the causes, in the order in which they are to be mended. Pure: no I/O.

First everything that is wrong is listed. Then one rule after another takes what it explains: so a cause that lies deeper comes
first, and what follows from it is no cause of its own. What no rule explains is named at the end, and never left out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cli.doctor.causes import access, beforehand, configuration, links, machines, membership, qdevice, services, surface
from cli.doctor.model import Cause, World
from cli.doctor.symptoms import QUORUM, symptoms

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.doctor.causes import Found, Symptoms
    from cli.doctor.model import Expected, Seen, Symptom

    Rule = Callable[[World, Symptoms], list[Found]]

RULES: tuple[Rule, ...] = (
    access.nothing_answers,
    access.silent_host,
    access.without_keys,
    access.refused,
    access.vm_missing,
    qdevice.silent,
    access.silent_nodes,
    machines.not_proxmox,
    beforehand.refused_hosts,
    beforehand.small_hosts,
    beforehand.taken_addresses,
    beforehand.silent_links,
    machines.read_only,
    machines.no_room,
    machines.clocks_apart,
    machines.own_name,
    configuration.id_twice,
    configuration.shared_broken,
    configuration.local_broken,
    configuration.keys_differ,
    membership.other_cluster,
    membership.split,
    services.hanging,
    services.local_mode,
    configuration.shared_older,
    configuration.differing,
    membership.half_joined,
    membership.stand_alone,
    membership.strangers,
    links.apart,
    links.cut_off,
    links.switch,
    links.address_down,
    services.stopped,
    links.ends,
    links.packet_size,
    services.read_only,
    surface.expected_votes,
    configuration.not_loaded,
    services.watchdog,
    services.others,
    surface.ha,
    surface.storages,
    surface.certificates,
    machines.other_versions,
    links.transport,
    machines.unanswered,
)


def diagnose(expected: Expected, seen: Seen) -> list[Cause]:
    """The causes, the first one first; none when nothing is wrong."""
    world = World(expected, seen)
    left = symptoms(world)
    causes: list[Cause] = []
    for rule in RULES:
        for cause, of_it in rule(world, left):
            explained = [one for one in left if one in of_it]
            causes.append(replace(cause, explains=[*cause.explains, *(left[one] for one in explained)]))
            left = {one: text for one, text in left.items() if one not in explained}
    return [*_with_quorum(world, causes, left), *_unexplained(world, left)]


def _with_quorum(world: World, causes: list[Cause], left: dict[Symptom, str]) -> list[Cause]:
    """The causes; that there is no quorum follows from those that cost a vote, if these votes are what lacks."""
    if QUORUM not in left:
        return causes
    unexplained = {one[1] for one in left if one[0] == "vote"}
    lost = [name for name in world.listed if name not in world.voting and name not in unexplained]
    if world.present + world.votes_of(lost) < world.needed:
        return causes
    text = left.pop(QUORUM)
    costs = {f"{name} does not vote" for name in lost}
    return [replace(one, explains=[*one.explains, text]) if costs & set(one.explains) else one for one in causes]


def _unexplained(world: World, left: dict[Symptom, str]) -> list[Cause]:
    """What no rule explains, in one entry for each node."""
    by_node: dict[str, list[str]] = {}
    for symptom, text in left.items():
        by_node.setdefault(symptom[1] if len(symptom) > 1 else "cluster", []).append(text)
    return [
        Cause(
            "unexplained",
            name,
            "; ".join(texts),
            [name] if name in world.nodes else [],
            "none of the causes that are known fits",
            world.on(
                name if name in world.nodes else next(iter(world.nodes), name),
                "journalctl -b -p warning -n 50 --no-pager",
            ),
        )
        for name, texts in by_node.items()
    ]
