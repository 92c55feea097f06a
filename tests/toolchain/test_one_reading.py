"""A stack file means one thing: to the report, to the program, and to the engine that reads it for both."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from config import stack_file, texts
from tests.support.program import ROOT, change
from tests.support.program import stack_file as described
from tests.toolchain.test_report import committed
from tests.toolchain.test_stacks import Project

if TYPE_CHECKING:
    from pathlib import Path

CASES = yaml.safe_load((ROOT / "tests/cases/stack_files.yaml").read_text())
FLAWS = yaml.safe_load((ROOT / "tests/cases/break_it.yaml").read_text())


def _values(settings: dict[str, str]) -> dict[str, Any]:
    """By value: the engine writes 0.00001 where JSON has 1e-05."""
    return {key: texts.value(text) for key, text in settings.items() if not key.startswith("pulumi:")}


@pytest.fixture
def project(tmp_path: Path, toolchain: dict[str, str], tracked: Path) -> Project:
    made = Project(tmp_path / "project", toolchain, tracked)
    assert made.pulumi("stack", "init", "dev", "--no-select").returncode == 0
    return made


def _by_engine(project: Project, name: str, text: str) -> dict[str, Any] | str:
    """What the engine reads in a file, or how it refuses it."""
    file = project.directory / f"{name}.yaml"
    file.write_text(text)
    done = project.pulumi("config", "--stack", "dev", "--json", "--config-file", str(file))
    if done.returncode != 0:
        return done.stderr
    return _values({key: entry["value"] for key, entry in json.loads(done.stdout).items()})


def test_every_case_is_read_as_the_engine_reads_it(project: Project) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = list(pool.map(lambda case: _by_engine(project, f"case{CASES.index(case)}", case["text"]), CASES))
    for case, found in zip(CASES, read, strict=True):
        if "settings" in case:
            assert found == _values(case["settings"]), case["it"]
        else:
            assert isinstance(found, dict) is (case.get("engine") == "reads"), (case["it"], found)


def test_stack_files_with_one_flaw_are_read_as_the_engine_reads_them(project: Project) -> None:
    """All in one file, each flaw under a project of its own."""
    settings: dict[str, Any] = {}
    for number, flaw in enumerate(FLAWS):
        config = change(described(flaw.get("stack", "dev")), flaw["change"])
        settings |= {f"flaw{number}:{key}": value for key, value in config.items()}
    text = yaml.safe_dump({"config": settings})
    own: dict[str, Any] = {}
    for part in range(0, len(FLAWS), 10):  # a file of this program is bounded
        some = {key: value for key, value in settings.items() if int(key[4:].partition(":")[0]) // 10 == part // 10}
        own |= _values(stack_file.parse(yaml.safe_dump({"config": some}), "x").settings)
    assert _by_engine(project, "flaws", text) == own


# One of each kind; tests/unit/config/test_one_verdict.py has them all, as far as files are read.
FILES = {
    "words and a MAC as they are written": (
        ("    mailto: root@lab.internal\n", "    mailto: root@lab.internal\n    country: no\n"),
        ("      links: [10.10.1.185, 10.20.1.185]\n", "      links: [10.10.1.185, 10.20.1.185]\n      macs: {vmbr1: 52:54:00:12:34:56}\n"),
        "",
    ),
    "a key twice": (("      vmid: 101\n", "      vmid: 101\n      memoryMib: 4096\n"), ("", ""), "memoryMib"),
    "a value that a consumer does not take": (("    mailto: root@lab.internal\n", "    mailto: root@lab.internal\n    country: uk\n"), ("", ""), "knows no country uk"),
    "a rule that is broken": (("      vmid: 101\n", "      vmid: 101\n      cpuType: kvm64\n"), ("", ""), "nested-node-cpu-host"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_report_and_preview_say_the_same_of_a_file(
    name: str, project: Project, tmp_path: Path, toolchain: dict[str, str], tracked: Path
) -> None:
    first, second, refused = FILES[name]
    text = (ROOT / "Pulumi.dev.yaml").read_text().replace(*first, 1).replace(*second, 1)
    assert text != (ROOT / "Pulumi.dev.yaml").read_text()
    (project.directory / "Pulumi.dev.yaml").write_text(text)
    preview = project.preview("dev")
    checkout = committed(tmp_path / "checkout", toolchain, tracked)
    (checkout.directory / "Pulumi.dev.yaml").write_text(text)
    code, report, said = checkout.report("dev", "--base", "HEAD")
    assert (preview.code != 0) is (code != 0) is bool(refused), (preview.output, report, said)
    assert refused in preview.output
    assert refused in report
    assert "Traceback" not in preview.output + said
