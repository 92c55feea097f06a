"""Locks of guests and of nodes' VMs: while Proxmox VE holds one, nothing can change the guest. Pure.

Most locks go with the task that took them, and are no drift. Whether that task was cut off cannot be seen here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.drift.kinds import LOCKED, PASSING
from cli.drift.model import Drift
from cluster.contract import Container, Template
from components.recorded import VM_TYPE
from onnode.system.pve import HARMLESS, parse_guest_config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.drift.questions import Questions

    Files = Mapping[str, str]

TOOLS = {"qemu-server": ("qm", "VM"), "lxc": ("pct", "container")}
# What each lock means for its guest (PVE::QemuServer, PVE::LXC::Config: the values of `lock`).
AT_WORK = {
    "backup": "a backup of it is made",
    "clone": "it is being copied",
    "create": "it is being made or restored",
    "disk": "one of its disks is being changed",
    "fstrim": "the free space of its disks is being given back",
    "migrate": "it is on its way to another node",
    "rollback": "it is being set back to a snapshot",
    "snapshot": "a snapshot of it is made",
    "snapshot-delete": "a snapshot of it is being removed",
    "suspending": "it is being suspended to a disk",
}
STAYS = {
    "suspended": ("it is suspended to a disk, and does not run", "{tool} start {vmid} on {node}"),
    "mounted": ("its disks are mounted on its node", "{tool} unmount {vmid} on {node}"),
    "destroyed": ("its removal was begun, and did not finish", "see how its last task ended, on {node}: {tool} list"),
}
UNKNOWN = ("nothing can change it", "see what holds it, on {node}: {tool} config {vmid}")


def held(asked: Questions, hosts: Mapping[str, Files | None], cluster: Files | None) -> Iterator[Drift]:
    """The locks of what is recorded.

    Args:
        asked: what is recorded.
        hosts: the files of each outer host; None for one that did not answer.
        cluster: those of the cluster; None when no member may answer for it.
    """
    for resource in asked.provided:
        inputs = resource.get("inputs") or {}
        if resource["type"] == VM_TYPE and "vmId" in inputs:
            outer = not inputs.get("clone") and inputs.get("nodeName") in hosts
            where = str(inputs["nodeName"]) if outer else "cluster"
            files = hosts[where] if outer else cluster
            yield from _of(resource["urn"], where, files or {}, ("qemu-server", int(inputs["vmId"])))
    for urn, (_, wanted) in asked.here.items():
        if isinstance(wanted, (Template, Container)):
            kind = "qemu-server" if isinstance(wanted, Template) else "lxc"
            yield from _of(urn, "cluster", cluster or {}, (kind, wanted.vmid))


def _of(urn: str, where: str, files: Files, guest: tuple[str, int]) -> Iterator[Drift]:
    kind, vmid = guest
    path = next((one for one in files if one.endswith(f"/{kind}/{vmid}.conf")), None)
    values = parse_guest_config(files[path]).values if path else {}
    if path is None or not (lock := values.get("lock")):
        return
    node, (tool, word) = path.split("/")[-3], TOOLS[kind]
    shown = f"{word} {vmid} ({values.get('name') or values.get('hostname') or 'no name'}) on {node} is locked ({lock})"
    if lock in AT_WORK:
        what = f"{shown}: {AT_WORK[lock]}, or that task was cut off; nothing can change it until the lock is gone"
        whole = (
            ""
            if lock in (*HARMLESS, "disk", "fstrim")
            else f"see how the last one ended, and whether {vmid} is whole, before "
        )
        step = f"wait until the task has ended; if none runs on {node}: {whole}{tool} unlock {vmid}"
        yield Drift(urn, where, what, PASSING, step)
    else:
        means, step = STAYS.get(lock, UNKNOWN)
        yield Drift(urn, where, f"{shown}: {means}", LOCKED, step.format(tool=tool, vmid=vmid, node=node))
