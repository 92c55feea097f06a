"""/nodes/{node}/lxc: what only containers have or do in their own way."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pvelab.errors import die
from pvelab.guests import conf, migration, power, power_tasks, registry, state
from pvelab.guests.lxc import create, update

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route
    from pvelab.guests.registry import Guest

_ALL = "/nodes/{node}/lxc"
_ONE = f"{_ALL}/{{vmid}}"
_STATUS = f"{_ONE}/status"


def _guest(ctx: Context) -> Guest:
    return registry.require_local("lxc", int(ctx.params["vmid"]))


def _running_guest(ctx: Context) -> Guest:
    guest = _guest(ctx)
    if not state.is_running(guest):
        raise die(f"{guest.label} not running")
    return guest


def config(ctx: Context) -> dict[str, Any]:
    """A container's options as they will be; with `current` as they are."""
    found = conf.load(_guest(ctx))
    options = found.options if ctx.params.get("current") else found.wanted()
    return {**conf.typed("lxc", options), "digest": conf.digest(found)}


def start(ctx: Context) -> str:
    """Start a container."""
    ctx.root_only("skiplock")
    guest = _guest(ctx)
    if state.is_running(guest):
        raise die(f"{guest.label} already running")
    return power_tasks.start(ctx, guest)


def stop(ctx: Context) -> str:
    """Switch a container off."""
    return power_tasks.end(ctx, _running_guest(ctx), "stop", 0)


def shutdown(ctx: Context) -> str:
    """Ask a container to end."""
    return power_tasks.end(ctx, _running_guest(ctx), "shutdown", int(ctx.params.get("timeout", 60)))


def reboot(ctx: Context) -> str:
    """Shut down and start again."""
    guest = _guest(ctx)
    return ctx.start_task("vzreboot", str(guest.vmid), lambda log: power.reboot(guest, log))


ROUTES: list[Route] = [
    ("POST", _ALL, create.create),
    ("GET", f"{_ONE}/config", config),
    ("PUT", f"{_ONE}/config", update.update),
    ("POST", f"{_STATUS}/start", start),
    ("POST", f"{_STATUS}/stop", stop),
    ("POST", f"{_STATUS}/shutdown", shutdown),
    ("POST", f"{_STATUS}/reboot", reboot),
    ("PUT", f"{_ONE}/resize", update.resize),
    ("POST", f"{_ONE}/migrate", partial(migration.migrate, kind="lxc")),
]
