"""From what each node reports to the causes, as data: tests/cases/doctor/causes.yaml."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.doctor.diagnose import diagnose
from cli.doctor.model import Seen, Silence
from onnode.cluster.corosync import Device, Quorum, Voter
from onnode.contract.diagnosis import ConfFile
from tests.support import doctored

CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[3] / "cases" / "doctor" / "causes.yaml").read_text()
)["cases"]
KEYS = {
    "device",
    "nodes",
    "described",
    "dead",
    "cut",
    "stopped",
    "listed",
    "old",
    "sides",
    "doubled",
    "everywhere",
    "storages",
    "silent",
    "offsets",
    "changes",
}
JUDGED = {"causes", "mentions", "lacks", "next", "explains", "why"}


def world(case: dict[str, Any]) -> tuple[Any, Any]:
    """What is described, and what is seen."""
    assert set(case) <= KEYS | JUDGED
    count = case.get("nodes", 3)
    expected = doctored.expected(case.get("described", count), storages=case.get("storages", ["shared"]))
    changes: dict[str, Any] = dict(case.get("changes", {}))
    for name in case.get("old", ()):
        # It was removed, and goes on with the configuration of before.
        before = dataclasses.asdict(doctored.conf(count, version=2))
        changes[name] = {"local": before, "shared": before, "loaded": None, "pve_writable": False} | changes.get(
            name, {}
        )
    for side in case.get("sides", ()):
        changes |= {name: _of_side(name, **side) | changes.get(name, {}) for name in side["nodes"]}
    seen = doctored.seen(
        count,
        dead=case.get("dead", ()),
        cut=[(one, other, link) for one, other, link in case.get("cut", ())],
        stopped=case.get("stopped", ()),
        listed=case.get("listed"),
    )
    seen = doctored.changed(seen, changes)
    if everywhere := case.get("everywhere"):
        seen = doctored.changed(seen, dict.fromkeys(seen.reports, everywhere))
    if device := case.get("device"):
        seen = _with_device(seen, Device("192.168.0.106", device["votes"]), device.get("casts", {}))
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


def _of_side(  # noqa: PLR0913 - what a side can differ in
    name: str,
    *,
    nodes: list[str],
    version: int,
    lists: list[str] | None = None,
    cluster: str = "proxmox",
    key: str = "key of the cluster",
    quorate: bool = True,
) -> dict[str, Any]:
    """What a node reports that votes with these nodes only, under a list of its own."""
    every = {node.name: node for node in doctored.conf(5).nodes}
    listed = nodes if lists is None else lists
    file = ConfFile(f"digest {version} of {cluster} {listed}", version, cluster, [every[one] for one in listed])
    voters = [Voter(every[one].id, 1, one, one == name) for one in nodes]
    needed = len(voters) if quorate else len(listed) // 2 + 1
    quorum = Quorum(quorate, len(listed), len(voters), needed, voters)
    told = dataclasses.asdict(file)
    return {
        "local": told,
        "shared": told,
        "quorum": dataclasses.asdict(quorum),
        "loaded": version,
        "pve_writable": quorate,
        "authkey": key,
    }


def _with_device(seen: Seen, device: Device, casts: dict[str, int]) -> Seen:
    """Every node with a QDevice, which gives these votes to these nodes, and nothing to others."""
    reports = {}
    for name, report in seen.reports.items():
        assert report.local
        file = dataclasses.replace(report.local, device=device)
        quorum = report.quorum
        if quorum:
            expected = sum(node.votes for node in file.nodes) + (device.votes or 0)
            total, needed = quorum.total + casts.get(name, 0), expected // 2 + 1
            quorum = dataclasses.replace(
                quorum,
                device=casts.get(name, 0),
                expected=expected,
                total=total,
                needed=needed,
                quorate=total >= needed,
            )
        writable = quorum is not None and quorum.quorate
        reports[name] = dataclasses.replace(report, local=file, shared=file, quorum=quorum, pve_writable=writable)
    return dataclasses.replace(seen, reports=reports)


def _doubled() -> dict[str, Any]:
    file = {"faults": ["a node id twice: id 2: pve2 and pve3"]}
    return {"local": file, "shared": file}


@pytest.mark.parametrize("name", CASES)
def test_causes(name: str) -> None:
    case = CASES[name]
    found = diagnose(*world(case))
    assert [f"{cause.name} {cause.where}" for cause in found] == case["causes"]
    assert all(cause.next and cause.what for cause in found)
    following = {cause.name: cause.next for cause in found}
    for of_cause, words in case.get("next", {}).items():
        assert words in following[of_cause], following[of_cause]
    if found:
        text = f"{found[0].what} {found[0].why} {found[0].next}"
        assert [words for words in case.get("mentions", ()) if words not in text] == [], text
        every = " ".join(f"{cause.what} {cause.why} {cause.next}" for cause in found)
        assert [words for words in case.get("lacks", ()) if words in every] == [], every
        assert [words for words in case.get("explains", ()) if words not in found[0].explains] == [], found[0].explains


def test_the_vote_of_a_qdevice_is_expected() -> None:
    """`pvecm expected`, which would be the advice without it, tampers with a good quorum."""
    file = dataclasses.replace(doctored.conf(2), device=Device("192.168.0.106", 1))
    seen = doctored.seen(2)
    reports = {
        name: dataclasses.replace(
            report, local=file, shared=file, quorum=dataclasses.replace(report.quorum, expected=3, total=3, device=1)
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


@pytest.mark.parametrize(("casts", "is_possible"), [(1, True), (0, False)])
def test_as_many_votes_are_expected_again_as_corosync_takes(casts: int, is_possible: bool) -> None:  # noqa: FBT001 - a case
    """Of two nodes and a QDevice one is left: with the QDevice's vote two of three are there."""
    file = dataclasses.replace(doctored.conf(2), device=Device("192.168.0.106", 1))
    seen = doctored.seen(2, dead=["pve2"])
    quorum = Quorum(
        quorate=True, expected=1, total=1 + casts, needed=1, members=[Voter(1, 1, "", local=True)], device=casts
    )
    report = dataclasses.replace(seen.reports["pve1"], local=file, shared=file, quorum=quorum, pve_writable=True)
    found = diagnose(doctored.expected(2), dataclasses.replace(seen, reports={"pve1": report}))
    (cause,) = [cause for cause in found if cause.name == "votes-expected"]
    assert ("bring the nodes back first" not in cause.next) == is_possible
    assert cause.next.endswith("pvecm expected 3")
