"""The VM of a nested node, on its outer host: looked at, and switched off hard. It must carry the stack's mark."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cluster import drilling, marks, proxmox_ve
from cluster.errors import AdminError
from cluster.waiting import until_async

if TYPE_CHECKING:
    from cluster.marks import Look, Thing
    from cluster.transport.ssh import Connection

COMMAND_S = 60.0
STOP_S = 120.0
POLL_S = 1.0


def own(seen: Look, name: str, vmid: int, stack: str) -> Thing:
    """A node's VM among what its outer host shows; pure.

    Raises:
        AdminError: foreign-vmid, vm-moved.
    """
    vm = next((thing for thing in seen.things if marks.same(thing, marks.VM, str(vmid))), None)
    if vm is None or vm.node != seen.node:
        raise AdminError(
            "vm-moved",
            f"the VM of {name} is not on {seen.machine}",
            observed=vm.shown if vm else f"no VM {vmid} there",
            expected=f"VM {vmid} on {seen.node}",
        )
    if not vm.ours:
        raise marks.foreign(
            "foreign-vmid",
            f"VM {vmid} is somebody else's, and is left alone",
            observed=vm.shown,
            expected=f"the VM of {name}, which has {marks.mark(vm, stack)}",
        )
    return vm


async def look(host: Connection, name: str, vmid: int, stack: str) -> Thing:
    """Find the VM, on a host where no backup runs.

    Raises:
        AdminError: foreign-vmid, vm-moved, not-settled.
    """
    seen = await proxmox_ve.look(host, stack)
    drilling.refuse_at_work(seen.motion.backups)
    return own(seen, name, vmid, stack)


async def is_off(host: Connection, name: str, vmid: int, stack: str) -> bool:
    """Whether the VM is there, and has no power.

    Raises:
        AdminError: foreign-vmid.
    """
    try:
        vm = own(await proxmox_ve.look(host, stack), name, vmid, stack)
    except AdminError as error:
        if error.code != "vm-moved":
            raise
        return False
    return await status(host, vm) == proxmox_ve.STOPPED


async def status(host: Connection, vm: Thing) -> str:
    """How a VM is; empty where its host does not say it."""
    return proxmox_ve.status_of(vm, (await host.run(proxmox_ve.vm_status(vm), timeout_s=COMMAND_S)).stdout)


async def stop(host: Connection, vm: Thing) -> None:
    """Switch it off, as if its power were cut, and see that it is off.

    Raises:
        AdminError: command-failed.
    """
    done = await host.run(proxmox_ve.stop_vm(vm), timeout_s=STOP_S)
    seen = await until_async(
        partial(status, host, vm),
        lambda found: found == proxmox_ve.STOPPED,
        timeout_s=STOP_S if done.exit_code == 0 else 0,
        poll_s=POLL_S,
    )
    if seen != proxmox_ve.STOPPED:
        raise AdminError(
            "command-failed",
            f"VM {vm.name} on {vm.node} could not be switched off",
            observed=done.stderr.strip() or f"status {seen or 'unknown'}",
            expected="a stopped VM",
        )
