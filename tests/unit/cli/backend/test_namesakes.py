"""Two stacks whose names differ only in case have the same mark: the second one is refused, wherever the first is seen."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from cli import description
from cli.backend import namesakes
from cli.backend.locks import PROJECT
from cli.state import ownership
from cluster import proxmox_ve
from cluster.errors import AdminError
from config import stack_file
from config.errors import ConfigError
from tests.unit.cli.state.test_belongings import HOST, OURS, guest, look, state

if TYPE_CHECKING:
    from pathlib import Path

    from cli.description import Description


def test_one_that_has_things_on_a_host_is_told_apart_by_its_exact_name(dev: Description) -> None:
    """VM 101 carries the mark of both."""
    seen = look(guest(101, OURS))
    cases: list[tuple[tuple[str, ...], bool]] = [
        (("Dev",), True),
        (("dev", "DEV"), True),
        (("dev", "prod"), False),
        ((), False),
    ]
    for stacks, refused in cases:
        looks = {HOST: [dataclasses.replace(seen, stacks=stacks)]}
        if not refused:
            assert ownership.compare(dev, state(), looks).adopt
            continue
        with pytest.raises(AdminError) as caught:
            ownership.compare(dev, state(), looks)
        assert caught.value.code == "stack-name-taken"
        assert f"{stacks[-1]} has things on {HOST}" in caught.value.observed


def test_the_names_on_a_host_are_those_of_its_journal() -> None:
    assert proxmox_ve.stacks(json.dumps({"stacks": {"Dev": {"bridges": []}, "prod": {}}})) == ("Dev", "prod")
    assert (
        proxmox_ve.stacks("{}")
        == proxmox_ve.stacks("[]")
        == proxmox_ve.stacks("cut o")
        == proxmox_ve.stacks('{"stacks": null}')
        == ()
    )
    assert "var/lib/nested-pve-ha/journal.json" in proxmox_ve.READ


def test_one_that_has_a_state_here_is_found_by_its_file(tmp_path: Path) -> None:
    kept = tmp_path / "stacks" / PROJECT
    kept.mkdir(parents=True)
    for name in ("Home.json", "Home.json.bak", "Home.json.attrs", "prod.json.gz"):
        (kept / name).touch()
    assert namesakes.recorded(tmp_path) == ["Home", "prod"]
    assert namesakes.recorded(tmp_path / "none") == []
    with pytest.raises(AdminError, match="upper and lower case"):
        namesakes.refuse("home", namesakes.recorded(tmp_path), "has a state")
    namesakes.refuse("Home", namesakes.recorded(tmp_path), "has a state")


def test_one_that_has_a_stack_file_here_is_refused_by_every_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Home", "home", "prod"):
        (tmp_path / f"Pulumi.{name}.yaml").write_text("config: {}\n")
    monkeypatch.setattr(description, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    for stack in ("Home", "home"):
        with pytest.raises(AdminError) as caught:
            description.stack_file(stack)
        assert caught.value.code == "stack-name-taken"
        with pytest.raises(ConfigError, match="upper and lower case"):
            stack_file.refuse_misread(stack)
    assert description.stack_file("prod").name == "Pulumi.prod.yaml"
    stack_file.refuse_misread("prod")
