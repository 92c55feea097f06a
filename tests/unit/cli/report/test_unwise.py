"""What works on the way of a cluster, and is unwise: by cases, each beside one in which nothing is said."""

from __future__ import annotations

from typing import Any

import pytest

from cli.report import unwise
from cli.report.unwise import Bound
from cluster.planning.plan import plan
from tests.support import planning

GUEST: dict[str, Any] = {"name": "vm01", "ha": {"strict": False, "nodes": ["pve1"]}}


def bound_to(*nodes: str) -> dict[str, Any]:
    return {"name": "vm01", "ha": {"strict": True, "nodes": list(nodes)}}


def planned(live: Any, wanted: Any, **seen: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401 - as the cases have it
    now, then = planning.shape(live), planning.shape(wanted)
    recorded = {name: node.links for name, node in now.nodes.items()}
    return plan(recorded, now, planning.seen(now, seen), then), now, then


@pytest.mark.parametrize(
    ("live", "wanted", "guests", "said"),
    [
        (3, 4, [GUEST], ["step 1: if a node fails meanwhile"]),
        (3, 4, [], []),
        (4, 5, [GUEST], []),
        (3, 5, [GUEST], ["step 1: if a node fails meanwhile"]),
        (3, {"nodes": ["pve1", "pve3", "pve4"]}, [GUEST], ["steps 1, 2: if a node fails meanwhile"]),
        (7, 6, [GUEST], []),
        (7, 5, [GUEST], ["pve6 and pve7 leave in one run"]),
        (7, 5, [], ["pve6 and pve7 leave in one run"]),
    ],
)
def test_the_advice(live: Any, wanted: Any, guests: list[Any], said: list[str]) -> None:  # noqa: ANN401 - as the cases have it
    found = unwise.advice(planned(live, wanted)[0], guests)
    assert [line[: len(start)] for line, start in zip(found, said, strict=True)] == said


OTHERS = {"nodes": ["pve1", "pve2", "pve4"]}


@pytest.mark.parametrize(
    ("live", "wanted", "before", "after", "found"),
    [
        (3, OTHERS, bound_to("pve2", "pve3"), bound_to("pve2", "pve4"), Bound("vm01", ("pve2",), "pve3")),
        (3, OTHERS, bound_to("pve1", "pve2"), bound_to("pve2", "pve4"), None),  # none of its nodes leaves
        (3, OTHERS, bound_to("pve1", "pve2", "pve3"), bound_to("pve2", "pve4"), None),  # it keeps two
        (3, OTHERS, GUEST, GUEST, None),  # it may run anywhere
        (3, OTHERS, bound_to("pve3"), bound_to("pve2", "pve4"), None),  # it had no choice before, as somebody allowed
        (3, OTHERS, bound_to("pve2", "pve3"), bound_to("pve2"), None),  # a rule of the pack judges that
        (3, OTHERS, bound_to("pve2", "pve3"), {**GUEST, "name": "vm02"}, None),  # it goes
        (5, 3, bound_to("pve3", "pve4", "pve5"), bound_to("pve1", "pve2"), Bound("vm01", ("pve3",), "pve5")),
        (5, 3, bound_to("pve4", "pve5"), bound_to("pve1", "pve2"), Bound("vm01", ("pve5",), "pve4")),
    ],
)
def test_guests_without_a_choice(
    live: Any,  # noqa: ANN401 - as the cases have it
    wanted: Any,  # noqa: ANN401 - the same
    before: dict[str, Any],
    after: dict[str, Any],
    found: Bound | None,
) -> None:
    steps, now, then = planned(live, wanted)
    assert steps
    assert unwise.bound(steps, now, then, [before], [after]) == ([found] if found else [])


def test_a_lost_node_leaves_guests_without_a_choice_too() -> None:
    steps, now, then = planned(3, 3, lost=["pve3"])
    assert unwise.bound(steps, now, then, [bound_to("pve2", "pve3")], [bound_to("pve2", "pve3")]) == [
        Bound("vm01", ("pve2",), "pve3")
    ]


def test_the_words() -> None:
    assert Bound("vm01", (), "pve3").text.startswith("may run on no node from the moment in which pve3 goes")
    assert Bound("vm01", ("pve2",), "pve3").text.startswith("may run on pve2 only")
