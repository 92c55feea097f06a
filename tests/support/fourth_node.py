"""A node that is added to stack dev, and the room that it takes on the outer host."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from tests.support.program import stack_file

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject

NODE4 = {
    **stack_file("dev")["nodes"][2],
    "name": "proxmox04",
    "nodeId": 4,
    "vmid": 104,
    "address": "192.168.0.188",
    "links": ["10.10.1.188", "10.20.1.188"],
    "networks": ["10.30.1.188"],
}
ROOM = {"outerHosts.0.memoryMib": 16384, "outerHosts.0.diskGib": 256}
FOURTH = "proxmox04"


def with_four(values: dict[str, Any]) -> dict[str, Any]:
    """Stack dev with the fourth node, which both guests prefer."""
    found = copy.deepcopy(values)
    found["nodes"].append(copy.deepcopy(NODE4))
    for guest in found["guests"]:
        guest["node"] = FOURTH
        guest["ha"]["nodes"] = {FOURTH: 3, **guest["ha"]["nodes"]}
    return found


def nodes_of_guests(project: LabProject) -> set[str]:
    """Where HA runs guests."""
    text = project.ssh("192.168.0.185", "pvesh get /cluster/ha/status/current --output-format json").output
    return {str(entry["node"]) for entry in json.loads(text) if entry["type"] == "service"}
