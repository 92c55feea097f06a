"""How long it takes to plan the way of a large cluster: a pure function, without a machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cluster.planning.model import Seen, Shape
from cluster.planning.plan import plan
from onnode.cluster.corosync import ConfNode

if TYPE_CHECKING:
    from cluster.planning.model import Planned

NODES = 16
REPLACED = 4  # so many leave, and as many others join
RUNS = 101
WITNESSES = ("192.0.2.1", "192.0.2.2")


def measured() -> tuple[int, list[float]]:
    """How many transitions the plan has, and the seconds of each run."""
    took = []
    for _ in range(RUNS):
        began = time.perf_counter()
        plan(*CASE)
        took.append(time.perf_counter() - began)
    return len(planned()), took


def planned() -> list[Planned]:
    """The plan: nodes leave and join; a link's addresses, votes, priorities and the token change; the QDevice moves to another server."""
    return plan(*CASE)


def _cluster(numbers: range, *, third: int, priority: int, witness: str) -> Shape:
    """Links 0 and 1, the second one in that network; the last node of today has two votes where that is 1."""
    nodes = {
        f"pve{n}": ConfNode(f"pve{n}", n, 1 + third * (n == NODES), {0: f"10.0.0.{n}", 1: f"10.1.{third}.{n}"})
        for n in numbers
    }
    return Shape("proxmox", nodes, {0: priority}, {"token": str(1000 * priority)}, witness)


LIVE = _cluster(range(1, NODES + 1), third=0, priority=10, witness=WITNESSES[0])
WANTED = _cluster(range(1 + REPLACED, NODES + 1 + REPLACED), third=1, priority=20, witness=WITNESSES[1])
RECORDED = {name: dict(node.links) for name, node in LIVE.nodes.items()}
CASE = (RECORDED, LIVE, Seen(frozenset(LIVE.nodes), witness=True), WANTED)
