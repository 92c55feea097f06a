"""The VMs of nested nodes, as described and as the state records them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.recorded import VM_TYPE, makes_domain

if TYPE_CHECKING:
    from cli.description import Description
    from config.model import NestedNode


@dataclass(frozen=True)
class RecordedVm:
    """A VM that the state records: its number, its resource, and the name of the machine that it is on."""

    vmid: int
    urn: str
    host: str


def nested_nodes(description: Description) -> list[NestedNode]:
    """The nodes that are VMs."""
    return [node for node in description.config.nodes if node.kind == "nested"]


def recorded(state: dict[str, Any] | None) -> dict[int, RecordedVm]:
    """The recorded VMs, by vmid, as the exported state has them; pure."""
    resources = (state or {}).get("deployment", {}).get("resources") or []
    return {found.vmid: found for entry in resources if (found := _vm(entry))}


def domains(state: dict[str, Any] | None) -> dict[str, str]:
    """The hosts of the recorded VMs that steps made on hosts with libvirt, by the name of their resource; pure."""
    resources = (state or {}).get("deployment", {}).get("resources") or []
    return {
        entry["urn"].rpartition("::")[2]: str(json.loads(entry["inputs"]["stdin"])["host"])
        for entry in resources
        if makes_domain(entry["type"], entry.get("inputs") or {}) and not entry.get("delete")
    }


def _vm(entry: dict[str, Any]) -> RecordedVm | None:
    inputs = entry.get("inputs") or {}
    if entry["type"] == VM_TYPE and "vmId" in inputs:
        return RecordedVm(int(inputs["vmId"]), entry["urn"], str(inputs.get("nodeName")))
    if makes_domain(entry["type"], inputs):
        wanted = json.loads(inputs["stdin"])
        return RecordedVm(wanted["vmid"], entry["urn"], wanted["host"])
    return None
