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
    "change-a-ring-address": ({"nodes.1.links.1": "10.20.1.196"}, 1),
    "another-vmid": ({"nodes.2.vmid": 113}, 0),
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


def test_a_node_left_out_is_refused_before_anybody_asks(cluster: LabProject) -> None:
    values = cluster.configuration()
    del values["nodes"][2], values["guests"]
    cluster.configure(values)
    code, text, said = report(cluster)
    assert code == 1, said
    compare(without_keys(text), GOLDEN / "remove-a-node.md")
    preview = cluster.admin("preview")
    refusal(preview, "change-refused")
    assert "! `up` refuses: node proxmox03: leaves cluster proxmox" in preview.output
    assert "! destroys data: guest vm01" in preview.output


def test_a_refused_run_is_not_what_the_next_report_compares_with(cluster: LabProject) -> None:
    as_built = cluster.configuration()
    values = cluster.configuration()
    del values["nodes"][2], values["guests"]
    cluster.configure(values)
    refusal(cluster.admin("up"), "member-removed")
    code, text, said = report(cluster)
    assert code == 1, said
    compare(without_keys(text), GOLDEN / "remove-a-node.md")
    cluster.configure(as_built)
    code, text, said = report(cluster)
    assert code == 0, said
    compare(without_keys(text), GOLDEN / "nothing.md")
