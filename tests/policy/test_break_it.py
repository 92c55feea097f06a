"""Stack files with one flaw each, as people write them: every one is refused, by the right name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pytest
import yaml

from config.errors import ConfigError
from config.load import load
from policy.pve_policies import RULES
from tests.support.judging import judged
from tests.support.program import ROOT, change, run, settings, stack_file

if TYPE_CHECKING:
    from pathlib import Path

FLAWS = yaml.safe_load((ROOT / "tests/cases/break_it.yaml").read_text())
ASKED_FOR = 40


@pytest.mark.parametrize("case", FLAWS, ids=lambda case: case["flaw"])
def test_it_is_refused_by_the_right_name(case: dict[str, Any], tmp_path: Path) -> None:
    assert case["refused"] in refusals(change(stack_file(case.get("stack", "dev")), case["change"]), tmp_path)


def refusals(config: dict[str, Any], directory: Path) -> set[str]:
    """Key paths of the configuration's errors; else the rules that refuse what the program registers."""
    try:
        load(settings(config))
    except ConfigError as error:
        with pytest.raises(pulumi.RunError):
            run(config, directory)
        return {problem.path for problem in error.problems}
    return {rule for _, rule in judged(run(config, directory))}


@pytest.mark.parametrize("stack", ["dev", "libvirt", "twonode", "physical"])
def test_the_stack_files_themselves_are_not_refused(stack: str, tmp_path: Path) -> None:
    assert refusals(stack_file(stack), tmp_path) == set()


def test_there_are_forty_and_no_two_are_the_same() -> None:
    assert len(FLAWS) >= ASKED_FOR
    assert len({yaml.safe_dump([case.get("stack"), case["change"]]) for case in FLAWS}) == len(FLAWS)
    rules = {case["refused"] for case in FLAWS} & {rule.id for rule in RULES}
    assert len(rules) > 5


def test_a_secret_of_another_namespace_is_seen_when_it_is_plain(tmp_path: Path) -> None:
    plain = run(stack_file("dev"), tmp_path, others={"proxmoxve:apiToken": "ci@pve!up=1", "proxmoxve:endpoint": "x"})
    assert judged(plain) == {("design", "no-plain-secrets")}
    assert plain["design"].inputs["plainSecrets"] == ["proxmoxve:apiToken"]
