"""Saves of a lab: which can be made, found and used, and which states of stacks go with them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from lab.cli import remove_images
from lab.errors import LabError
from lab.options import Options
from lab.settings import Settings
from lab.world import saves

if TYPE_CHECKING:
    from pathlib import Path

INSTANCE = "0123456789abcdef"
FACTS = saves.Facts(
    saves.version(),
    Options(shape="default", time_scale=0.2, owner=(1000, 1000)),
    {"virtual": saves.Kept(on=True, cut=[], vms={"101": saves.Kept(on=False, cut=["ens19"], vms={})})},
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the states of a project's stacks."""
    monkeypatch.setattr(saves, "PROJECT", tmp_path / "project")
    stacks = tmp_path / "project" / saves.STACKS
    stacks.mkdir(parents=True)
    return stacks


def made(directory: Path, name: str) -> Path:
    with saves.making(directory, name) as partial:
        saves.write(partial, FACTS)
    return directory / name


def everything(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def refused(code: str, directory: Path, name: str) -> LabError:
    before = everything(directory)
    with pytest.raises(LabError) as refusal, saves.making(directory, name):
        pytest.fail("it was not refused")
    assert refusal.value.code == code
    assert refusal.value.next_step
    assert everything(directory) == before
    return refusal.value


def state(instance: str | None, *, resources: int = 2) -> str:
    design: dict[str, Any] = {"type": "nested-pve-ha:Design", "inputs": {"siteInstance": instance} if instance else {}}
    return json.dumps(
        {"version": 3, "checkpoint": {"latest": {"resources": ([{"type": "stack"}, design])[:resources]}}}
    )


def test_what_was_made_is_read_back(tmp_path: Path) -> None:
    save = made(tmp_path / "saves", "formed")
    assert saves.find(tmp_path / "saves", "formed") == save
    assert saves.read(save) == FACTS
    assert saves.read(save).options.owner == (1000, 1000)
    assert save.stat().st_mode & 0o777 == 0o700


def test_an_unknown_name_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="there is no save other") as refusal:
        saves.find(tmp_path, "other")
    assert refusal.value.code == "lab-save-unknown"
    assert refusal.value.observed.endswith("none")
    made(tmp_path, "formed")
    with pytest.raises(LabError) as refusal:
        saves.forget(tmp_path, "other")
    assert refusal.value.code == "lab-save-unknown"
    assert refusal.value.observed.endswith("formed")
    assert saves.names(tmp_path) == ["formed"]


def test_a_save_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = made(tmp_path, "formed")
    monkeypatch.setattr(saves, "version", lambda: "of-another-lab")
    with pytest.raises(LabError) as refusal:
        saves.read(save)
    assert refusal.value.code == "lab-save-differs"
    assert (refusal.value.observed, refusal.value.expected) == (FACTS.version, "of-another-lab")


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    made(tmp_path, "formed")
    assert "forget formed" in refused("lab-save-exists", tmp_path, "formed").next_step


@pytest.mark.parametrize("name", ["", "../up", "a/b", "Big", "-x", ".partial-x", "a" * 41])
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    refused("lab-save-name", tmp_path, name)


def test_no_more_are_kept_than_there_is_room_for(tmp_path: Path) -> None:
    for number in range(saves.MOST):
        made(tmp_path, f"save-{number}")
    assert "save-0" in refused("lab-saves-full", tmp_path, "one-more").observed
    saves.forget(tmp_path, "save-3")
    made(tmp_path, "one-more")


def test_what_fails_or_was_killed_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with saves.making(tmp_path, "formed") as partial:
            (partial / saves.PACKED).write_text("half of it")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert list(tmp_path.iterdir()) == []

    (tmp_path / f"{saves.PARTIAL}of-a-killed-one").mkdir()
    made(tmp_path, "formed")
    assert [path.name for path in tmp_path.iterdir()] == ["formed"]


def test_one_command_at_a_time_makes_a_save(tmp_path: Path) -> None:
    with saves.making(tmp_path, "formed") as partial:
        saves.write(partial, FACTS)
        refused("lab-busy", tmp_path, "other")
    assert saves.names(tmp_path) == ["formed"]


def test_the_lab_is_another_version_when_its_code_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saves, "PROJECT", tmp_path)
    code = tmp_path / "lab" / "node" / "pct"
    code.parent.mkdir(parents=True)
    code.write_text("one")
    (tmp_path / "lab" / "README.md").write_text("about it")
    before = saves.version()
    (tmp_path / "lab" / "README.md").write_text("more about it")
    (tmp_path / "lab" / "__pycache__").mkdir()
    (tmp_path / "lab" / "__pycache__" / "pct.pyc").write_text("compiled")
    assert saves.version() == before
    code.write_text("two")
    assert saves.version() != before


def test_states_go_with_the_machines_that_they_describe(project: Path, tmp_path: Path) -> None:
    (project / "dev.json").write_text(state(INSTANCE))
    (project / "other.json").write_text(state("fedcba9876543210"))
    (project / "physical.json").write_text(state(None))
    (project / "broken.json").write_text("{")
    save = tmp_path / "save"
    save.mkdir()
    saves.keep_stacks(save, INSTANCE)
    assert [path.name for path in (save / "stacks").iterdir()] == ["dev.json"]

    (project / "dev.json").write_text(state("fedcba9876543210"))
    others = {name: (project / name).read_text() for name in ("other.json", "physical.json", "broken.json")}
    saves.refuse_stacks(save)
    saves.put_stacks_back(save, (os.getuid(), os.getgid()))
    assert (project / "dev.json").read_text() == state(INSTANCE)
    assert (project / "dev.json.bak").read_text() == state("fedcba9876543210")
    assert {name: (project / name).read_text() for name in others} == others


def test_a_state_of_machines_outside_of_the_lab_is_not_replaced(project: Path, tmp_path: Path) -> None:
    (project / "dev.json").write_text(state(INSTANCE))
    save = tmp_path / "save"
    save.mkdir()
    saves.keep_stacks(save, INSTANCE)
    (project / "dev.json").write_text(state(None))
    with pytest.raises(LabError) as refusal:
        saves.refuse_stacks(save)
    assert refusal.value.code == "lab-save-stack"
    assert "another checkout" in refusal.value.next_step

    (project / "dev.json").write_text(state(None, resources=0))  # the control: it describes nothing
    saves.refuse_stacks(save)


def test_saves_stay_where_the_cached_images_go(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "state", tmp_path / "cache")
    save = made(settings.saves, "formed")
    (settings.cache / "root-1.tar").write_text("image")
    (settings.cache / "unpacked").mkdir()
    remove_images(settings)
    assert list(settings.cache.iterdir()) == [settings.saves]
    assert saves.read(save) == FACTS
