"""What holds for every way from a live cluster to a described one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cluster.errors import AdminError
from cluster.planning.model import (
    AddLink,
    AddMember,
    ChangeLinkAddress,
    Planned,
    RemoveLink,
    RemoveMember,
    ReplaceMember,
    Seen,
    Shape,
)
from cluster.planning.plan import after, plan, seen_after, survivable
from onnode.cluster.corosync import ConfNode

settings.register_profile("any-speed", deadline=None)
settings.load_profile("any-speed")
MANY = settings(max_examples=50, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
WITNESS = "192.0.2.1"


@dataclass(frozen=True)
class World:
    """A live cluster, how it does, and what it is to be."""

    live: Shape
    seen: Seen
    wanted: Shape

    def planned(self) -> list[Planned]:
        return plan(ends(self.live), self.live, self.seen, self.wanted)


def ends(shape: Shape) -> dict[str, dict[int, str]]:
    """What is remembered of nodes that were described like that."""
    return {name: dict(node.links) for name, node in shape.nodes.items()}


def at(number: int, link: int, *, moved: bool = False) -> str:
    return f"10.{link}.{int(moved)}.{number}"


def nodes(draw: Any, numbers: set[int], links: set[int]) -> dict[str, ConfNode]:  # noqa: ANN401 - hypothesis' own
    votes = {number: draw(st.sampled_from([1, 1, 1, 2, 0])) for number in numbers}
    return {
        f"pve{number}": ConfNode(f"pve{number}", number, votes[number], {link: at(number, link) for link in links})
        for number in sorted(numbers)
    }


@st.composite
def worlds(draw: Any) -> World:  # noqa: ANN401 - hypothesis' own
    listed = draw(st.sets(st.integers(1, 6), min_size=1, max_size=6))
    described = draw(st.one_of(st.just(listed), st.sets(st.integers(1, 8), min_size=1, max_size=7)))
    links = draw(st.sets(st.integers(0, 7), min_size=1, max_size=3))
    other_links = draw(st.one_of(st.just(links), st.sets(st.integers(0, 7), min_size=1, max_size=3)))
    live = Shape(
        "proxmox",
        nodes(draw, listed, links),
        draw(st.dictionaries(st.sampled_from(sorted(links)), st.integers(0, 2))),
        draw(st.dictionaries(st.sampled_from(["token", "join"]), st.sampled_from("12"))),
        draw(st.sampled_from([None, None, WITNESS])) if len(listed) % 2 == 0 else None,
    )
    wanted = Shape(
        "proxmox",
        {
            name: replace(node, links={link: draw(st.sampled_from([at(node.id, link)] * 5 + [at(node.id, link, moved=True)])) for link in node.links})
            for name, node in nodes(draw, described, other_links).items()
        },
        draw(st.dictionaries(st.sampled_from(sorted(other_links)), st.integers(0, 2))),
        draw(st.dictionaries(st.sampled_from(["token", "join"]), st.sampled_from("12"))),
        draw(st.sampled_from([None, WITNESS, "192.0.2.2"])),
    )  # fmt: skip
    names = sorted(live.nodes)
    silent = draw(st.one_of(st.just(set()), st.sets(st.sampled_from(names), max_size=2)))
    lost = draw(st.sets(st.sampled_from(sorted(silent)))) if silent else set()
    ends = st.tuples(st.sampled_from(names), st.sampled_from(names), st.sampled_from(sorted(links)))
    broken = draw(st.sets(ends.filter(lambda end: end[0] < end[1]), max_size=2)) if len(names) > 1 else set()
    voting = frozenset(names) - silent
    return World(live, Seen(voting, frozenset(lost), frozenset(broken), witness=live.witness is not None), wanted)


@st.composite
def ways(draw: Any) -> tuple[World, list[Planned]]:  # noqa: ANN401 - hypothesis' own
    """A world with a plan that has something to do."""
    world = draw(worlds())
    try:
        planned = world.planned()
    except AdminError:
        planned = []
    assume(planned)
    return world, planned


def moments(world: World, planned: list[Planned]) -> list[tuple[Shape, Seen]]:
    """The cluster before each transition, and at the end."""
    found = [(world.live, world.seen)]
    for step in planned:
        shape, seen = found[-1]
        found.append((after(shape, step.transition, world.wanted), seen_after(seen, step.transition)))
    return found


def is_quorate(shape: Shape, voting: set[str], *, witness: bool) -> bool:
    expected = sum(node.votes for node in shape.nodes.values()) + (shape.witness is not None)
    return sum(shape.nodes[name].votes for name in voting) + witness > expected / 2


@MANY
@given(ways())
def test_it_ends_in_what_is_wanted(way: tuple[World, list[Planned]]) -> None:
    world, planned = way
    end, seen = moments(world, planned)[-1]
    assert end.nodes == world.wanted.nodes
    assert end.priorities.items() >= world.wanted.priorities.items()
    assert end.totem.items() >= world.wanted.totem.items()
    assert end.witness == (None if len(end.nodes) % 2 else world.wanted.witness)
    assert seen.witness == (end.witness is not None)


@MANY
@given(ways())
def test_quorum_is_kept_before_during_and_after_each_transition(way: tuple[World, list[Planned]]) -> None:
    """But for the join to a single node, which has one of two votes until the other one votes."""
    world, planned = way
    for (shape, seen), (then, after_it), step in zip(
        moments(world, planned), moments(world, planned)[1:], planned, strict=False
    ):
        if isinstance(step.transition, AddMember) and len(shape.nodes) == 1:
            continue
        gone = {step.transition.name} if isinstance(step.transition, (RemoveMember, ReplaceMember)) else set()
        during = set(seen.voting) - gone
        if isinstance(step.transition, AddMember):  # a described node that is silent works before another one joins
            during |= shape.nodes.keys() & world.wanted.nodes.keys() - seen.lost
        else:
            assert is_quorate(shape, during, witness=seen.witness)
        if not gone:
            assert is_quorate(then, during, witness=seen.witness and after_it.witness)
            during |= after_it.voting
        assert is_quorate(then, during, witness=after_it.witness)


@MANY
@given(ways())
def test_each_two_voting_members_keep_a_link_that_works_and_does_not_change(way: tuple[World, list[Planned]]) -> None:
    world, planned = way
    for (shape, seen), step in zip(moments(world, planned), planned, strict=False):
        if not isinstance(step.transition, (ChangeLinkAddress, RemoveLink)):
            continue
        for one, other in combinations(sorted(seen.voting), 2):
            shared = shape.nodes[one].links.keys() & shape.nodes[other].links.keys() - {step.transition.link}
            assert any(
                (one, other, link) not in seen.broken
                and all(_stays(world, shape, name, link) for name in (one, other) if name in world.wanted.nodes)
                for link in shared
            )


def _stays(world: World, shape: Shape, name: str, link: int) -> bool:
    return shape.nodes[name].links[link] == world.wanted.nodes[name].links.get(link)


@MANY
@given(ways())
def test_each_listed_node_has_an_address_on_each_link(way: tuple[World, list[Planned]]) -> None:
    """Corosync takes no other configuration."""
    world, planned = way
    for shape, _ in moments(world, planned):
        assert len({frozenset(node.links) for node in shape.nodes.values()}) <= 1


@MANY
@given(ways())
def test_no_two_ends_have_the_same_address(way: tuple[World, list[Planned]]) -> None:
    world, planned = way
    for shape, _ in moments(world, planned):
        used = [address for node in shape.nodes.values() for address in node.links.values()]
        assert len(used) == len(set(used))


@MANY
@given(ways())
def test_planning_again_after_each_transition_gives_the_rest(way: tuple[World, list[Planned]]) -> None:
    world, planned = way
    for index, (shape, seen) in enumerate(moments(world, planned)):
        recorded = ends(world.live) | ends(world.wanted)
        assert plan(recorded, shape, seen, world.wanted) == planned[index:]


@MANY
@given(worlds())
def test_what_is_described_already_needs_nothing(world: World) -> None:
    settled = replace(world.wanted, witness=None)
    seen = Seen(frozenset(settled.nodes))
    assert plan(ends(settled), settled, seen, settled) == []


@MANY
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.data())
def test_the_shown_number_is_what_any_choice_of_nodes_leaves(votes: list[int], data: st.DataObject) -> None:
    listed = {f"pve{n}": ConfNode(f"pve{n}", n, count) for n, count in enumerate(votes)}
    voting = data.draw(st.sets(st.sampled_from(sorted(listed))))
    device, cast = data.draw(st.sampled_from([(0, 0), (1, 0), (1, 1)]))
    shape = Shape("proxmox", listed, witness=WITNESS if device else None)

    def all_survive(failures: int) -> bool:
        return all(
            is_quorate(shape, voting - set(failed), witness=bool(cast)) for failed in combinations(voting, failures)
        )

    assert survivable(listed, voting, device=device, cast=cast) == max(
        (count for count in range(len(voting) + 1) if all_survive(count)), default=-1
    )


def refusal(world: World) -> str | None:
    try:
        world.planned()
    except AdminError as error:
        return error.code
    return None


VOTES = re.compile(r"give (\S+) (\d+) votes")


def one_of_two_leaves() -> World:
    two, one = ({f"pve{n}": ConfNode(f"pve{n}", n, 1, {0: at(n, 0)}) for n in numbers} for numbers in ((1, 2), (1,)))
    return World(Shape("proxmox", two), Seen(frozenset(two)), Shape("proxmox", one))


@settings(MANY, max_examples=20)
@given(st.one_of(worlds(), st.just(one_of_two_leaves())))
def test_votes_that_a_refusal_advises_do_keep_the_quorum(world: World) -> None:
    try:
        world.planned()
    except AdminError as error:
        advised = VOTES.search(error.fix) if error.code == "plan-loses-quorum" else None
    else:
        advised = None
    assume(advised)
    assert advised is not None
    name, votes = advised[1], int(advised[2])
    mended = replace(world.wanted, nodes={**world.wanted.nodes, name: replace(world.wanted.nodes[name], votes=votes)})
    assert refusal(replace(world, wanted=mended)) != "plan-loses-quorum"


def test_the_order_of_nodes_in_the_file_means_nothing() -> None:
    world = one_of_two_leaves()
    four = {f"pve{n}": ConfNode(f"pve{n}", n, 1, {0: at(n, 0)}) for n in (4, 3, 2, 1)}
    forwards = plan(ends(world.live), world.live, world.seen, Shape("proxmox", dict(sorted(four.items()))))
    assert forwards == plan(ends(world.live), world.live, world.seen, Shape("proxmox", four))
    assert [step.transition for step in forwards] == [AddMember("pve3"), AddMember("pve4")]


def test_a_world_is_refused_where_a_link_is_missing() -> None:
    """The examples above are of plans; this one shows that a link is asked for at all."""
    world = one_of_two_leaves()
    moved = {name: replace(node, links={0: at(node.id, 0, moved=True)}) for name, node in world.live.nodes.items()}
    with pytest.raises(AdminError, match="link-last"):
        plan(ends(world.live), world.live, world.seen, Shape("proxmox", moved))
    added = {name: replace(node, links={**node.links, 1: at(node.id, 1)}) for name, node in world.live.nodes.items()}
    (step,) = plan(ends(world.live), world.live, world.seen, Shape("proxmox", added))
    assert isinstance(step.transition, AddLink)
