"""A lab is saved and restored: the same machines again, beside each other as often as one likes, and nothing is left of any."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lab.settings import Settings
from tests.lab.conftest import Lab, eventually
from tests.lab.test_lifecycle import no_traces, traces
from tests.support.bad_world import refusal, succeeded
from tests.support.lab_project import LabProject

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.saved_lab import SavedLab

OUTER = "192.168.0.180"
FIRST, SECOND = "192.168.0.185", "192.168.0.186"
NO_CHANGE = ("up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes", "--policy-pack", "policy")


def is_whole(project: LabProject) -> None:
    """All members vote over all links, and both guests run."""
    status = succeeded(project.ssh(FIRST, "pvecm status; corosync-cfgtool -s")).output
    assert re.search(r"^Total votes:\s+3\b", status, re.MULTILINE), status
    assert "disconnected" not in status
    assert project.eventually(lambda: "running" in project.ssh(FIRST, "qm status 200").output)
    assert project.eventually(lambda: "running" in project.ssh(SECOND, "pct status 300").output)


def kill_half_way(project: LabProject, saved: SavedLab) -> None:
    """A restore of which the command and the lab die while the nodes boot."""
    lab = Lab(project.lab_state)
    command = [sys.executable, "-m", "lab", "restore", saved.name, "--directory", str(saved.saves)]
    restoring = subprocess.Popen(command, cwd=project.directory, env=project.environment, stdout=subprocess.DEVNULL)
    console = project.lab_state / "machines" / "virtual-101" / "console.log"
    eventually(console.exists, "the first node boots")
    restoring.kill()
    restoring.wait()
    os.kill(int(lab.record()["pid"]), signal.SIGKILL)
    eventually(lambda: not traces(lab)["processes"], "all processes of the lab are gone", 10)
    assert not traces(lab)["mounts"]


@pytest.mark.story
def test_two_labs_of_one_save_are_whole_at_the_same_time(
    saved_lab: SavedLab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    again = LabProject(other / "project", other / "lab")
    labs = (Lab(one / "lab"), Lab(again.lab_state))
    try:
        with saved_lab.project(one) as project:
            kill_half_way(again, saved_lab)
            saved_lab.deploy(again)
            for each in (project, again):
                is_whole(each)
            instances = {Settings(lab.state, lab.state).instance.read_text() for lab in labs}
            assert len(instances) == 1
            succeeded(project.ssh(FIRST, "touch /etc/pve/only-here"))
            succeeded(project.ssh(SECOND, "test -e /etc/pve/only-here"))
            assert again.ssh(SECOND, "test -e /etc/pve/only-here").code == 1
            # The state is of these machines, and they are as it says.
            succeeded(again.pulumi(*NO_CHANGE))

            running = refusal(saved_lab.restore(again), "lab-running")
            assert "would be lost" in running
            is_whole(again)
    finally:
        again.lab("down")
    assert [traces(lab) for lab in labs] == [no_traces(), no_traces()]


@pytest.fixture
def saves(tmp_path: Path) -> Path:
    return tmp_path / "saves"


def keep(lab: Lab, saves: Path, name: str) -> None:
    lab.do("save", name, "--directory", str(saves))


def test_power_cables_and_files_are_as_they_were(spare_lab: Lab, saves: Path) -> None:
    spare_lab.do("up")
    instance = Settings(spare_lab.state, spare_lab.state).instance.read_text()
    spare_lab.sh(OUTER, "echo kept > /root/file; rm /etc/issue; mkdir /etc/apt/new")
    spare_lab.do("link", "cut", "virtual", "management")
    keep(spare_lab, saves, "cut")
    assert not spare_lab.answers(OUTER)
    spare_lab.do("link", "restore", "virtual", "management")
    eventually(lambda: spare_lab.answers(OUTER), "it answers after the save")
    spare_lab.sh(OUTER, "echo later > /root/file")
    spare_lab.do("node", "stop", "virtual")
    keep(spare_lab, saves, "off")
    assert not spare_lab.power("virtual")
    spare_lab.do("down")

    spare_lab.do("restore", "cut", "--directory", str(saves))
    assert [one["cut"] for one in spare_lab.status()["machines"]] == [["eth0"]]
    spare_lab.do("link", "restore", "virtual", "management")
    eventually(lambda: spare_lab.answers(OUTER), "it answers")
    assert spare_lab.sh(OUTER, "cat /root/file; ls -d /etc/apt/new; test -e /etc/issue || echo gone").split() == [
        "kept",
        "/etc/apt/new",
        "gone",
    ]
    assert Settings(spare_lab.state, spare_lab.state).instance.read_text() == instance
    spare_lab.do("down")

    spare_lab.do("restore", "off", "--directory", str(saves))
    assert not spare_lab.power("virtual")
    spare_lab.do("node", "start", "virtual")
    eventually(lambda: spare_lab.answers(OUTER), "it answers")
    assert spare_lab.sh(OUTER, "cat /root/file").split() == ["later"]


def test_what_cannot_be_is_refused_and_leaves_all_as_it_is(spare_lab: Lab, saves: Path) -> None:
    spare_lab.do("down")
    nothing = spare_lab.cli("save", "none", "--directory", str(saves))
    assert nothing.returncode == 1
    assert "error[lab-not-running]" in nothing.stderr
    unknown = spare_lab.cli("restore", "none", "--directory", str(saves))
    assert unknown.returncode == 1
    assert "error[lab-save-unknown]" in unknown.stderr
    assert not spare_lab.state.exists()

    spare_lab.do("up")
    keep(spare_lab, saves, "fresh")
    before = spare_lab.record()
    running = spare_lab.cli("restore", "fresh", "--directory", str(saves))
    assert running.returncode == 1
    assert "error[lab-running]" in running.stderr
    assert "DO=down" in running.stderr
    assert spare_lab.record() == before
    assert spare_lab.answers(OUTER)
    spare_lab.do("down")

    facts = saves / "fresh" / "facts.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "version": "of-another-lab"}))
    other = spare_lab.cli("restore", "fresh", "--directory", str(saves))
    assert other.returncode == 1
    assert "error[lab-save-differs]" in other.stderr
    assert not spare_lab.state.exists()
    spare_lab.do("forget", "fresh", "--directory", str(saves))
    assert list(saves.iterdir()) == []
