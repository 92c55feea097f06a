"""What a running cluster goes through from one stack file to another, planned from the two alone."""

from __future__ import annotations

from typing import Any

import pytest

from cli.report.described import whole
from cli.report.way import TOTEM, way
from components.policed import policed_design
from config.load import validate
from config.model import Totem
from tests.support.fourth_node import NODE4, ROOM
from tests.support.program import change, stack_file

WITNESS = {"cluster.qdevice": {"machine": {"name": "witness", "address": "192.168.0.9"}}}
GIVEN = [whole, policed_design]  # of two stack files, and of what the engine has and is given


def facts(given: Any, stack: str, changed: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - one of the two
    config = validate(change(stack_file(stack), changed))
    found: dict[str, Any] = given(config, [])
    return found


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize(
    ("stack", "before", "after", "steps"),
    [
        ("dev", {}, {}, []),
        ("dev", {}, {"cluster.seed": "proxmox02"}, []),
        ("dev", {}, {"cluster.name": "other"}, []),  # refused, where the value is shown
        ("dev", {}, {"nodes.1.nodeId": 9}, []),
        ("dev", {}, {"nodes.1.votes": 2}, ["other votes: proxmox02 2; meanwhile the cluster survives the loss of 0 nodes"]),
        ("dev", {}, {"nodes.1.links.1": "10.20.1.196"}, ["link 1 gets another address on proxmox02, and is out of use until then; meanwhile the cluster survives the loss of 1 node"]),
        ("dev", {}, {"cluster.links.1.priority": 5}, ["link 1 gets priority 5; meanwhile the cluster survives the loss of 1 node"]),
        ("dev", {"cluster.links.1.priority": 5}, {"cluster.links.1.priority": None}, []),
        ("dev", {}, {"cluster.totem": {"tokenMs": 4000}}, ["other settings of corosync: token 4000; meanwhile the cluster survives the loss of 1 node"]),
        ("dev", {}, {"cluster.totem": {"linkMode": "active", "tokenCoefficientMs": 500}}, ["other settings of corosync: link_mode active, token_coefficient 500; meanwhile the cluster survives the loss of 0 nodes"]),
        ("dev", {}, {"nodes.+": NODE4, **ROOM}, ["proxmox04 joins; meanwhile the cluster survives the loss of 0 nodes"]),
        ("twonode", {}, WITNESS, ["the QDevice on 192.168.0.9 gets a vote; meanwhile the cluster survives the loss of 0 nodes"]),
        ("twonode", WITNESS, {}, ["the QDevice on 192.168.0.9 loses its vote; meanwhile the cluster survives the loss of 0 nodes"]),
        ("dev", WITNESS, WITNESS, []),  # an odd number of nodes has none
    ],
)  # fmt: skip
def test_the_steps(given: Any, stack: str, before: dict[str, Any], after: dict[str, Any], steps: list[str]) -> None:  # noqa: ANN401 - one of the two
    found = way(facts(given, stack, before), facts(given, stack, after))
    assert (list(found.steps), found.refusal) == (steps, None)


def test_each_setting_of_corosync_has_its_name_there() -> None:
    assert TOTEM.keys() == {field.alias or name for name, field in Totem.model_fields.items()}


@pytest.mark.parametrize("given", GIVEN)
def test_why_there_is_no_way(given: Any) -> None:  # noqa: ANN401 - one of the two
    moved = {"nodes.1.links.0": "10.10.1.196", "nodes.1.links.1": "10.20.1.196"}
    found = way(facts(given, "dev", {}), facts(given, "dev", moved))
    assert found.steps == ()
    assert found.refusal is not None
    assert found.refusal.code == "link-last"
