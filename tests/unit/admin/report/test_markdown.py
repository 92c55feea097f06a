"""How a preview is told: verdict first, nothing that a forge would take for markup, the same text each time."""

# ruff: noqa: ANN401 - JSON values have no closer type

from __future__ import annotations

import copy
import json
from typing import Any

from admin.report.markdown import Report, render
from admin.report.plan import read
from admin.report.terminal import lines
from components import design, ha_guest, nested_pve_node
from components.config.load import validate
from components.facts import design_facts
from tests.support.program import stack_file

URN = "urn:pulumi:dev::nested-pve-ha::{}::{}"
VM = "proxmoxve:index/vmLegacy:VmLegacy"
FACTS = design_facts(validate(stack_file("dev")), [])


def step(op: str, kind: str, name: str, parent: str = "", **more: Any) -> dict[str, Any]:
    """An event of the engine: what it would do with one resource."""
    urn = URN.format("x", "p") if not parent else URN.format(f"pulumi:pulumi:Stack${parent}", more.pop("of", name))
    old, new = more.pop("old", {}), more.pop("new", {})
    metadata = {
        "op": op,
        "type": kind,
        "urn": URN.format(kind, name),
        "old": {"inputs": old, "parent": urn if parent else ""},
        "new": {"inputs": new, "parent": urn if parent else ""},
        **more,
    }
    return {"resourcePreEvent": {"metadata": metadata}}


def designed(old: dict[str, Any] | None = FACTS, new: dict[str, Any] = FACTS) -> dict[str, Any]:
    return step("same", design.TYPE, "design", old=old or {}, new=new)


def violation(level: str, resource: str, message: str, rule: str = "unique-vmids") -> dict[str, Any]:
    return {
        "policyEvent": {
            "policyName": rule,
            "enforcementLevel": level,
            "resourceUrn": URN.format("t", resource),
            "message": f"Every VM has a number.\n{resource}: {message}\n",
        }
    }


def report(*events: dict[str, Any]) -> Report:
    plan = read(events)
    return Report("dev", plan, plan.recorded, "Compared.")


def test_nothing_to_do_is_one_line() -> None:
    text = render(report(designed()))
    assert text.startswith("<!-- nested-pve-ha:dev -->\n## Stack `dev`\n\n✅ **Nothing changes.**\n")
    assert "What would be done" not in text
    assert "Every rule passes." in text


def test_a_refusal_of_a_rule_is_told_once_for_all_resources_that_show_it() -> None:
    made = report(
        designed(), violation("mandatory", "design", "vmid 1 twice"), violation("mandatory", "vm", "it has 1")
    )
    assert made.refusals == ["rule unique-vmids"]
    text = render(made)
    assert "it has 1" not in text
    assert "| `unique-vmids` | it has 1 |" in render(report(designed(), violation("mandatory", "vm", "it has 1")))
    assert "| ⛔ refused | `unique-vmids` | vmid 1 twice |" in text
    assert "⛔ **`make up` would refuse this**: rule unique-vmids." in text


def test_advice_refuses_nothing() -> None:
    made = report(designed(), violation("advisory", "design", "think of it"))
    assert made.refusals == []
    assert "| advice | `unique-vmids` | think of it |" in render(made)


def test_a_rule_that_cannot_judge_is_told_as_the_engine_says_it() -> None:
    event = violation("advisory", "", "")
    event["policyEvent"]["message"] = (
        "can't run policy 'unique-vmids' during preview: string value at .x can't be known"
    )
    assert "| advice | `unique-vmids` | can't run policy 'unique-vmids'" in render(report(designed(), event))


def test_a_failed_preview_shows_what_failed_and_still_the_rules() -> None:
    failed = {"diagnosticEvent": {"severity": "error", "message": "provider says no"}}
    noise = {"diagnosticEvent": {"severity": "error", "message": "preview failed"}}
    begun = step("create", VM, "vm01-vm", ha_guest.TYPE, of="vm01")
    assert "What would be done" in render(report(designed(), begun))
    made = report(designed(), begun, failed, noise, violation("advisory", "design", "think of it"))
    assert made.refusals == ["the preview failed"]
    text = render(made)
    assert "What would be done" not in text
    assert "vm01-vm" not in text
    assert "provider says no" in text
    assert "\npreview failed\n" not in text
    assert "think of it" in text


def test_replacing_a_nodes_vm_is_marked_whatever_its_cause() -> None:
    replaced = step("create-replacement", VM, "proxmox02-vm", nested_pve_node.TYPE, of="proxmox02", diffs=["vmId"])
    made = report(designed(), replaced)
    assert [(change.place, change.mark.value) for change in made.changes] == [("node proxmox02", "replaces a node")]
    text = render(made)
    assert "⚠️ **Nothing stands in the way, so look at the risks.** Resources: 1 to replace." in text
    assert "### ⚠️ Look at this first\n\n- **node proxmox02** replaces a node:" in text
    guest = step("create-replacement", VM, "vm01-vm", ha_guest.TYPE, of="vm01", diffs=["vmId"])
    assert report(designed(), guest).changes == []


def test_a_replacement_is_told_once() -> None:
    parts = [
        step(op, VM, "vm01-vm", ha_guest.TYPE, of="vm01") for op in ("create-replacement", "replace", "delete-replaced")
    ]
    text = render(report(designed(), *parts))
    assert "- **guest vm01**: make anew virtual machine vm01-vm\n" in text
    assert "Resources (1)" in text


def test_a_steps_wanted_state_is_compared_key_by_key() -> None:
    old, new = (
        {"stdin": json.dumps({"a": 1, "links": [{"number": 0, "x": x}, *more]})}
        for x, more in (("u", []), ("v", [{"number": 1, "x": "w"}]))
    )
    command = {"create": "python3 /var/lib/nested-pve-ha/onnode prepare-node"}
    changed = step(
        "update",
        "command:remote:Command",
        "n-prepare",
        nested_pve_node.TYPE,
        of="n",
        diffs=["stdin"],
        old=command | old,
        new=command | new,
    )
    text = render(report(designed(), changed))
    assert "- **node n**: look again, and change only what is not as described (prepare-node)" in text
    assert "    stdin.links[0].x: u → v\n" in text
    assert "    stdin.links[1]: new\n" in text
    assert "stdin.a" not in text


def test_what_came_from_outside_is_no_markup() -> None:
    text = render(report(designed(), violation("mandatory", "design", "<img src=x> a|b @everyone [x](y)\nnext line")))
    assert "<img" not in text
    assert "a\\|b" in text
    assert "@everyone" not in text
    assert "next line" in text.split("refused | ")[1].split("\n")[0]


def test_the_order_of_the_engines_events_does_not_matter() -> None:
    events = [
        designed(),
        step("create", VM, "proxmox02-vm", nested_pve_node.TYPE, of="proxmox02"),
        step("create", VM, "proxmox01-vm", nested_pve_node.TYPE, of="proxmox01"),
        violation("advisory", "b", "second"),
        violation("advisory", "a", "first"),
    ]
    assert render(report(*events)) == render(report(*reversed(events)))


def test_a_long_plan_is_cut_and_says_so() -> None:
    many = [step("create", VM, f"g{number}-vm", ha_guest.TYPE, of=f"g{number}") for number in range(600)]
    text = render(report(designed(), *many))
    assert "more lines: see make preview" in text
    assert len(text.encode()) < 65536


def test_a_state_of_an_earlier_version_is_not_compared() -> None:
    """It recorded less: what is missing there is no change."""
    earlier = copy.deepcopy(FACTS)
    del earlier["storages"]
    assert read([designed(earlier)]).recorded is None
    assert read([designed()]).recorded == FACTS


def test_before_asking_the_same_changes_are_told_in_lines() -> None:
    new = copy.deepcopy(FACTS)
    new["nodes"][1]["memoryMib"], new["nodes"][1]["votes"] = 4096, 2
    told = list(lines(read([designed(FACTS, new)])))
    assert told == [
        "! `up` refuses: node proxmox02: votes 1 → 2 (a cluster that exists keeps it (identity-changed))",
        "  node proxmox02: memory in MiB 2048 → 4096 (its VM takes it when it is next stopped and started)",
    ]
