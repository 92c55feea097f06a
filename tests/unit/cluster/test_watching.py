"""Nodes are looked at again and again, each by itself: one that does not answer holds up no other."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest

from cluster.errors import AdminError
from cluster.transport import watching
from cluster.transport.watching import Watch


class Node:
    """The API of a node."""

    def __init__(self, *vmids: int, dead: bool = False, slow_s: float = 0) -> None:
        self.vmids, self.dead, self.slow_s = vmids, dead, slow_s
        self.asked: list[str] = []

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        self.asked.append(path)
        time.sleep(self.slow_s)
        if self.dead:
            raise AdminError("api-unreachable", "no answer")
        if path.startswith("/cluster/"):
            service = {"type": "service", "sid": "vm:200", "node": "one", "state": "starting", "crm_state": "started"}
            return [{"type": "quorum", "node": "one"}, service, {"type": "service", "sid": "ct:300", "state": "queued"}]
        return [{"vmid": vmid, "status": "running"} for vmid in self.vmids] + [{"vmid": 999, "status": "stopped"}]


def watched(nodes: dict[str, Node], *, for_s: float = 0.3, kinds: str = "vm") -> Watch:
    watch = Watch(dict[str, Any](nodes), frozenset(kinds.split()))

    async def run() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(watch.run(), for_s)

    asyncio.run(run())
    return watch


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "INTERVAL_S", 0.02)


def test_a_look_has_what_ha_records_and_what_runs() -> None:
    node = Node(200)
    sample = watched({"one": node}).samples[0]
    assert sample.node == "one"
    assert sample.places == {"vm:200": ("one", "started"), "ct:300": ("None", "queued")}
    assert sample.running == {"vm:200"}
    assert 0 <= sample.sent <= sample.received
    # The record first: a guest that runs in a sample was placed before.
    assert node.asked[:2] == ["/cluster/ha/status/current", "/nodes/one/qemu"]


def test_only_the_kinds_that_count_are_asked_for() -> None:
    node = Node(200)
    watched({"one": node}, kinds="vm ct")
    assert {"/nodes/one/qemu", "/nodes/one/lxc"} < set(node.asked)
    other = Node(200)
    watched({"one": other})
    assert "/nodes/one/qemu" in other.asked
    assert "/nodes/one/lxc" not in other.asked


def test_a_dead_or_slow_node_holds_up_no_other() -> None:
    watch = watched({"one": Node(200), "dead": Node(dead=True), "slow": Node(slow_s=0.1)}, for_s=0.4)
    counts = {name: sum(one.node == name for one in watch.samples) for name in watch.sessions}
    assert counts["dead"] == 0
    assert 0 < counts["slow"] < counts["one"]


def test_looks_before_the_beginning_have_moments_before_zero() -> None:
    watch = watched({"one": Node(200)})
    before = len(watch.samples)
    watch.begin()
    assert len(watch.samples) == before > 0
    assert all(one.received <= 0 for one in watch.samples)
    assert watch.now() < 0.1
