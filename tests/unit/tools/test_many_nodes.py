"""The generated stack is one that the program accepts."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.errors import ConfigError
from config.load import load
from tools.bench.many_nodes import KEY, with_nodes

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def dev() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    return document


def settings(document: dict[str, Any]) -> dict[str, str]:
    """As the engine hands them to the program."""
    values = document["config"].items()
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values}


def test_sixteen_nodes_pass_all_checks(dev: dict[str, Any]) -> None:
    config = load(settings(with_nodes(dev, 16)))
    assert [node.name for node in config.nodes][::15] == ["proxmox01", "proxmox16"]
    assert len({node.address for node in config.nodes}) == 16


def test_the_checks_would_see_a_mistake(dev: dict[str, Any]) -> None:
    grown = with_nodes(dev, 16)
    nodes = grown["config"][KEY.format("nodes")]
    nodes[15]["address"] = nodes[14]["address"]
    with pytest.raises(ConfigError):
        load(settings(grown))


def test_the_original_stays_as_it_is_and_three_nodes_are_dev_again(dev: dict[str, Any]) -> None:
    before = copy.deepcopy(dev)
    nodes = with_nodes(dev, 3)["config"][KEY.format("nodes")]
    assert dev == before
    assert nodes == before["config"][KEY.format("nodes")]
