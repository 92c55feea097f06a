"""The report for a pull request on the stack that runs: the engine's real plan, compared to the letter. No host is touched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bad_world import refusal
from tests.support.fourth_node import NODE4, ROOM
from tests.support.golden import compare
from tests.support.program import change

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject

pytestmark = pytest.mark.looks
GOLDEN = Path(__file__).parent / "golden"

# What is changed, and whether `up` would refuse it.
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "nothing": ({}, 0),
    "raise-memory": ({"nodes.1.memoryMib": 3072, "guests.0.memoryMib": 768}, 0),
    "add-a-node": ({"nodes.+": NODE4, **ROOM}, 0),
    "change-a-ring-address": ({"nodes.1.links.1": "10.20.1.196"}, 0),
    "another-vmid": ({"nodes.2.vmid": 113}, 1),
    "break-a-rule": ({"nodes.1.cpuType": "kvm64"}, 1),
}


def without_keys(text: str) -> str:
    """Host keys are derived from a secret that each lab makes for itself."""
    return re.sub(r"(ecdsa-sha2-nistp256|ssh-ed25519) AAAA\S+", r"\1 KEY", text)


def report(cluster: LabProject) -> tuple[int, str, str]:
    file = cluster.directory / "report.md"
    file.unlink(missing_ok=True)
    run = cluster.admin("report", "--output", file.name)
    return run.code, file.read_text() if file.exists() else "", run.output


@pytest.mark.parametrize("case", CASES)
def test_the_report_on_the_running_stack_reads_as_kept(case: str, cluster: LabProject) -> None:
    changed, refused = CASES[case]
    cluster.configure(change(cluster.configuration(), changed))
    code, text, said = report(cluster)
    assert code == refused, said
    compare(without_keys(text), GOLDEN / f"{case}.md")


def test_both_links_of_a_node_at_once_are_refused_before_anything_is_done(cluster: LabProject) -> None:
    moved = {"nodes.1.links.0": "10.10.1.196", "nodes.1.links.1": "10.20.1.196"}
    cluster.configure(change(cluster.configuration(), moved))
    code, text, said = report(cluster)
    assert code == 1, said
    assert "leave link 0 as it is in this run" in text
    refusal(cluster.admin("preview"), "change-refused")
    refusal(cluster.admin("up"), "link-last")


def test_what_becomes_of_a_node_that_is_left_out_is_shown_before_anybody_asks(cluster: LabProject) -> None:
    values = cluster.configuration()
    del values["nodes"][2], values["guests"]
    cluster.configure(values)
    code, text, said = report(cluster)
    assert code == 0, said
    compare(without_keys(text), GOLDEN / "remove-a-node.md")
    preview = cluster.admin("preview")
    assert preview.code == 0, preview.output
    assert "! takes a node out of the cluster: node proxmox03: leaves cluster" in preview.output
    assert "1. proxmox03 leaves for good; meanwhile the cluster survives the loss of 0 nodes" in preview.output
    assert "! destroys data: guest vm01" in preview.output


def test_a_refused_run_is_not_what_the_next_report_compares_with(cluster: LabProject) -> None:
    as_built = cluster.configuration()
    cluster.configure(change(cluster.configuration(), {"nodes.1.nodeId": 9}))
    for _ in range(2):
        code, text, said = report(cluster)
        assert code == 1, said
        assert "node proxmox02: Corosync number 2 → 9" in text
        refusal(cluster.admin("up"), "identity-changed")
    cluster.configure(as_built)
    code, text, said = report(cluster)
    assert code == 0, said
    compare(without_keys(text), GOLDEN / "nothing.md")
