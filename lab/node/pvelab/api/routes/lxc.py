"""/nodes/{node}/lxc: containers."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from pvelab import propstring
from pvelab.api.errors import PveError, die, parameter_error
from pvelab.guests import conf, ha, migration, power, registry, removal, state, views
from pvelab.guests.lxc import clone, create, update

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route
    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log

_ALL = "/nodes/{node}/lxc"
_ONE = f"{_ALL}/{{vmid}}"
_STATUS = f"{_ONE}/status"


def _guest(ctx: Context) -> Guest:
    return registry.require_local("lxc", int(ctx.params["vmid"]))


def listing(ctx: Context) -> list[dict[str, Any]]:
    """The node's containers that the caller may see."""
    found = []
    for guest in registry.guests(ctx.node).values():
        if guest.kind == "lxc" and ctx.allowed(f"/vms/{guest.vmid}", "VM.Audit"):
            # One that is destroyed meanwhile is left out.
            with contextlib.suppress(PveError):
                found.append(views.listed(guest))
    return found


def config(ctx: Context) -> dict[str, Any]:
    """A container's options as they will be; with `current` as they are."""
    found = conf.load(_guest(ctx))
    options = found.options if ctx.params.get("current") else found.wanted()
    return {**conf.typed("lxc", options), "digest": conf.digest(found)}


def pending(ctx: Context) -> list[dict[str, Any]]:
    """A container's options with what waits for its next start."""
    return conf.rows("lxc", conf.load(_guest(ctx)))


def current(ctx: Context) -> dict[str, Any]:
    """A container's state."""
    return views.current(_guest(ctx))


def _interface(name: str, mac: str, cidr: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": name, "hwaddr": mac.lower(), "hardware-address": mac.lower()}
    address, slash, prefix = cidr.partition("/")
    if slash:
        shown["inet"] = cidr
        shown["ip-addresses"] = [{"ip-address": address, "prefix": int(prefix), "ip-address-type": "inet"}]
    return shown


def interfaces(ctx: Context) -> list[dict[str, Any]]:
    """The interfaces of a running container, with the addresses that its configuration gives it."""
    guest = _guest(ctx)
    if not state.is_running(guest):
        raise die(f"CT {guest.vmid} not running")
    found = [_interface("lo", "00:00:00:00:00:00", "127.0.0.1/8")]
    for key, value in sorted(conf.load(guest).options.items()):
        if re.fullmatch(r"net\d+", key):
            properties = propstring.parse(value, "name")
            found.append(_interface(properties["name"], properties.get("hwaddr", ""), properties.get("ip", "")))
    return found


def _ha_task(ctx: Context, guest: Guest, kind: str, verb: str, *arguments: str) -> str:
    def ask(log: Log) -> None:
        log(f"Requesting HA {verb} for {guest.label}")
        ha.request(lambda _text: None, *arguments)

    return ctx.start_task(kind, str(guest.vmid), ask)


def start(ctx: Context) -> str:
    """Start a container; one that the HA manager owns is started by it."""
    if ctx.params.get("skiplock") and ctx.user != "root@pam":
        raise parameter_error({"skiplock": "Only root may use this option."})
    guest = _guest(ctx)
    if state.is_running(guest):
        raise die(f"CT {guest.vmid} already running")
    if ha.is_managed(guest):
        return _ha_task(ctx, guest, "hastart", "start", "set", guest.ha_sid, "--state", "started")
    skip = bool(ctx.params.get("skiplock"))
    return ctx.start_task("vzstart", str(guest.vmid), lambda log: power.start(guest, log, skip_lock=skip))


def _stop(ctx: Context, kind: str, timeout: int) -> str:
    guest = _guest(ctx)
    if not state.is_running(guest):
        raise die(f"CT {guest.vmid} not running")
    if ha.is_managed(guest):
        verb = "stop" if kind == "vzstop" else "shutdown"
        return _ha_task(ctx, guest, f"ha{verb}", verb, "crm-command", "stop", guest.ha_sid, str(timeout))
    skip = bool(ctx.params.get("skiplock"))
    return ctx.start_task(kind, str(guest.vmid), lambda _log: power.stop(guest, skip_lock=skip))


def stop(ctx: Context) -> str:
    """Switch a container off."""
    return _stop(ctx, "vzstop", 0)


def shutdown(ctx: Context) -> str:
    """Ask a container to end; what runs in it here always complies."""
    return _stop(ctx, "vzshutdown", int(ctx.params.get("timeout", 60)))


def reboot(ctx: Context) -> str:
    """Shut down and start again."""
    guest = _guest(ctx)
    return ctx.start_task("vzreboot", str(guest.vmid), lambda log: power.reboot(guest, log))


def migrate(ctx: Context) -> str:
    """Move a container to another node; a running one only with `restart`."""
    guest, target = _guest(ctx), ctx.params["target"]
    migration.check_target(target, ctx.node)
    ctx.require_quorum()
    conf.check_lock(guest, conf.load(guest))
    if state.is_running(guest):
        if ctx.params.get("online"):
            raise die("lxc live migration is currently not implemented")
        if not ctx.params.get("restart"):
            raise die("can't migrate running container without --online or --restart")
    if ha.is_managed(guest):
        return migration.request_ha(ctx, guest, target)
    return ctx.start_task("vzmigrate", str(guest.vmid), migration.work(guest, target))


def destroy(ctx: Context) -> str:
    """Remove a container with its volumes."""
    return removal.destroy(ctx, "lxc")


ROUTES: list[Route] = [
    ("GET", _ALL, listing),
    ("POST", _ALL, create.create),
    ("DELETE", _ONE, destroy),
    ("GET", f"{_ONE}/config", config),
    ("PUT", f"{_ONE}/config", update.update),
    ("GET", f"{_ONE}/pending", pending),
    ("GET", f"{_ONE}/interfaces", interfaces),
    ("GET", f"{_STATUS}/current", current),
    ("POST", f"{_STATUS}/start", start),
    ("POST", f"{_STATUS}/stop", stop),
    ("POST", f"{_STATUS}/shutdown", shutdown),
    ("POST", f"{_STATUS}/reboot", reboot),
    ("PUT", f"{_ONE}/resize", update.resize),
    ("POST", f"{_ONE}/template", clone.template),
    ("POST", f"{_ONE}/clone", clone.clone),
    ("POST", f"{_ONE}/migrate", migrate),
]
