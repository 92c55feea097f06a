"""From what each node reports to the causes, as data: tests/cases/doctor/causes.yaml."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.doctor.diagnose import diagnose
from cli.doctor.model import Silence
from onnode.cluster.corosync import Device
from tests.support import doctored

CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[3] / "cases" / "doctor" / "causes.yaml").read_text()
)["cases"]
KEYS = {"nodes", "described", "dead", "cut", "stopped", "listed", "old", "doubled", "silent", "offsets", "changes"}
JUDGED = {"causes", "mentions", "explains", "why"}


def world(case: dict[str, Any]) -> tuple[Any, Any]:
    """What is described, and what is seen."""
    assert set(case) <= KEYS | JUDGED
    count = case.get("nodes", 3)
    expected = doctored.expected(case.get("described", count))
    changes: dict[str, Any] = dict(case.get("changes", {}))
    for name in case.get("old", ()):
        # It was removed, and goes on with the configuration of before.
        before = dataclasses.asdict(doctored.conf(count, version=2))
        changes[name] = {"local": before, "shared": before, "loaded": None, "pve_writable": False} | changes.get(
            name, {}
        )
    seen = doctored.seen(
        count,
        dead=case.get("dead", ()),
        cut=[(one, other, link) for one, other, link in case.get("cut", ())],
        stopped=case.get("stopped", ()),
        listed=case.get("listed"),
    )
    seen = doctored.changed(seen, changes)
    if case.get("doubled"):
        seen = doctored.changed(seen, {name: _doubled() for name in seen.reports})
    silent = {name: Silence(code, "observed", "do this") for name, code in case.get("silent", {}).items()}
    reports = {name: report for name, report in seen.reports.items() if name not in silent}
    known = {member.name for member in expected.members}
    reports = {name: report for name, report in reports.items() if name in known}
    silent = {name: one for name, one in {**seen.silent, **silent}.items() if name in known}
    return expected, dataclasses.replace(
        seen, reports=reports, silent=silent, offsets_s={**seen.offsets_s, **case.get("offsets", {})}
    )


def _doubled() -> dict[str, Any]:
    file = {"faults": ["a node id twice: id 2: pve2 and pve3"]}
    return {"local": file, "shared": file}


@pytest.mark.parametrize("name", CASES)
def test_causes(name: str) -> None:
    case = CASES[name]
    found = diagnose(*world(case))
    assert [f"{cause.name} {cause.where}" for cause in found] == case["causes"]
    assert all(cause.next and cause.what for cause in found)
    if found:
        text = f"{found[0].what} {found[0].why} {found[0].next}"
        assert [words for words in case.get("mentions", ()) if words not in text] == [], text
        assert [words for words in case.get("explains", ()) if words not in found[0].explains] == [], found[0].explains


def test_the_vote_of_a_qdevice_is_expected() -> None:
    """`pvecm expected`, which would be the advice without it, tampers with a good quorum."""
    file = dataclasses.replace(doctored.conf(2), device=Device("192.168.0.106", 1))
    seen = doctored.seen(2)
    reports = {
        name: dataclasses.replace(
            report, local=file, shared=file, quorum=dataclasses.replace(report.quorum, expected=3, total=3)
        )
        for name, report in seen.reports.items()
        if report.quorum
    }
    assert len(reports) == 2
    assert diagnose(doctored.expected(2), dataclasses.replace(seen, reports=reports)) == []
    without = {
        name: dataclasses.replace(report, local=doctored.conf(2), shared=doctored.conf(2))
        for name, report in reports.items()
    }
    found = diagnose(doctored.expected(2), dataclasses.replace(seen, reports=without))
    assert [cause.name for cause in found] == ["votes-expected"]
