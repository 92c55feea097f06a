"""/nodes/{node}/qemu: what only virtual machines have or do in their own way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab.errors import die
from pvelab.guests import conf, migration, power, power_tasks, registry, state
from pvelab.guests.qemu import clone, create, disks, startup, update
from pvelab.guests.registry import Guest

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route

_ALL = "/nodes/{node}/qemu"
_ONE = f"{_ALL}/{{vmid}}"
_STATUS = f"{_ONE}/status"


def _guest(ctx: Context) -> Guest:
    return registry.require_local("qemu", int(ctx.params["vmid"]))


def config(ctx: Context) -> dict[str, Any]:
    """A machine's options as they will be; with `current` as they are; with `snapshot` as they were."""
    found = conf.load(_guest(ctx))
    snapshot = ctx.params.get("snapshot")
    if snapshot and snapshot not in found.snapshots:
        raise die(f"snapshot '{snapshot}' does not exist")
    options = found.snapshots[snapshot] if snapshot else found.options if ctx.params.get("current") else found.wanted()
    if "cipassword" in options:
        options = {**options, "cipassword": "**********"}
    return {**conf.typed("qemu", options), "digest": conf.digest(found)}


def start(ctx: Context) -> str:
    """Start a machine, or one that migrates to this node."""
    ctx.root_only("skiplock", "migratedfrom", "stateuri")
    vmid = int(ctx.params["vmid"])
    source = ctx.params.get("migratedfrom")
    if source:
        here = Guest(vmid, "qemu", ctx.node)
        there = Guest(vmid, "qemu", source)
        memory = ctx.params.get("stateuri", "")
        return ctx.start_task("qmstart", str(vmid), lambda log: startup.bring_up_incoming(there, here, log, memory))
    return power_tasks.start(ctx, _guest(ctx))


def stop(ctx: Context) -> str:
    """Switch a machine off."""
    ctx.root_only("skiplock", "keepActive")
    return power_tasks.end(ctx, _guest(ctx), "stop", 0)


def shutdown(ctx: Context) -> str:
    """Ask a machine to end."""
    ctx.root_only("skiplock", "keepActive")
    return power_tasks.end(ctx, _guest(ctx), "shutdown", int(ctx.params.get("timeout", 180)))


def reboot(ctx: Context) -> str:
    """Shut down and start again."""
    guest = _guest(ctx)
    if not state.is_running(guest):
        raise die("VM is not running")
    return ctx.start_task("qmreboot", str(guest.vmid), lambda log: power.reboot(guest, log))


def reset(ctx: Context) -> str:
    """Press the reset button."""
    guest = _guest(ctx)
    if not state.is_running(guest):
        raise die(f"VM {guest.vmid} not running")
    return ctx.start_task("qmreset", str(guest.vmid), lambda _log: state.reset(guest))


def migrate(ctx: Context) -> str:
    """Move a machine to another node; a running one only with `online`."""
    ctx.root_only("force", "migration_type", "migration_network")
    return migration.migrate(ctx, "qemu")


def agent(ctx: Context) -> None:
    """The guest agent never answers: what runs in a machine here has none."""
    guest = _guest(ctx)
    if not state.is_running(guest):
        raise die(f"VM {guest.vmid} is not running")
    if "agent" not in conf.load(guest).options:
        raise die("No QEMU guest agent configured")
    raise die("QEMU guest agent is not running")


ROUTES: list[Route] = [
    ("POST", _ALL, create.create),
    ("GET", f"{_ONE}/config", config),
    ("PUT", f"{_ONE}/config", update.update),
    ("POST", f"{_STATUS}/start", start),
    ("POST", f"{_STATUS}/stop", stop),
    ("POST", f"{_STATUS}/shutdown", shutdown),
    ("POST", f"{_STATUS}/reboot", reboot),
    ("POST", f"{_STATUS}/reset", reset),
    ("PUT", f"{_ONE}/resize", disks.resize),
    ("POST", f"{_ONE}/move_disk", disks.move),
    ("POST", f"{_ONE}/template", clone.template),
    ("POST", f"{_ONE}/clone", clone.clone),
    ("POST", f"{_ONE}/migrate", migrate),
    ("GET", f"{_ONE}/agent/network-get-interfaces", agent),
]
