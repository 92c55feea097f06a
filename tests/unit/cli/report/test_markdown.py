"""How a preview is told: verdict first, nothing that a forge would take for markup, the same text each time."""

# ruff: noqa: ANN401 - JSON values have no closer type

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from cli.report import terminal
from cli.report.fate import Evidence
from cli.report.known import Mark
from cli.report.levels import levels
from cli.report.markdown import render
from cli.report.plan import read
from cli.report.report import Report
from cli.run.narration import summary
from components import recorded
from components.policed import policed_design
from config.load import validate
from tests.support.program import stack_file

URN = "urn:pulumi:dev::nested-pve-ha::{}::{}"
VM = "proxmoxve:index/vmLegacy:VmLegacy"
FACTS = policed_design(validate(stack_file("dev")), [])


def step(op: str, kind: str, name: str, parent: str = "", **more: Any) -> dict[str, Any]:
    """An event of the engine: what it would do with one resource."""
    urn = URN.format("x", "p") if not parent else URN.format(f"pulumi:pulumi:Stack${parent}", more.pop("of", name))
    old, new = more.pop("old", {}), more.pop("new", {})
    metadata = {
        "op": op,
        "type": kind,
        "urn": URN.format(kind, name),
        "old": {"inputs": old, "parent": urn if parent else "", "retainOnDelete": more.pop("kept", False)},
        "new": {"inputs": new, "parent": urn if parent else ""},
        **more,
    }
    return {"resourcePreEvent": {"metadata": metadata}}


def designed(old: dict[str, Any] | None = FACTS, new: dict[str, Any] = FACTS) -> dict[str, Any]:
    return step("same", recorded.DESIGN, "design", old=old or {}, new=new)


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
    assert "Every enabled rule passes." in text


def test_a_refusal_of_a_rule_is_told_once_for_all_resources_that_show_it() -> None:
    made = report(
        designed(), violation("mandatory", "design", "vmid 1 twice"), violation("mandatory", "vm", "it has 1")
    )
    assert made.refusals == ["rule unique-vmids (docs/policies.md#unique-vmids)"]
    text = render(made)
    assert "it has 1" not in text
    assert "| `unique-vmids` | it has 1 |" in render(report(designed(), violation("mandatory", "vm", "it has 1")))
    assert "| ⛔ refused | `unique-vmids` | vmid 1 twice |" in text
    assert "⛔ **`make up` would refuse this**: rule unique-vmids (docs/policies.md#unique-vmids)." in text


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
    begun = step("create", VM, "vm01-vm", recorded.GUEST, of="vm01")
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
    replaced = step("create-replacement", VM, "proxmox02-vm", recorded.NODE, of="proxmox02", diffs=["vmId"])
    made = report(designed(), replaced)
    assert [(change.place, change.mark.value) for change in made.changes] == [("node proxmox02", "replaces a node")]
    text = render(made)
    assert "⚠️ **`make up` would do this. Look at the risks.** Resources: 1 to replace." in text
    assert "### ⚠️ Look at this first\n\n- **node proxmox02** is replaced:" in text
    guest = step("create-replacement", VM, "vm01-vm", recorded.GUEST, of="vm01", diffs=["vmId"])
    (change,) = report(designed(), guest).changes
    assert (change.place, change.mark) == ("guest vm01", Mark.DATA)
    kept = step("delete", VM, "vm01-vm", recorded.GUEST, of="vm01", kept=True)
    assert report(designed(), kept).changes == []


def test_what_a_provider_works_out_beside_a_change_is_no_part_of_it() -> None:
    """The engine's words for a VM whose record has it as HA had it: off when the record was made, or on."""
    addresses = ["ipv4Addresses", "ipv6Addresses", "networkInterfaceNames"]
    inputs = [{"memory": {"dedicated": mib}, "started": False} for mib in (512, 768)]
    texts = [
        render(
            report(
                designed(),
                step("update", VM, "vm01-vm", recorded.GUEST, of="vm01", old=inputs[0], new=inputs[1], diffs=diffs),
            )
        )
        for diffs in (["memory"], [*addresses[:2], "memory", addresses[2]])
    ]
    assert "change virtual machine vm01-vm (memory)" in texts[0]
    assert texts[0] == texts[1]
    alone = step("update", VM, "vm01-vm", recorded.GUEST, of="vm01", diffs=addresses)
    assert f"vm01-vm ({', '.join(addresses)})" in render(report(designed(), alone)), "nothing is left out for good"


def test_what_is_counted_is_what_the_lines_of_up_count() -> None:
    """Groups, logins and the design are only in the record; what does something when it goes makes nothing."""
    command, guards = "command:local:Command", {"delete": "step delete-guard --delete"}
    guard = step("create", command, "vm01-guard", recorded.GUEST, of="vm01", new=guards)
    look = step("create", command, "vm01-ha-ready", recorded.GUEST, of="vm01", new={"create": "step ha-ready"})
    events = [
        designed(),
        step("create", recorded.GUEST, "vm01"),
        step("create", "pulumi:providers:proxmoxve", "cluster-api", recorded.CLUSTER, of="cluster"),
        step("create", VM, "vm01-vm", recorded.GUEST, of="vm01"),
        guard,
        look,
    ]
    made = report(*events)
    text = render(made)
    assert "Resources: 2 to create, 1 to record." in text
    assert f"All resources that change ({len(made.plan.operations)}), with groups and logins" in text
    for event in events:
        metadata = event["resourcePreEvent"]["metadata"]
        metadata["provider"] = "" if metadata["type"].startswith("nested-pve-ha:") else "urn::provider::1"
    ended = [{"resOutputsEvent": event["resourcePreEvent"]} for event in events]
    assert summary([*events, *ended]).startswith("2 created, 1 recorded;")


def test_a_storage_that_is_made_anew_is_marked() -> None:
    replaced = step(
        "create-replacement", "proxmoxve:storage/nfs:Nfs", "cluster-storage-shared", recorded.CLUSTER, of="cluster"
    )
    (change,) = report(designed(), replaced).changes
    assert (change.place, change.mark) == ("storage shared", Mark.RESTART)


def test_what_a_change_of_the_design_says_already_is_told_once() -> None:
    new = copy.deepcopy(FACTS)
    new["nodes"][1]["vmid"] = 111
    replaced = step("create-replacement", VM, "proxmox02-vm", recorded.NODE, of="proxmox02")
    assert [change.text for change in report(designed(FACTS, new), replaced).changes] == ["vmid 102 → 111"]


def test_where_up_would_refuse_nothing_is_said_to_be_done() -> None:
    new = copy.deepcopy(FACTS)
    begun = step("create", VM, "vm01-vm", recorded.GUEST, of="vm01")
    assert "What would be done" in render(report(designed(FACTS, new), begun))
    new["nodes"][1]["nodeId"] = 9
    text = render(report(designed(FACTS, new), begun))
    assert "What would be done" not in text
    assert "+ create proxmoxve:index/vmLegacy:VmLegacy vm01-vm" in text  # the engine's plan is still there to read


def test_an_existing_machine_is_a_node_also_among_the_resources() -> None:
    text = render(
        report(designed(), step("create", recorded.NODE, "pve1"), step("create", recorded.CLUSTER, "cluster"))
    )
    assert "+ create node pve1\n" in text
    assert "+ create cluster\n" in text
    assert "NestedPveNode" not in text


def test_rules_that_are_not_as_shipped_are_told_and_what_a_change_loosens_comes_first() -> None:
    plan = read([designed()])
    kept = levels({"guests-tagged": "disabled"}, {"guests-tagged": "disabled"})
    text = render(Report("dev", plan, plan.recorded, "Compared.", levels=kept))
    assert "Rules with other settings than shipped: `guests-tagged`: disabled." in text
    assert "✅ **Nothing changes.**" in text
    changed = levels({"all": "disabled"}, {})
    text = render(Report("dev", plan, plan.recorded, "Compared.", levels=changed))
    assert "### ⚠️ Look at this first\n\n- **policies** changes what is refused: rule all: as shipped → disabled" in text


def test_a_deleted_stack_file_is_told_without_a_plan() -> None:
    text = render(Report("dev", read([]), None, "It goes.", is_gone=True))
    assert "⚠️ **The stack file is deleted.**\n\nIt goes.\n" in text
    assert "Policies" not in text


def test_a_replacement_is_told_once() -> None:
    parts = [
        step(op, VM, "vm01-vm", recorded.GUEST, of="vm01")
        for op in ("create-replacement", "replace", "delete-replaced")
    ]
    text = render(report(designed(), *parts))
    assert "- **guest vm01**: replace virtual machine vm01-vm\n" in text
    assert "All resources that change (1), with groups" in text


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
        recorded.NODE,
        of="n",
        diffs=["environment", "stdin"],
        old=command | old | {"environment": {"NESTED_PVE_KNOWN": "old"}},
        new=command | new | {"environment": {"NESTED_PVE_KNOWN": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}},
    )
    text = render(report(designed(), changed))
    assert "- **node n**: look again, and change only what is not as described (prepare-node)" in text
    assert "    stdin.links[0].x: u → v\n" in text
    assert "    stdin.links[1]: new\n" in text
    assert "stdin.a" not in text
    assert "04da6b54" not in text, "what it is told beside its input is not known before the run, and is no wish"


def test_what_came_from_outside_is_no_markup() -> None:
    said = "<img src=x> a|b c\\|d @everyone `@all` [x](y) **z** _u_ #12 snake_case\nnext line"
    text = render(report(designed(), violation("mandatory", "design", said)))
    assert "<img" not in text
    assert "a\\|b c\\\\\\|d" in text
    assert "@everyone" not in text
    assert "@all" not in text
    assert "\\[x\\](y) \\*\\*z\\*\\* \\_u\\_ #\u200b12 snake_case" in text
    assert "next line" in text.split("refused | ")[1].split("\n")[0]


def test_the_order_of_the_engines_events_does_not_matter() -> None:
    events = [
        designed(),
        step("create", VM, "proxmox02-vm", recorded.NODE, of="proxmox02"),
        step("create", VM, "proxmox01-vm", recorded.NODE, of="proxmox01"),
        violation("advisory", "b", "second"),
        violation("advisory", "a", "first"),
    ]
    assert render(report(*events)) == render(report(*reversed(events)))


def test_a_long_plan_is_cut_and_says_so() -> None:
    many = [step("create", VM, f"g{number}-vm", recorded.GUEST, of=f"g{number}") for number in range(600)]
    text = render(report(designed(), *many))
    assert "more lines: see make preview" in text


@pytest.mark.parametrize(
    "events",
    [
        [{"diagnosticEvent": {"severity": "error", "message": "x" * 70_000}}],
        [step("create", VM, f"g{number}-vm", recorded.GUEST, of=f"guest-number-{number}" * 5) for number in range(600)],
        [violation("mandatory", f"r{number}", f"{number} is wrong " * 40) for number in range(300)],
        [
            step(
                "update",
                VM,
                "x",
                recorded.GUEST,
                of="x",
                diffs=["a"],
                old={"a": ["u" * 79] * 99},
                new={"a": ["v" * 79]},
            )
        ]
        * 500,
    ],
    ids=["error", "operations", "verdicts", "details"],
)
def test_no_report_is_too_long_for_a_comment(events: list[dict[str, Any]]) -> None:
    text = render(report(designed(), *events))
    assert len(text) <= 60_100
    assert text.startswith("<!-- nested-pve-ha:dev -->\n## Stack `dev`\n\n")
    assert text.count("```") % 2 == 0


def test_of_a_state_of_an_earlier_version_only_what_it_recorded_is_compared() -> None:
    earlier, new = copy.deepcopy(FACTS), copy.deepcopy(FACTS)
    del earlier["storages"]
    new["nodes"][1]["votes"] = 2
    plan = read([designed(earlier, new)])
    assert plan.recorded_is_older
    assert [change.text for change in Report("dev", plan, plan.recorded, "").changes] == ["votes 1 → 2"]
    assert not read([designed()]).recorded_is_older


def test_what_was_cancelled_because_of_another_failure_is_no_cause() -> None:
    said = ("Preview failed: diffing urn: no such property", "rpc error: context canceled", "preview failed")
    plan = read([{"diagnosticEvent": {"severity": "error", "message": text}} for text in said])
    assert plan.errors == ["Preview failed: diffing urn: no such property"]
    assert read([{"diagnosticEvent": {"severity": "error", "message": "context canceled"}}]).errors == [
        "context canceled"
    ]


def test_a_refusal_of_a_rule_is_a_failure_too() -> None:
    assert read([designed(), violation("mandatory", "design", "no")]).has_failed
    assert not read([designed(), violation("advisory", "design", "no")]).has_failed


def test_a_guest_that_goes_is_a_loss_though_no_design_knows_it() -> None:
    """An earlier run was interrupted when it had removed the guest from the design, and not yet the guest."""
    without = {**FACTS, "guests": []}
    container = step("delete", recorded.LOCAL_STEP, "ct01-container", recorded.GUEST, of="ct01")
    vm = step("delete", recorded.VM_TYPE, "vm01-vm", recorded.GUEST, of="vm01")
    makes = {"create": f"{recorded.ON_NODE} {recorded.DOMAIN}"}
    domain = step("delete", recorded.REMOTE_STEP, "pve1-vm", recorded.NODE, of="pve1", old=makes)
    again = step("update", recorded.LOCAL_STEP, "ct01-container", recorded.GUEST, of="ct01")
    plan = read([designed(without, without), container, vm, domain])
    assert [terminal.line(one) for one in terminal.changes(plan, Evidence(frozenset()))] == [
        "! destroys data: guest ct01: its container is removed (its disks are lost)",
        "! replaces a node: node pve1: its VM is replaced or removed (a member is lost with it)",
        "! destroys data: guest vm01: its VM is replaced or removed (its disks are lost)",
    ]
    assert terminal.changes(read([designed(without, without), again]), Evidence(frozenset())) == []


def test_before_asking_the_same_changes_are_told_in_lines() -> None:
    new = copy.deepcopy(FACTS)
    new["nodes"][1]["memoryMib"], new["nodes"][1]["votes"] = 4096, 2
    plan = read([designed(FACTS, new)])
    assert [terminal.line(one) for one in terminal.changes(plan, Evidence(frozenset()))] == [
        "  node proxmox02: votes 1 → 2 (changed in the live cluster, without a restart)",
        "  node proxmox02: memory in MiB 2048 → 4096 (takes effect when its VM is next stopped and started)",
    ]
    assert terminal.steps(plan) == [
        "  in the cluster, one after another:",
        "    1. other votes: proxmox02 2; meanwhile the cluster survives the loss of 0 nodes",
        "    advice: step 1: if a node fails meanwhile, the quorum is lost and all guests under HA stop; begin when all nodes are well",
    ]


def test_before_asking_nothing_is_said_of_a_cluster_that_stays_as_it_is() -> None:
    assert terminal.steps(read([designed(FACTS, copy.deepcopy(FACTS))])) == []


def test_what_the_cluster_goes_through_is_listed_in_its_order() -> None:
    new = copy.deepcopy(FACTS)
    del new["nodes"][2]
    for link in new["cluster"]["links"]:
        del link["addresses"]["proxmox03"]
    new["cluster"]["links"][1]["priority"] = 30
    text = render(report(designed(FACTS, new)))
    assert "`make up` would refuse" not in text
    assert (
        "### What the cluster goes through, one after another\n\n"
        "1. link 1 gets priority 30; meanwhile the cluster survives the loss of 1 node\n"
        "2. proxmox03 leaves for good; meanwhile the cluster survives the loss of 0 nodes\n"
        "\n- advice: step 2: if a node fails meanwhile, the quorum is lost and all guests under HA stop; begin when all nodes are well\n"
    ) in text


def test_a_guest_without_a_choice_of_nodes_meanwhile_is_a_risk() -> None:
    """Each of the two designs is right for itself, and no rule sees both."""
    old, new = copy.deepcopy(FACTS), copy.deepcopy(FACTS)
    old["guests"][0]["ha"] |= {"strict": True, "nodes": ["proxmox02", "proxmox03"]}
    new["guests"][0]["ha"] |= {"strict": True, "nodes": ["proxmox01", "proxmox02"]}
    assert "is not highly available meanwhile" not in render(report(designed(old, new)))
    del new["nodes"][2]
    for link in new["cluster"]["links"]:
        del link["addresses"]["proxmox03"]
    text = render(report(designed(old, new)))
    assert "`make up` would refuse" not in text
    name = old["guests"][0]["name"]
    assert f"- **guest {name}** is not highly available meanwhile: may run on proxmox02 only" in text


def test_why_a_cluster_cannot_be_changed_so_stands_at_the_top() -> None:
    new = copy.deepcopy(FACTS)
    for link in new["cluster"]["links"]:
        link["addresses"]["proxmox02"] = link["addresses"]["proxmox02"].replace(".186", ".196")
    text = render(report(designed(FACTS, new)))
    verdict = text.splitlines()[3]
    assert "`make up` would refuse this" in verdict
    assert "no link would connect proxmox01 and proxmox02 while the links change" in verdict
    assert "leave link 0 as it is in this run" in verdict
    assert "docs/recovery.md#link-last" in verdict
    assert "What the cluster goes through" not in text
