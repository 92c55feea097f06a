"""A stack file gets one verdict: the report refuses what the program refuses, in the same words, and nothing else.

What the engine reads in a file is what the program is given here: tests/toolchain/test_one_reading.py shows that of each case.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from unittest import mock

import pulumi
import pytest
import yaml

from cli import description
from cli.engine import environment
from cli.report import command
from config import stack_file
from config.errors import ConfigError
from tests.support.program import ROOT, change, run, settings
from tests.support.program import stack_file as described

if TYPE_CHECKING:
    from pathlib import Path

FILES = {case["it"]: case["text"] for case in yaml.safe_load((ROOT / "tests/cases/stack_files.yaml").read_text())}
for flaw in yaml.safe_load((ROOT / "tests/cases/break_it.yaml").read_text()):
    FILES[flaw["flaw"]] = json.dumps({"config": settings(change(described(flaw.get("stack", "dev")), flaw["change"]))})
for stack in ("dev", "twonode", "physical"):
    FILES[f"as shipped: {stack}"] = (ROOT / f"Pulumi.{stack}.yaml").read_text()


class _AcceptedError(Exception):
    """The file is right as far as it is read; what follows is the same preview for both."""


def _of_report(directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for module in (description, command):
        monkeypatch.setattr(module, "ROOT", directory)
    monkeypatch.setattr(environment, "for_engine", dict)
    monkeypatch.setattr(command, "_readable", mock.Mock(side_effect=_AcceptedError))
    try:
        (problem,) = command._report("test", None).problems
    except _AcceptedError:
        return ""
    return problem


def _of_program(directory: Path) -> str:
    def given() -> dict[str, str]:
        try:
            return stack_file.read(directory / "Pulumi.test.yaml").settings
        except ConfigError:
            return {}  # whatever the engine makes of it, the program looks at the file itself

    with mock.patch("components.design.Design", side_effect=_AcceptedError):
        try:
            run({}, directory, others=given())
        except _AcceptedError:
            return ""
        except pulumi.RunError as refused:
            return str(refused)
    raise AssertionError("neither refused nor accepted")


@pytest.mark.parametrize("it", FILES)
def test_the_report_and_the_program_say_the_same(it: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.test.yaml").write_text(FILES[it])
    told = _of_program(tmp_path)
    assert _of_report(tmp_path, monkeypatch) == told
    assert ("error[config-invalid]" in told) is bool(told)


def test_both_verdicts_are_among_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[bool, list[Any]] = {True: [], False: []}
    for it in ("as shipped: dev", "two nodes with one vmid", "a setting twice", "a node has a CPU type that hides vmx"):
        (tmp_path / "Pulumi.test.yaml").write_text(FILES[it])
        found[bool(_of_report(tmp_path, monkeypatch))].append(it)
    assert found[False] == ["as shipped: dev", "a node has a CPU type that hides vmx"], (
        "the policy pack's, in the preview"
    )
