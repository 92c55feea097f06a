"""From wherever a run was cut off, each stack file is reached: at once, or by following what the refusals advise."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cluster.errors import AdminError
from cluster.planning.model import ChangeLinkAddress, Seen, Shape
from cluster.planning.plan import after, plan, seen_after
from tests.unit.cluster.test_planning_properties import MANY, World, at, ends, moments, ways, worlds

if TYPE_CHECKING:
    from onnode.cluster.corosync import ConfNode

ADVICE_MAX = 30
KEPT = re.compile(r"leave link (\d+) as it is in this run")
WITHOUT = re.compile(r"leave link (\d+) out of cluster\.links in this run")
LATER = re.compile(r"leave (.+) out, `make up`, and describe (\S+) then")
OWN = re.compile(r"give (\S+) a name, an id and link addresses of its own")
ADDED = re.compile(r"add (.+?)( with 1 vote each)? in this run, and leave (.+) out in the next one")
CONNECT = re.compile(r"bring link (\d+) between (\S+) and (\S+) back")
ADDRESS = re.compile(r"give (\S+) (?:the|another) address")
TAKEN = re.compile(r"(\S+) cannot have (\S+) on link (\d+)")
UP = re.compile(r"bring (.+?) (?:up|back first), then")
VOTES = re.compile(r"(?:give|describe) (\S+) (?:with )?(\d+) votes?")


def _links(shape: Shape) -> set[int]:
    return set[int]().union(*(node.links for node in shape.nodes.values()))


def _with(wanted: Shape, node: ConfNode) -> Shape:
    return replace(wanted, nodes={**wanted.nodes, node.name: node})


@dataclass
class User:
    """Who has a stack file, runs, and does what a refusal says.

    Attributes:
        recorded: what the stack remembers.
        live: the cluster.
        seen: how its members do.
        files: the stack files that are to be applied, the next one last.
        advice: what was advised so far.
    """

    recorded: dict[str, dict[int, str]]
    live: Shape
    seen: Seen
    files: list[Shape]
    advice: list[str] = field(default_factory=list)

    def arrive(self) -> None:
        while self.files:
            wanted = self.files[-1]
            try:
                steps = plan(self.recorded, self.live, self.seen, wanted)
            except AdminError as refused:
                self.advice.append(f"{refused.code}: {refused.fix}")
                assert len(self.advice) <= ADVICE_MAX, "\n".join(self.advice)
                self.follow(wanted, refused)
                continue
            for step in steps:
                self.live = after(self.live, step.transition, wanted)
                self.seen = seen_after(self.seen, step.transition)
            self.recorded = ends(wanted)
            self.files.pop()

    def follow(self, wanted: Shape, refused: AdminError) -> None:
        fix = refused.fix
        if self._repaired(fix):
            return
        if found := VOTES.search(fix):
            node = replace(wanted.nodes[found[1]], votes=int(found[2]))
            self._write(_with(wanted, node), for_now=fix.startswith("describe"))
        elif found := OWN.search(fix):
            node = wanted.nodes[found[1]]
            own = replace(node, links={link: f"10.98.{link}.{node.id}" for link in node.links})
            self._write(_with(wanted, own), for_now=False)
        elif found := ADDED.search(fix):
            kept = {name: node for name, node in self.live.nodes.items() if name in found[3].split(", ")}
            new = {name: wanted.nodes[name] for name in found[1].split(", ")}
            new = {name: replace(node, votes=1) if found[2] else node for name, node in new.items()}
            both = replace(wanted, nodes={**wanted.nodes, **kept, **new})
            self._write(self._with_links(both, _links(wanted)), for_now=True)
        elif found := LATER.search(fix):
            others = {name: node for name, node in wanted.nodes.items() if name != found[2]}
            self._write(replace(wanted, nodes=others), for_now=True)
        else:
            self._follow_about_links(wanted, refused)

    def _repaired(self, fix: str) -> bool:
        """Whether it says that a machine or a cable is to be mended."""
        if found := UP.search(fix):
            self.seen = replace(self.seen, voting=self.seen.voting | set(found[1].split(" and ")))
        elif found := CONNECT.search(fix):
            gone = (found[2], found[3], int(found[1]))
            self.seen = replace(self.seen, broken=self.seen.broken - {gone})
        elif fix.startswith("bring back the nodes that are down"):
            assert self.seen.voting < self.live.nodes.keys()
            self.seen = replace(self.seen, voting=frozenset(self.live.nodes), lost=frozenset())
        else:
            return False
        return True

    def _follow_about_links(self, wanted: Shape, refused: AdminError) -> None:
        has = _links(self.live)
        if found := KEPT.search(refused.fix):
            self._write(self._keeping(wanted, int(found[1])), for_now=True)
        elif WITHOUT.search(refused.fix):
            self._write(self._with_links(wanted, has), for_now=True)
        elif refused.fix.startswith("add a link to cluster.links"):
            self._write(self._with_links(wanted, has | {min({*range(8)} - has)}), for_now=True)
        else:
            self._readdress(wanted, refused)

    def _write(self, wanted: Shape, *, for_now: bool) -> None:
        """A file to be applied before that one, or in its place."""
        if not for_now:
            self.files.pop()
        self.files.append(wanted)

    def _keeping(self, wanted: Shape, link: int) -> Shape:
        changed = {}
        for name, node in wanted.nodes.items():
            live = self.live.nodes.get(name)
            kept = live.links[link] if live else node.links.get(link, at(node.id, link))
            changed[name] = replace(node, links={**node.links, link: kept})
        return replace(wanted, nodes=changed)

    def _with_links(self, wanted: Shape, links: set[int]) -> Shape:
        """All of them as they are."""

        def end(node: ConfNode, link: int) -> str:
            live = self.live.nodes.get(node.name)
            return live.links[link] if live and link in live.links else node.links.get(link, at(node.id, link))

        nodes = {
            name: replace(node, links={link: end(node, link) for link in links}) for name, node in wanted.nodes.items()
        }
        priorities = {link: priority for link, priority in wanted.priorities.items() if link in links}
        return replace(wanted, nodes=nodes, priorities=priorities)

    def _readdress(self, wanted: Shape, refused: AdminError) -> None:
        """Another address for now, or for good."""
        who, what = ADDRESS.search(refused.fix), TAKEN.search(refused.what)
        assert who, refused.render()
        assert what, refused.render()
        name, link = who[1], int(what[3])
        live = self.live.nodes.get(name)
        other = live.links[link] if live and link in live.links else f"10.99.{link}.{len(self.advice)}"
        node = replace(wanted.nodes[name], links={**wanted.nodes[name].links, link: other})
        self._write(_with(wanted, node), for_now="another" not in who[0])


def half_done(shape: Shape, link: int) -> Shape:
    """A link is out of use on all nodes, before it comes back with other addresses."""
    nodes = {
        name: replace(node, links={number: end for number, end in node.links.items() if number != link})
        for name, node in shape.nodes.items()
    }
    priorities = {number: priority for number, priority in shape.priorities.items() if number != link}
    return replace(shape, nodes=nodes, priorities=priorities)


@st.composite
def cut_off(draw: Any) -> User:  # noqa: ANN401 - hypothesis' own
    """A run ended anywhere on its way, and the stack file is any by now.

    A cluster whose votes are all one node's is left out: no other node can join it, for its vote counts before it is cast.
    """
    world, planned = draw(ways())
    assume(all(node.votes for shape in (world.live, world.wanted) for node in shape.nodes.values()))
    at_moment = draw(st.integers(0, len(planned)))
    shape, seen = moments(world, planned)[at_moment]
    step = planned[at_moment].transition if at_moment < len(planned) else None
    if isinstance(step, ChangeLinkAddress) and draw(st.booleans()):
        shape = half_done(shape, step.link)
    wanted = draw(files(world))
    return User(ends(world.live) | ends(world.wanted), shape, seen, [wanted])


@st.composite
def files(draw: Any, world: World) -> Shape:  # noqa: ANN401 - hypothesis' own
    """The stack file of that run, of before, any other one, or one of these without a node, or with two addresses exchanged."""
    wanted: Shape = draw(st.one_of(st.just(world.wanted), st.just(world.live), worlds().map(lambda one: one.wanted)))
    names = sorted(wanted.nodes)
    if len(names) > 1 and draw(st.booleans()):
        gone = draw(st.sampled_from(names))
        wanted = replace(wanted, nodes={name: node for name, node in wanted.nodes.items() if name != gone})
    if draw(st.integers(0, 3)) == 0:
        name, other = draw(st.sampled_from(sorted(wanted.nodes))), draw(st.integers(1, 8))
        node = wanted.nodes[name]
        link = draw(st.sampled_from(sorted(node.links)))
        taken = at(other, link)
        if all(taken not in one.links.values() for one in wanted.nodes.values()):
            moved = replace(node, links={**node.links, link: taken})
            wanted = replace(wanted, nodes={**wanted.nodes, name: moved})
    return wanted


@settings(MANY, max_examples=100)
@given(cut_off())
def test_any_stack_file_is_reached_from_any_moment_by_what_the_refusals_advise(user: User) -> None:
    wanted = user.files[0]
    user.arrive()
    end = user.live.nodes
    assert end.keys() == wanted.nodes.keys()
    links = {link for node in end.values() for link in node.links}
    assert links == {link for node in wanted.nodes.values() for link in node.links}
