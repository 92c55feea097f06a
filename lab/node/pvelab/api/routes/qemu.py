"""/nodes/{node}/qemu: virtual machines."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pvelab.api.errors import PveError, die, parameter_error
from pvelab.guests import conf, ha, migration, power, registry, removal, state, views
from pvelab.guests.qemu import clone, create, disks, startup, update
from pvelab.guests.registry import Guest

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route
    from pvelab.tasks import Log

_ALL = "/nodes/{node}/qemu"
_ONE = f"{_ALL}/{{vmid}}"
_STATUS = f"{_ONE}/status"


def _guest(ctx: Context) -> Guest:
    return registry.require_local("qemu", int(ctx.params["vmid"]))


def listing(ctx: Context) -> list[dict[str, Any]]:
    """The node's machines that the caller may see."""
    found = []
    for guest in registry.guests(ctx.node).values():
        if guest.kind == "qemu" and ctx.allowed(f"/vms/{guest.vmid}", "VM.Audit"):
            # One that is destroyed meanwhile is left out.
            with contextlib.suppress(PveError):
                found.append(views.listed(guest))
    return found


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


def pending(ctx: Context) -> list[dict[str, Any]]:
    """A machine's options with what waits for its next start."""
    return conf.rows("qemu", conf.load(_guest(ctx)))


def current(ctx: Context) -> dict[str, Any]:
    """A machine's state."""
    return views.current(_guest(ctx))


def _root_only(ctx: Context, *names: str) -> None:
    for name in names:
        if ctx.params.get(name) and ctx.user != "root@pam":
            raise parameter_error({name: "Only root may use this option."})


def _ha_task(ctx: Context, guest: Guest, kind: str, verb: str, *arguments: str) -> str:
    def ask(log: Log) -> None:
        log(f"Requesting HA {verb} for {guest.label}")
        ha.request(lambda _text: None, *arguments)

    return ctx.start_task(kind, str(guest.vmid), ask)


def start(ctx: Context) -> str:
    """Start a machine; one that the HA manager owns is started by it."""
    _root_only(ctx, "skiplock", "migratedfrom", "stateuri")
    vmid = int(ctx.params["vmid"])
    source = ctx.params.get("migratedfrom")
    if source:
        here = Guest(vmid, "qemu", ctx.node)
        there = Guest(vmid, "qemu", source)
        return ctx.start_task("qmstart", str(vmid), lambda log: startup.bring_up_incoming(there, here, log))
    guest = _guest(ctx)
    if ha.is_managed(guest):
        return _ha_task(ctx, guest, "hastart", "start", "set", guest.ha_sid, "--state", "started")
    skip = bool(ctx.params.get("skiplock"))

    def work(log: Log) -> None:
        power.start(guest, log, skip_lock=skip)

    return ctx.start_task("qmstart", str(vmid), work)


def _stop(ctx: Context, kind: str, timeout: int) -> str:
    _root_only(ctx, "skiplock", "keepActive")
    guest = _guest(ctx)
    if ha.is_managed(guest):
        verb = "stop" if kind == "qmstop" else "shutdown"
        return _ha_task(ctx, guest, f"ha{verb}", verb, "crm-command", "stop", guest.ha_sid, str(timeout))
    skip = bool(ctx.params.get("skiplock"))
    return ctx.start_task(kind, str(guest.vmid), lambda _log: power.stop(guest, skip_lock=skip))


def stop(ctx: Context) -> str:
    """Switch a machine off."""
    return _stop(ctx, "qmstop", 0)


def shutdown(ctx: Context) -> str:
    """Ask a machine to end; what runs in it here always complies."""
    return _stop(ctx, "qmshutdown", int(ctx.params.get("timeout", 180)))


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
    _root_only(ctx, "force", "migration_type", "migration_network")
    guest, target = _guest(ctx), ctx.params["target"]
    migration.check_target(target, ctx.node)
    ctx.require_quorum()
    conf.check_lock(guest, conf.load(guest))
    if state.is_running(guest) and not ctx.params.get("online"):
        raise die("can't migrate running VM without --online")
    if ha.is_managed(guest):
        return migration.request_ha(ctx, guest, target)
    return ctx.start_task("qmigrate", str(guest.vmid), migration.work(guest, target))


def destroy(ctx: Context) -> str:
    """Remove a machine with its disks."""
    return removal.destroy(ctx, "qemu")


def agent(ctx: Context) -> None:
    """The guest agent never answers: what runs in a machine here has none."""
    guest = _guest(ctx)
    if not state.is_running(guest):
        raise die(f"VM {guest.vmid} is not running")
    if "agent" not in conf.load(guest).options:
        raise die("No QEMU guest agent configured")
    raise die("QEMU guest agent is not running")


ROUTES: list[Route] = [
    ("GET", _ALL, listing),
    ("POST", _ALL, create.create),
    ("DELETE", _ONE, destroy),
    ("GET", f"{_ONE}/config", config),
    ("PUT", f"{_ONE}/config", update.update),
    ("POST", f"{_ONE}/config", update.update_in_task),
    ("GET", f"{_ONE}/pending", pending),
    ("GET", f"{_STATUS}/current", current),
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
    ("POST", f"{_ONE}/agent/ping", agent),
    ("GET", f"{_ONE}/agent/network-get-interfaces", agent),
]
