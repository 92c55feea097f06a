"""A node that is added to stack dev, and the room that it takes on the outer host."""

from __future__ import annotations

from tests.support.program import stack_file

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
