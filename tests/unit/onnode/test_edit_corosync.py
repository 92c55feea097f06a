"""The cluster's corosync.conf is replaced whole, by the very script, and never over somebody else's."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from onnode.cluster import corosync_restarts, edit_corosync, restart_corosync, way_in
from onnode.cluster.corosync_file import with_version, with_votes
from onnode.contract.corosync import CorosyncConfig, CorosyncRestart
from onnode.errors import StepError
from onnode.system.machine import Result
from onnode.system.originals import fingerprint
from tests.support.onnode_worlds import run, twice
from tests.unit.onnode.test_corosync_file import CONF

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_machine import FakeMachine

FILE = "/etc/pve/corosync.conf"
NEXT = "/etc/pve/corosync.conf.new"
LOCK = "/etc/pve/priv/lock/file-corosync_conf"
QUORATE = "Quorate:          Yes\nExpected votes:   2\nTotal votes:      2\nQuorum:           2\n"
WANTED_TEXT = with_version(with_votes(CONF, {"pve1": 2}), 8)
WANTED = CorosyncConfig(WANTED_TEXT, fingerprint(CONF))


@pytest.fixture
def member(machine: FakeMachine) -> FakeMachine:
    """A quorate member; its shell runs the step's scripts below the test's own root."""
    root = str(machine.path("/")).rstrip("/")

    def sh(arguments: list[str], stdin: str) -> Result:
        script = arguments[1].replace("/etc/pve", f"{root}/etc/pve").replace("/run/", f"{root}/run/")
        done = subprocess.run(
            ["sh", "-c", script.replace("sleep 1", "sleep 0.01"), *arguments[2:]],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(("sh",), done.returncode, done.stdout, done.stderr)

    machine.write("/proc/sys/kernel/hostname", "pve1\n")
    machine.write("/proc/self/mounts", "fuse /etc/pve fuse rw 0 0\n")
    machine.write(FILE, CONF)
    machine.path("/etc/pve/priv/lock").mkdir(parents=True)
    machine.path("/run").mkdir(exist_ok=True)
    machine.programs |= {
        "sh": sh,
        "stat": lambda *_: "",
        "corosync-quorumtool": lambda *_: QUORATE,
        "corosync-cfgtool": lambda *_: "",
    }
    return machine


def left(machine: FakeMachine) -> list[str]:
    """What the step leaves beside the file."""
    directory: Path = machine.path("/etc/pve")
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.name != "corosync.conf" and path != machine.path(f"{LOCK}/..").resolve()
    )


def test_it_is_replaced_and_the_former_one_kept(member: FakeMachine) -> None:
    before = left(member)
    assert twice(member, edit_corosync.STEP, WANTED).facts == {"version": 8}
    assert member.read(FILE) == WANTED_TEXT
    assert member.read("/var/lib/nested-pve-ha-corosync/corosync.conf.7") == CONF
    assert left(member) == before


def test_what_changes_between_the_look_and_the_move_stays(member: FakeMachine) -> None:
    other = with_version(CONF, 8)
    observed = edit_corosync.observe(member, WANTED)
    (action,) = edit_corosync.decide(observed, WANTED)
    member.write(FILE, other)
    with pytest.raises(StepError) as refused:
        edit_corosync.act(member, WANTED, action)
    assert refused.value.code == "corosync-changed"
    assert member.read(FILE) == other
    assert not member.exists(edit_corosync.COPY)
    assert not member.exists(LOCK)


def test_a_next_one_that_somebody_wrote_is_never_written_over(member: FakeMachine) -> None:
    theirs = with_version(CONF, 9)
    observed = edit_corosync.observe(member, WANTED)
    (action,) = edit_corosync.decide(observed, WANTED)
    member.write(NEXT, theirs)
    with pytest.raises(StepError) as refused:
        edit_corosync.act(member, WANTED, action)
    assert refused.value.code == "corosync-edited"
    with pytest.raises(StepError) as refused:
        run(member, edit_corosync.STEP, WANTED)
    assert refused.value.code == "corosync-edited"
    assert (member.read(FILE), member.read(NEXT)) == (CONF, theirs)
    assert not member.exists(LOCK)
    member.remove(NEXT)
    assert run(member, edit_corosync.STEP, WANTED).changed


def test_what_a_killed_run_left_is_written_over(member: FakeMachine) -> None:
    member.write(edit_corosync.COPY, CONF[:40])
    assert edit_corosync.COPY != NEXT
    assert run(member, edit_corosync.STEP, WANTED).changed
    assert member.read(FILE) == WANTED_TEXT
    assert not member.exists(edit_corosync.COPY)


def test_somebody_else_who_changes_it_is_waited_for_and_not_forever(member: FakeMachine) -> None:
    member.path(LOCK).mkdir()
    with pytest.raises(StepError) as refused:
        run(member, edit_corosync.STEP, WANTED)
    assert refused.value.code == "corosync-write-failed"
    assert "is held by somebody else" in refused.value.observed
    assert member.read(FILE) == CONF
    assert member.exists(LOCK), "it is not ours"


def test_a_restart_is_noted_before_and_forgotten_after(member: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    restarted: list[str] = []
    noted: dict[str, str] = {}

    def dd(_arguments: list[str], stdin: str) -> str:
        assert member.read(FILE) == CONF or restarted, "noted before the file is replaced"
        noted["text"] = stdin
        member.write("/etc/pve/nested-pve-ha/corosync-restart", stdin)
        return ""

    def systemctl(arguments: list[str], _stdin: str) -> str:
        assert way_in.is_open(member)
        restarted.append(arguments[1])
        return ""

    member.write("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA admin\n")
    member.programs |= {"dd": dd, "mkdir": lambda *_: "", "systemctl": systemctl}
    monkeypatch.setattr("onnode.cluster.admission.wait_for_api", lambda _machine: None)
    run(member, edit_corosync.STEP, replace(WANTED, restarts=["pve1", "pve2"]))
    assert corosync_restarts.wanted(member) == ["pve1", "pve2"]
    twice(member, restart_corosync.STEP, CorosyncRestart(60))
    assert restarted == ["corosync", "pve-cluster", "pvedaemon", "pveproxy"]
    assert corosync_restarts.wanted(member) == ["pve2"]
    assert not way_in.is_open(member)
