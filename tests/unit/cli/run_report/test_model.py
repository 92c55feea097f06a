"""What a report says, from the chronicle of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cli.chronicle import Chronicle, Remark
from cli.engine.failures import Failure
from cli.run.engine_runs import RunError
from cli.run_report.model import document
from cluster.errors import AdminError
from components import recorded
from onnode.contract.membership import Membership
from tests.unit.cli.run_report.told import (
    begun,
    changed,
    ended,
    engine_run,
    failed,
    one_link_cut,
    state,
    well,
)

if TYPE_CHECKING:
    from cli.description import Description
    from onnode.errors import StepError


def said(kept: Chronicle, error: StepError | None = None) -> dict[str, Any]:
    return document(kept, "dev", "up", error, kept.began + 200.04)


def test_what_ran_when_and_how_long() -> None:
    found = said(changed())
    assert {key: found[key] for key in ("version", "stack", "command", "began", "seconds")} == {
        "version": 1,
        "stack": "dev",
        "command": "up",
        "began": "2026-09-21T14:13:20Z",
        "seconds": 200.0,
    }
    assert found["end"] == {"ok": True, "code": "", "next": "", "failures": []}


def test_every_failure_of_the_engine_is_there_by_its_name() -> None:
    error = RunError(
        [Failure("iso-missing", "virtual-image", "error[iso-missing]: …"), Failure("task-failed", "x", "…")]
    )
    end = said(changed(), error)["end"]
    assert (end["ok"], end["code"], end["next"]) == (False, "iso-missing", "run the same command again")
    assert [one["resource"] for one in end["failures"]] == ["virtual-image", "x"]


def test_a_refusal_is_there_as_it_was_shown() -> None:
    error = AdminError("link-last", "no link would stay", observed="both change", expected="one")
    end = said(changed(), error)["end"]
    assert end["failures"] == [{"code": "link-last", "resource": "", "text": error.render()}]
    assert end["next"] == error.fix


OUTPUT = '{"changed": false, "facts": {}}\n'
CREATE = {"inputs": {"create": "python -m cluster verify-cluster"}}


def test_operations_have_their_words_and_how_they_ended() -> None:
    kept = changed()
    step: dict[str, Any] = {"kind": recorded.LOCAL_STEP, **CREATE}
    kept.runs = [
        engine_run(
            (0.0, begun("refresh", "vm01-vm")),
            (0.2, ended("refresh", "vm01-vm")),
            (0.3, begun("same", "vm01-vm")),
            (0.4, begun("create", "group", kind=recorded.GUEST)),
            (0.5, begun("create", "verify", **step)),
            (0.6, begun("update", "vm02-vm")),
            (0.7, begun("delete", "vm03-vm")),
            (0.8, begun("create-replacement", "vm04-vm")),
            (1.5, ended("create", "verify", **step, outputs={"stdout": OUTPUT})),
            (2.0, failed("update", "vm02-vm")),
            (2.1, ended("create-replacement", "vm04-vm")),
            (2.2, begun("delete-replaced", "vm04-vm")),
        )
    ]
    rows = {row["resource"]: row for row in said(kept)["operations"]}
    assert {name: (row["done"], row["seconds"]) for name, row in rows.items()} == {
        "verify": ("checked", 1.0),
        "vm02-vm": ("failed", 1.4),
        "vm03-vm": ("not finished", None),
        "vm04-vm": ("replaced", 1.3),
    }
    assert rows["verify"]["what"] == "check members, votes and links from every side"
    assert rows["vm03-vm"]["what"] == "remove virtual machine vm03-vm"


def test_the_chain_that_ended_last_is_shown_with_its_times() -> None:
    kept = changed()
    events = [(0.0, "host", 1.0), (1.0, "slow", 9.0), (1.0, "quick", 2.0), (9.0, "join", 12.0)]
    kept.runs = [
        engine_run(
            *((start, begun("create", name)) for start, name, _ in events),
            *((end, ended("create", name)) for _, name, end in events),
        )
    ]
    kept.state = state(host=[], slow=["host"], quick=["host"], join=["slow", "quick"])
    path = said(kept)["critical_path"]
    assert [one["resource"] for one in path] == ["host", "slow", "join"]
    assert (path[1]["start"], path[1]["end"]) == (1.0, 9.0)


def test_a_destroy_goes_the_other_way() -> None:
    kept = changed()
    run = engine_run(
        (0.0, begun("delete", "join")),
        (3.0, ended("delete", "join")),
        (3.0, begun("delete", "host")),
        (4.0, ended("delete", "host")),
        operation="destroy",
    )
    run.state = state(host=[], join=["host"])
    kept.runs, kept.state = [run], {"deployment": {}}
    assert [one["resource"] for one in said(kept)["critical_path"]] == ["join", "host"]


def test_a_refresh_before_and_the_removal_of_an_old_one_lengthen_no_work() -> None:
    kept = changed()
    kept.runs = [
        engine_run(
            (0.0, begun("refresh", "vm")),
            (1.0, ended("refresh", "vm")),
            (5.0, begun("create-replacement", "vm")),
            (6.0, ended("create-replacement", "vm")),
            (9.0, begun("delete-replaced", "vm")),
            (9.5, ended("delete-replaced", "vm")),
        )
    ]
    kept.state = state(vm=[])
    assert said(kept)["critical_path"] == [{"resource": "vm", "start": 5.0, "end": 6.0}]


def test_quorum_and_links_before_and_after() -> None:
    kept = changed()
    kept.before, kept.after = well(1, 2, 3), one_link_cut()
    found = said(kept)
    assert (found["before"]["quorate"], found["before"]["votes"]) == (True, "3/3")
    assert found["before"]["nodes"]["proxmox02"]["links"] == {
        "0": {"connected": 2, "of": 2},
        "1": {"connected": 2, "of": 2},
    }
    after = found["after"]["nodes"]
    assert after["proxmox02"]["links"] == {"0": {"connected": 0, "of": 2}, "1": {"connected": 1, "of": 2}}
    assert after["proxmox02"]["votes"] == "2/3"
    assert (after["proxmox03"]["says"], after["proxmox03"]["links"]) == ("host-unreachable", None)


@pytest.mark.parametrize(
    ("node", "says", "quorate"),
    [
        (Membership("a", "absent", quorate=True), "in no cluster", False),
        (Membership("a", "half"), "half a member", False),
        (Membership("a", "member", cluster="c"), "in cluster c", False),
        (Membership("a", "member", cluster="c", quorate=True), "in cluster c", True),
    ],
)
def test_what_a_node_says_of_itself(node: Membership, says: str, *, quorate: bool) -> None:
    kept = changed()
    kept.before = {"a": node}
    found = said(kept)["before"]
    assert found["quorate"] is quorate
    assert found["nodes"]["a"] == {
        "says": says,
        "member": node.state == "member",
        "quorate": quorate,
        "votes": "",
        "links": None,
    }


def test_only_the_first_look_and_the_last_one_count() -> None:
    kept = Chronicle()
    assert said(kept)["before"] is None
    kept.looked(well(1))
    assert said(kept)["after"] is None
    kept.looked(well(1, 2))
    kept.looked(well(1, 2, 3))
    found = said(kept)
    assert (len(found["before"]["nodes"]), len(found["after"]["nodes"])) == (1, 3)


def test_the_topology_is_that_of_the_stack_file(dev: Description, physical: Description) -> None:
    kept = changed()
    kept.config = dev.config
    found = said(kept)["topology"]
    assert found["links"] == [{"number": 0, "subnet": "10.10.1.0/24"}, {"number": 1, "subnet": "10.20.1.0/24"}]
    assert found["nodes"][1] == {
        "name": "proxmox02",
        "id": 2,
        "votes": 1,
        "host": "virtual",
        "links": {"0": "10.10.1.186", "1": "10.20.1.186"},
    }
    kept.config = physical.config
    assert {node["host"] for node in said(kept)["topology"]["nodes"]} == {""}


def test_remarks_are_taken_as_they_are() -> None:
    kept = changed()
    kept.drifted, kept.findings = [Remark("virtual", "x is missing", "drifted")], [Remark("a", "b", "c")]
    found = said(kept)
    assert found["drifted"] == [{"where": "virtual", "what": "x is missing", "more": "drifted"}]
    assert found["findings"] == [{"where": "a", "what": "b", "more": "c"}]
    assert found["stages"] == [{"name": "Run", "seconds": 3.2, "failed": False}]
