"""What is said of a run: each change that counts in a line, and these lines in numbers."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from cli.run.narration import WORDS, Narrator, remark, summary
from components.recorded import VM_TYPE


@pytest.mark.parametrize(
    ("kind", "differs", "told"),
    [
        ("command:local:Command", ["stdin"], "looks again, and changes only what is not as described"),
        ("command:local:Command", ["environment", "stdin"], "looks again, and changes only what is not as described"),
        ("command:local:Command", ["environment"], "looks again, and changes only what is not as described"),
        ("command:remote:Command", ["stdin"], "looks again, and changes only what is not as described"),
        ("command:remote:Command", ["create", "stdin"], "create, stdin"),
        (VM_TYPE, ["memory"], "memory (takes effect when the machine is next stopped and started)"),
        (VM_TYPE, ["started"], "started"),
    ],
)
def test_an_update_is_told_as_what_it_does(kind: str, differs: list[str], told: str) -> None:
    assert remark(kind, differs) == told


def test_a_vm_under_ha_is_told_with_the_way_to_restart_it(capsys: pytest.CaptureFixture[str]) -> None:
    (begun, ended) = events("update", "vm01-vm")
    metadata = begun["resourcePreEvent"]["metadata"]
    metadata["diffs"] = ["cpu", "memory"]
    metadata["new"]["inputs"] = {"vmId": 200.0}
    metadata["new"]["parent"] = f"urn:pulumi:dev::p::{GROUP}::vm01"
    with Narrator() as narrator:
        narrator(begun)
        narrator(ended)
    said = capsys.readouterr().out
    assert "`ha-manager set vm:200 --state stopped`, when it is stopped `--state started`)" in said
    metadata["new"]["parent"] = "urn:pulumi:dev::p::nested-pve-ha:index:NestedPveNode::proxmox01"
    with Narrator() as narrator:
        narrator(begun)
        narrator(ended)
    assert "ha-manager" not in capsys.readouterr().out


LOCAL, GROUP, LOGIN = "command:local:Command", "nested-pve-ha:index:HaGuest", "pulumi:providers:proxmoxve"
STACK = "pulumi:pulumi:Stack"


def events(  # noqa: PLR0913 - what an event is made of
    op: str, name: str, kind: str = VM_TYPE, *, planning: bool = False, changed: bool | None = None, does: bool = True
) -> list[dict[str, Any]]:
    """As the engine writes them: one before the operation and one after it, of groups often only the first."""
    outputs = {"stdout": "" if changed is None else "a note\n" + json.dumps({"changed": changed, "facts": {}}) + "\n"}
    new = {"inputs": {"create": "a step"} if does else {"delete": "a step"}, "outputs": outputs}
    provider = "" if kind in (GROUP, LOGIN, STACK) else "urn::provider::1"
    metadata = {"op": op, "urn": f"urn::{name}", "type": kind, "provider": provider, "new": new, "diffs": ["name"]}
    after = [{"resOutputsEvent": {"metadata": metadata, "planning": planning}}] if provider else []
    return [{"resourcePreEvent": {"metadata": metadata, "planning": planning}}, *after]


def told(capsys: pytest.CaptureFixture[str], run: list[dict[str, Any]], *, adopting: bool = False) -> list[str]:
    """The lines of a run: sign and name."""
    with Narrator(adopting) as narrator:
        for event in run:
            narrator(event)
    lines = capsys.readouterr().out.splitlines()
    return [f"{line[2:13].strip()} {line[13:].split()[0]}" for line in lines]


RUN = [
    *events("create", "stack", STACK),
    *events("create", "group", GROUP),
    *events("create", "login", LOGIN),
    *events("create", "vm01-vm"),
    *events("create", "cluster-create", LOCAL, changed=False),
    *events("create", "cluster-join", LOCAL, changed=True),
    *events("create", "vm01-guard", LOCAL, does=False),
    *events("update", "vm02-vm"),
    *events("update", "cluster-verify", LOCAL, changed=False),
    *events("same", "vm03-vm"),
    *events("create-replacement", "vm04-vm"),
    *events("replace", "vm04-vm"),
    *events("delete-replaced", "vm04-vm"),
    *events("delete", "vm05-vm"),
    *events("discard", "vm06-vm"),
]


def test_a_run_has_a_line_for_each_thing_and_counts_these_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """It said "69 created" under 57 lines, and of what was replaced nothing at all."""
    lines = told(capsys, RUN)
    assert lines == [
        *("+ create vm01-vm", "✓ checked cluster-create", "+ create cluster-join", "✓ recorded vm01-guard"),
        *("~ update vm02-vm", "✓ checked cluster-verify", "± replace vm04-vm", "- old one vm04-vm"),
        *("- delete vm05-vm", "- forget vm06-vm"),
    ]
    said, _, rest = summary(RUN).partition("; ")
    assert said == "2 created, 1 replaced, 1 updated, 1 deleted, 1 forgotten, 2 checked, 1 recorded"
    counted = Counter({word: int(count) for count, word in (one.split() for one in said.split(", "))})
    shown = Counter(WORDS.get(line.rpartition(" ")[0], "") for line in lines)
    assert counted == shown - Counter({"": 1}), "the old one of what was replaced counts once"
    assert rest == "3 more only in the record (groups, logins, the design)"


def test_what_changes_nothing_says_so() -> None:
    assert summary(events("same", "vm01-vm")) == "0 changes"
    assert summary([]) == "0 changes"
    assert (
        summary(events("update", "login", LOGIN)) == "0 changes; 1 more only in the record (groups, logins, the design)"
    )


def test_the_steps_of_an_adoption_are_planned_as_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """A plan to create the cluster that runs is frightening, and not what happens."""
    plan = [*events("create", "cluster-create", LOCAL, planning=True), *events("create", "vm01-vm", planning=True)]
    assert told(capsys, plan, adopting=True) == ["? check cluster-create", "+ create vm01-vm"]
    assert summary(plan, to_check=True) == "1 created, 1 checked"
    assert told(capsys, plan) == ["+ create cluster-create", "+ create vm01-vm"]
    assert summary(plan) == "2 created"


@pytest.mark.parametrize(("level", "is_listed"), [("mandatory", False), ("advisory", True)])
def test_steps_that_only_look_again_are_not_listed_in_a_plan_that_is_refused(
    capsys: pytest.CaptureFixture[str], level: str, *, is_listed: bool
) -> None:
    plan = [*events("update", "vm01-verify", LOCAL, planning=True), *events("update", "vm01-vm", planning=True)]
    for event in plan[:2]:
        next(iter(event.values()))["metadata"]["diffs"] = ["stdin"]
    looks = ["~ update vm01-verify"] if is_listed else []
    refusal = {"policyEvent": {"enforcementLevel": level, "policyName": "a-rule", "message": "no"}}
    assert told(capsys, [*plan, refusal]) == ["~ update vm01-vm", *looks]


@pytest.mark.parametrize("stdout", ["", "no JSON", "[]", "{}", '"x"', "null"])
def test_a_step_that_did_not_say_what_it_did_is_not_taken_for_a_look(
    capsys: pytest.CaptureFixture[str], stdout: str
) -> None:
    run = events("create", "step", LOCAL)
    run[1]["resOutputsEvent"]["metadata"]["new"]["outputs"]["stdout"] = stdout
    assert told(capsys, run) == ["+ create step"]


def test_a_line_that_people_must_know_stays_and_progress_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    first, *after = events("delete", "witness-removal", LOCAL)

    def said(message: str, severity: str = "info#err") -> dict[str, Any]:
        return {"diagnosticEvent": {"urn": "urn::witness-removal", "message": message, "severity": severity}}

    with Narrator() as narrator:
        for event in (first, said("at work\n"), said("! it stays there\n"), said("! no news\n", "debug"), *after):
            narrator(event)
    assert [line.split(maxsplit=1)[0] for line in capsys.readouterr().out.splitlines()] == ["!", "-"]
