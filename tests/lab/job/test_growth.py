"""A fourth node joins the live cluster; then everything is destroyed, and the outer host is as it was found."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.job.test_cluster import NODES, boot_ids, services
from tests.support import outer_host, run_reports
from tests.support.bad_world import succeeded
from tests.support.fourth_node import NODE4

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject


def processes(cluster: LabProject) -> dict[str, tuple[str, int]]:
    """Where each guest runs, and as which process there."""
    found = {}
    for sid, entry in services(cluster, NODES["proxmox01"]).items():
        kind, vmid = {"vm": "qemu", "ct": "lxc"}[sid[:2]], sid[3:]
        path = f"/nodes/{entry['node']}/{kind}/{vmid}/status/current"
        status = json.loads(cluster.ssh(NODES[entry["node"]], f"pvesh get {path} --output-format json").output)
        found[sid] = (entry["node"], int(status["pid"]))
    return found


@pytest.mark.destroys
def test_a_fourth_node_joins_the_live_cluster_and_destroy_leaves_the_host_as_found(
    cluster: LabProject, as_found: list[str]
) -> None:
    try:
        a_fourth_node_joins_while_nothing_else_moves(cluster)
        assert outer_host.difference(as_found, outer_host.look(cluster))  # what is to be undone can be seen
    finally:
        destroyed = cluster.admin("down", "--yes")
    succeeded(destroyed)
    what_was_destroyed_is_reported(run_reports.of(cluster, destroyed, "down"))
    assert outer_host.difference(as_found, outer_host.look(cluster)) == []
    assert cluster.pulumi("stack", "--show-urns").output.count("urn:pulumi:") == 0


def a_fourth_node_joins_while_nothing_else_moves(cluster: LabProject) -> None:
    booted, running = boot_ids(cluster), processes(cluster)
    values = cluster.configuration()
    values["nodes"].append(NODE4)
    cluster.configure(values)
    operations = cluster.preview_operations()
    assert {op for name, op in operations.items() if "proxmox04" in name} == {"create"}
    assert {op for name, op in operations.items() if "proxmox04" not in name} <= {"update"}
    grown = cluster.admin("up")
    succeeded(grown)
    # Nobody was asked, so what it means is told before it is done.
    told = grown.output.index("node proxmox04: joins cluster proxmox: votes 3 → 4, 3 needed")
    assert told < grown.output.index("+ create")
    what_joined_is_reported(run_reports.of(cluster, grown, "up"))
    for address in (*NODES.values(), NODE4["address"]):
        status = cluster.ssh(address, "pvecm status").output
        assert re.search(r"^Total votes:\s+4", status, re.MULTILINE), status
        assert re.search(r"^Quorate:\s+Yes", status, re.MULTILINE), status
    assert (boot_ids(cluster), processes(cluster)) == (booted, running)
    succeeded(cluster.admin("status"))
    again = cluster.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", "--policy-pack", "policy")
    succeeded(again)


def what_joined_is_reported(report: dict[str, Any]) -> None:
    assert report["end"]["ok"], report["end"]
    assert len(report["transitions"]) == 1
    assert "proxmox04 joins" in report["transitions"][0]
    assert any("proxmox04" in one["where"] and "joins cluster" in one["what"] for one in report["changes"])
    before, after = report["before"], report["after"]
    assert (before["votes"], after["votes"]) == ("3/3", "4/4")
    for looked, peers in ((before, 2), (after, 3)):
        assert len(looked["nodes"]) == peers + 1
        for node in looked["nodes"].values():
            assert node["links"] == {number: {"connected": peers, "of": peers} for number in ("0", "1")}
    done = {row["resource"]: row["done"] for row in report["operations"]}
    assert done["cluster-join-proxmox04"] == "created"
    assert not {"failed", "not finished"} & set(done.values())
    # It is installed before it joins, and that takes longest.
    path = [one["resource"] for one in report["critical_path"]]
    assert path.index("proxmox04-install") < path.index("cluster-join-proxmox04")
    assert (report["findings"], len(report["topology"]["nodes"])) == ([], 4)
    assert {stage["name"] for stage in report["stages"]} >= {"Run", "Live status"}


def what_was_destroyed_is_reported(report: dict[str, Any]) -> None:
    assert report["end"]["ok"], report["end"]
    assert report["before"]["quorate"]
    assert report["after"] is None
    assert any("VM 101" in one["what"] for one in report["changes"]), report["changes"]
    assert {row["done"] for row in report["operations"]} == {"deleted"}
    path = [one["resource"] for one in report["critical_path"]]
    assert path, "the chain of a destroy goes from the guests to the host"
