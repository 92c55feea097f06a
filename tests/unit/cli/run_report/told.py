"""Chronicles of runs, as the commands keep them."""

from __future__ import annotations

from typing import Any

from cli.chronicle import Chronicle, EngineRun, Remark, Stage
from cluster.drilling import Drill, GuestClock, Silence
from cluster.errors import AdminError
from components import recorded
from tests.unit.cluster.worlds import cut, joined, quorum, up

TYPE = recorded.VM_TYPE
PARENT = "urn:pulumi:dev::nested-pve-ha::{}::{}"


def urn(name: str, kind: str = TYPE) -> str:
    return PARENT.format(kind, name)


def event(what: str, op: str, name: str, *, kind: str = TYPE, parent: str = "", **state: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    of = PARENT.format(recorded.GUEST, parent) if parent else ""
    full = {"parent": of, "inputs": {}, **state}
    return {
        what: {"metadata": {"op": op, "type": kind, "urn": urn(name, kind), "old": full, "new": full, "provider": "p"}}
    }


def begun(op: str, name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    return event("resourcePreEvent", op, name, **more)


def ended(op: str, name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    return event("resOutputsEvent", op, name, **more)


def failed(op: str, name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    return event("resOpFailedEvent", op, name, **more)


def engine_run(*events: tuple[float, dict[str, Any]], operation: str = "up") -> EngineRun:
    return EngineRun(operation, {}, list(events))


def state(**needs: list[str]) -> dict[str, Any]:
    """An exported state in which each resource depends on these."""
    resources = [
        {"urn": urn(name), "custom": True, "dependencies": [urn(one) for one in those]} for name, those in needs.items()
    ]
    return {"deployment": {"resources": resources}}


def well(*numbers: int) -> dict[str, Any]:
    """What members say that see each other on both links."""
    return {
        f"proxmox0{number}": joined(
            number,
            *numbers,
            quorum=quorum(numbers, expected=len(numbers)),
            quorate=True,
            links=[up(other, link) for other in numbers if other != number for link in (0, 1)],
        )
        for number in numbers
    }


def one_link_cut() -> dict[str, Any]:
    """Link 0 between nodes 1 and 2 is cut, and node 3 does not answer."""
    first, second = (
        joined(
            number,
            *(1, 2, 3),
            quorum=quorum((1, 2), expected=3),
            quorate=True,
            links=links,
        )
        for number, links in (
            (1, [cut(2, 0), up(2, 1), cut(3, 0), cut(3, 1)]),
            (2, [cut(1, 0), up(1, 1), cut(3, 0), cut(3, 1)]),
        )
    )
    silent = AdminError("host-unreachable", "proxmox03 cannot be reached over SSH")
    return {"proxmox01": first, "proxmox02": second, "proxmox03": silent}


def drilled() -> Drill:
    """One guest of proxmox01 ran elsewhere, one was not seen again, and one of another node went on."""
    back = GuestClock("vm:200", 0.2, 6.1, 11.4, 11.4, 12.9, "proxmox02")
    lost = GuestClock("ct:300", 0.2, 6.1)
    on = [Silence("vm:201", "proxmox03", 0.7)]
    return Drill(
        "proxmox01",
        was_master=False,
        time_scale=0.1,
        interval_s=0.5,
        longest_s=0.64,
        guests=[back, lost],
        others=on,
    )


def changed() -> Chronicle:
    """A run that made a virtual machine."""
    kept = Chronicle(began=1_790_000_000.0)
    kept.runs = [
        engine_run((0.5, begun("create", "vm01-vm", parent="vm01")), (3.0, ended("create", "vm01-vm", parent="vm01")))
    ]
    kept.stages = [Stage("Run", 3.2)]
    kept.state = state(**{"vm01-vm": []})
    kept.before, kept.after = well(1, 2), well(1, 2, 3)
    kept.changes = [Remark("guest vm01", "is new")]
    return kept
