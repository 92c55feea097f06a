"""One truth for each rule (decision 13): the configuration lets the pack judge, and what a stack says of a rule counts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pulumi_policy import EnforcementLevel

from policy.pve_policies import RULES, Rule
from policy.pve_policies.examples import CLUSTER, GUEST, OUTER_HOST, design, nested, of_nodes
from policy.pve_policies.resources import DESIGN
from tests.support.designs import described
from tests.support.judging import verdicts
from tests.support.policy import analyze
from tests.support.program import Recording, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from policy.pve_policies.rule import Example

    Registered = Callable[[Example], Recording]

ADVISORY, MANDATORY = EnforcementLevel.ADVISORY, EnforcementLevel.MANDATORY
BY_ID = {rule.id: rule for rule in RULES}
OF_A_STACK_FILE = [rule for rule in RULES if DESIGN in rule.judges]
OF_OTHER_PROGRAMS = [rule for rule in RULES if DESIGN not in rule.judges]
LARGE_HOST = OUTER_HOST | {"memoryMib": 99999, "diskGib": 999}
FIVE_NODES = of_nodes(*(nested(number) | {"cores": 12} for number in range(1, 6)))
# A design, and the setting that turns its refusal into a pass.
LOOSENED: list[tuple[str, Example, dict[str, Any]]] = [
    ("corosync-link-quiet", design(cluster=CLUSTER | {"migrationNetwork": "10.10.1.0/24"}), {"allowed": ["migration"]}),
    ("corosync-link-quiet", BY_ID["corosync-link-quiet"].bad, {"allowed": ["guests"]}),
    (
        "outer-host-not-overcommitted",
        replace(FIVE_NODES, special={**FIVE_NODES.special, "outerHosts": [LARGE_HOST]}),
        {"coreFactor": 5},
    ),
    ("guests-fit-after-a-failure", design(guests=[GUEST | {"memoryMib": 2048}]), {"reserveMib": 0}),
    ("enterprise-repository-subscribed", design(maintenance={"repository": "enterprise"}), {"subscription": True}),
]
FOR_OTHER_PROGRAMS = {("nested-node-cpu-host", "tags"), ("nodes-and-storage-protected", "tags")}


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """What the program registers for the stack file of a design; each design once."""
    known: dict[str, Recording] = {}

    def of(example: Example) -> Recording:
        design = json.dumps(dict(example.props))
        if design not in known:
            secrets = dict.fromkeys(example.props["plainSecrets"], "in-the-clear")
            known[design] = run(described(example.props), tmp_path_factory.mktemp("program"), others=secrets)
        return known[design]

    return of


def facts(value: Any) -> Any:  # noqa: ANN401 - JSON values
    """Without what nobody said, and without MAC addresses, which follow from the names of nodes."""
    if isinstance(value, dict):
        return {key: facts(item) for key, item in value.items() if item is not None and key != "macs"}
    return [facts(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("rule", OF_A_STACK_FILE, ids=lambda rule: rule.id)
@pytest.mark.parametrize("which", ["bad", "good"])
def test_its_examples_are_what_the_program_registers_for_a_stack_file(
    rule: Rule, which: str, registered: Registered
) -> None:
    """So the configuration refuses neither, and what the rule says of them it says of a stack file."""
    example = getattr(rule, which)
    assert facts(registered(example)["design"].inputs) == facts(dict(example.props))


@pytest.mark.parametrize("rule", OF_A_STACK_FILE, ids=lambda rule: rule.id)
def test_its_level_decides_what_becomes_of_a_stack_file(rule: Rule, registered: Registered) -> None:
    program = registered(rule.bad)
    own = ADVISORY if rule.level == ADVISORY else MANDATORY
    assert ("design", own) in verdicts(rule, program)
    for given, level in (("mandatory", MANDATORY), ("advisory", ADVISORY)):
        assert {found for _, found in verdicts(rule, program, {rule.id: given})} == {level}
    assert verdicts(rule, program, {rule.id: "disabled"}) == set()
    assert verdicts(rule, registered(rule.good)) == set()


@pytest.mark.parametrize("rule", OF_OTHER_PROGRAMS, ids=lambda rule: rule.id)
def test_its_level_decides_what_becomes_of_resources_of_other_programs(rule: Rule) -> None:
    for level in (MANDATORY, ADVISORY):
        assert {found.level for found in analyze(rule, rule.bad, level=level)} == {level}
    assert analyze(rule, rule.bad, level=EnforcementLevel.DISABLED) == []


@pytest.mark.parametrize(("rule", "example", "setting"), LOOSENED)
def test_a_setting_loosens_it_for_a_stack_file(
    rule: str, example: Example, setting: dict[str, Any], registered: Registered
) -> None:
    program = registered(example)
    assert verdicts(BY_ID[rule], program) == {("design", MANDATORY)}
    assert verdicts(BY_ID[rule], program, {rule: setting}) == set()


def test_each_setting_is_tried() -> None:
    tried = {(rule, setting) for rule, _, settings in LOOSENED for setting in settings}
    assert tried | FOR_OTHER_PROGRAMS == {(rule.id, setting) for rule in RULES for setting in rule.settings}


def test_what_judges_a_design_has_a_design_as_its_example() -> None:
    assert {rule.bad.type for rule in OF_A_STACK_FILE} == {rule.good.type for rule in OF_A_STACK_FILE} == {DESIGN}
