"""What the lab's HA manager decides, as stories in tests/cases/ha, and what must hold in all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pvelab.ha import manager
from pvelab.ha.locked_watchdog import LockedWatchdog
from pvelab.ha.node_status import NodeStatus

from tests.support import golden, ha_simulator, ha_story

if TYPE_CHECKING:
    from tests.support.ha_simulator import World

STORIES = Path(__file__).parents[3] / "cases" / "ha"
NAMES = sorted(path.name for path in STORIES.iterdir() if path.is_dir())


def play(name: str) -> World:
    return ha_story.play(ha_story.read(STORIES / name))


@pytest.mark.parametrize("name", NAMES)
def test_a_story_goes_as_it_is_told(name: str) -> None:
    story = ha_story.read(STORIES / name)
    world = ha_story.play(story)
    assert {sid: ha_story.outcome(world, sid) for sid in story["services"]} == story["outcome"]
    golden.compare(ha_story.lines(world), STORIES / name / "log.expect")


def test_stories_consist_of_what_happens_and_of_the_log() -> None:
    assert len(NAMES) >= 20
    for name in NAMES:
        assert sorted(path.name for path in (STORIES / name).iterdir()) == ["log.expect", "story.yaml"]


# The order of a failover's lines in the journal of a real master (PVE 9.1, public transcript of a node loss).
REAL_FAILOVER = [
    "node 'node2': state changed from 'online' => 'unknown'",
    "service 'vm:100': state changed from 'started' to 'fence'",
    "node 'node2': state changed from 'unknown' => 'fence'",
    "fencing: acknowledged - got agent lock for node 'node2'",
    "service 'vm:100': state changed from 'fence' to 'recovery'",
    "recover service 'vm:100' from fenced node 'node2' to node 'node1'",
    "service 'vm:100': state changed from 'recovery' to 'started'  (node = node1)",
]


@pytest.mark.parametrize("name", ["node-loses-power", "node-loses-network"])
def test_a_failover_is_as_on_real_nodes_and_takes_about_two_minutes(name: str) -> None:
    world = play(name)
    assert [text for _, _, text in world.log if text in REAL_FAILOVER] == REAL_FAILOVER
    lost = next(moment for moment, who, _ in world.log if who == "story")
    starts = [moment for moment, _, text in world.log if text == "starting service vm:100"]
    # "about 2 minutes", says Proxmox' manual; the agent lock alone takes 120 s to expire.
    assert 100 <= starts[-1] - lost <= 160


def refuse(*_: object) -> None:
    raise OSError("no such file")


# One flaw each, a story that suffers from it, and the promise that it breaks.
FLAWS: list[tuple[tuple[object, str, Any], str, str]] = [
    ((ha_simulator, "WATCHDOG_TIMEOUT_SECONDS", 1000.0), "node-loses-network", r"node2 counts as fenced and still runs \['vm:100'\]"),
    ((ha_simulator, "WATCHDOG_TIMEOUT_SECONDS", 5.0), "new-guest", "node. has quorum and was reset"),
    ((LockedWatchdog, "acquire", lambda _: True), "new-guest", "node1 decides while nobody is the master"),
    ((LockedWatchdog, "_report", lambda _: None), "new-guest", "node2, where no watchdog is armed"),
    ((NodeStatus, "fence", lambda *_: True), "network-back-too-late", r"vm:100 starts on node1 while it runs on \['node2'\]"),
    ((manager, "select_node", lambda *_: "node1"), "strict-rule-node-dead", "vm:100 starts on node1, which its strict rule forbids"),
    ((manager, "select_node", lambda *_: "node1"), "apart", r"vm:100 starts on node1 beside \['vm:101'\]"),
    ((manager.Manager, "manage", refuse), "new-guest", "node1's crm: got unexpected error - no such file"),
]  # fmt: skip


@pytest.mark.parametrize(("flaw", "name", "promise"), FLAWS)
def test_no_flaw_goes_unnoticed(
    monkeypatch: pytest.MonkeyPatch, flaw: tuple[object, str, Any], name: str, promise: str
) -> None:
    play(name)
    monkeypatch.setattr(*flaw)
    with pytest.raises(ha_simulator.BrokenPromiseError, match=promise):
        play(name)


def test_a_story_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "story.yaml").write_text("story: nothing\nnodes: [node1]\nservice: {}\n")
    with pytest.raises(ValueError, match="unknown or missing: happens, outcome, service, services, until"):
        ha_story.read(tmp_path)
    with pytest.raises(ValueError, match="unknown: pull the plug"):
        ha_story.happen(ha_simulator.World(["node1"]), "pull the plug")
