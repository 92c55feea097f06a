"""Which stacks a pull request touches."""

from __future__ import annotations

import pytest

from cli.report.stacks import gone, touched

STACKS = ("physical", "dev", "twonode")


@pytest.mark.parametrize(
    ("changed", "stacks"),
    [
        (["Pulumi.dev.yaml"], ["dev"]),
        (["Pulumi.dev.policy.json", "README.md"], ["dev"]),
        (["Pulumi.dev.yaml", "Pulumi.physical.yaml"], ["dev", "physical"]),
        (["policy/pve_policies/links.py"], ["dev", "physical", "twonode"]),
        (["config/model.py"], ["dev", "physical", "twonode"]),
        (["requirements.txt"], ["dev", "physical", "twonode"]),
        (["README.md", "docs/config.md", "tests/unit/x.py", "lab/x.py"], []),
        (["Pulumi.gone.yaml"], []),
        ([""], []),
    ],
)
def test_a_stack_is_touched_by_its_own_files_and_by_the_program(changed: list[str], stacks: list[str]) -> None:
    assert touched(STACKS, changed) == stacks


def test_a_stack_whose_file_went_is_gone() -> None:
    assert gone(["Pulumi.home.yaml", "Pulumi.dev.yaml", "Pulumi.old.policy.json", "Pulumi.yaml", ""], STACKS) == [
        "home"
    ]
    assert touched([*STACKS, "home"], ["Pulumi.home.yaml"]) == ["home"]
