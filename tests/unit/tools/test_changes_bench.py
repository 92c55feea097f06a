"""What the benchmark of changes computes, and that its stack files and scripts are ones that can run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from config.load import load
from tests.unit.tools.test_many_nodes import settings
from tools.bench import bare_changes, changes, planning
from tools.bench.errors import BenchError

if TYPE_CHECKING:
    from pathlib import Path


def operation(resource: str, start: float, seconds: float) -> dict[str, object]:
    return {"resource": resource, "start": start, "seconds": seconds}


def test_steps_that_run_at_the_same_time_count_once_and_pauses_between_them_do_not() -> None:
    run = [
        operation("pve2-network", 10.5, 1.0),
        operation("pve1-network", 10.0, 2.0),
        operation("cluster-create", 12.0, 5.0),
        operation("cluster-change", 20.0, 3.0),
    ]
    assert changes.busy(run, ["pve1-network", "pve2-network", "cluster-change"]) == 5.0


def test_a_step_that_did_not_run_is_no_figure() -> None:
    with pytest.raises(BenchError, match="nothing about cluster-change"):
        changes.busy([operation("cluster-create", 1.0, 1.0)], ["cluster-create", "cluster-change"])


def test_the_stack_files_are_ones_that_the_program_accepts() -> None:
    cluster = changes.Cluster()
    counts = [len(load(settings(one)).nodes) for one in (cluster.three, cluster.four, cluster.witnessed)]
    assert counts == [3, 4, 4]
    assert load(settings(cluster.witnessed)).cluster.qdevice is not None
    names = {f"{node['name']}-network" for node in cluster.staying}
    assert names < set(changes.STEPS[changes.MOVED])
    moves = cluster.moves(1)
    assert [(former, new) for _, former, new in moves] == [
        ("10.20.1.185", "10.20.1.111"),
        ("10.20.1.186", "10.20.1.121"),
        ("10.20.1.187", "10.20.1.131"),
    ]


def test_the_large_plan_has_all_that_the_page_says() -> None:
    transitions, took = planning.measured()
    kinds = [type(step.transition).__name__ for step in planning.planned()]
    assert transitions == len(kinds)
    assert len(took) == planning.RUNS
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "RemoveQDevice": 1,
        "ChangeLinkAddress": 1,
        "ChangePriority": 1,
        "ChangeVotes": 1,
        "ChangeTotem": 1,
        "AddMember": planning.REPLACED,
        "RemoveMember": planning.REPLACED,
        "SetQDevice": 1,
    }


# In the place of `ssh`: it keeps what a machine was to run, and answers with a number.
SSH = """\
#!/bin/bash
case "$*" in *"-O exit"*) exit ;; esac
script=$(cat)
bash -n <<<"$script" || exit 1
echo "$script" >> "$HEARD"
echo 7
"""
# Votes, connections of three nodes over two links or one, and the version: as each member sees them.
GATES = {
    "move_link": ("await agrees 3 3 4", "await agrees 3 3 2 8", "await agrees 3 3 4 9", 'await uses "$new"'),
    "remove_device": ("await agrees 3 3 4 7",),
    "add_device": ("await expects", "await agrees 4 4 4 7", "await casts"),
    "remove_node": (
        "await agrees 4 4 6",
        "await stopped",
        "await gone",
        "await agrees 3 3 4 7",
        "await listed",
        "await writable",
    ),
}
MEMBERS = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
MOVES = [(member, f"10.0.0.{number}", f"10.0.0.{number + 10}") for number, member in enumerate(MEMBERS, start=1)]
LEAVER = bare_changes.Leaver("pve4", 4, ["192.0.2.4", "10.0.0.4"], 104, "192.0.2.9")
BARE = {
    "move_link": lambda: bare_changes.move_link(1, MOVES),
    "remove_device": lambda: bare_changes.remove_device(MEMBERS, "192.0.2.8", "proxmox"),
    "add_device": lambda: bare_changes.add_device(MEMBERS, "192.0.2.8", "proxmox"),
    "remove_node": lambda: bare_changes.remove_node(MEMBERS, LEAVER),
}


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("ssh", SSH), ("openssl", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HEARD", str(tmp_path / "heard"))
    return tmp_path / "heard"


@pytest.mark.parametrize("name", BARE)
def test_machines_get_scripts_that_a_shell_can_read(name: str, heard: Path) -> None:
    assert BARE[name]() > 0
    text = heard.read_text()
    assert {line.removeprefix("self=") for line in text.splitlines() if line.startswith("self=")} >= set(MEMBERS)
    for gate in GATES[name]:
        assert gate in text


def test_a_script_that_no_shell_can_read_would_be_seen(heard: Path) -> None:
    with pytest.raises(BenchError, match="syntax error"):
        bare_changes.run(MEMBERS, "if true; then")
    assert not heard.exists()
