"""From doctor's causes to repairs, as data: tests/cases/repair/plans.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.doctor.diagnose import diagnose
from cli.doctor.model import World
from cli.repair import acts, plan
from cli.repair.model import KINDS, ByHand, Repair
from tests.unit.cli.doctor.test_diagnose import CASES as WORLDS
from tests.unit.cli.doctor.test_diagnose import world

CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[3] / "cases" / "repair" / "plans.yaml").read_text()
)["cases"]


def planned(name: str) -> list[Repair | ByHand]:
    expected, seen = world(WORLDS[name])
    return plan.plan(World(expected, seen), diagnose(expected, seen))


def told(one: Repair | ByHand) -> str:
    return f"{one.name} {', '.join(one.machines)}" if isinstance(one, Repair) else f"by hand {one.cause.name}"


@pytest.mark.parametrize("name", CASES)
def test_plans(name: str) -> None:
    found = planned(name)
    assert list(map(told, found)) == CASES[name]["planned"]
    text = "" if not found else "; ".join(found[0].steps) if isinstance(found[0], Repair) else found[0].why
    assert [words for words in CASES[name].get("mentions", ()) if words not in text] == [], text


@pytest.mark.parametrize("name", WORLDS)
def test_no_machine_that_doctor_does_not_name_is_touched(name: str) -> None:
    expected, seen = world(WORLDS[name])
    every = World(expected, seen)
    for one in planned(name):
        if isinstance(one, Repair):
            assert set(one.machines) <= {one.cause.where, *one.cause.seen_by}
            assert set(one.machines) <= set(every.nodes)


def test_every_kind_is_planned_and_done_and_answers_causes_of_its_own() -> None:
    assert set(KINDS) == set(plan.PLANNED) == set(acts.ACTS)
    answered = [cause for kind in KINDS.values() for cause in kind.causes]
    assert len(answered) == len(set(answered))


def test_quorum_is_waited_for_only_where_the_votes_are_enough() -> None:
    one_of_three = World(*world({"nodes": 5, "stopped": ["pve2", "pve3", "pve4", "pve5"], "causes": []}))
    assert not plan.may_be_quorate(one_of_three, "pve2")
    two_of_three = World(*world({"stopped": ["pve2"], "causes": []}))
    assert plan.may_be_quorate(two_of_three, "pve2")
