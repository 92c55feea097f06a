"""Moving a guest to another node of the cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.api import remote
from pvelab.errors import PveError, die, parameter_error
from pvelab.guests import conf, drives, ha, registry, state
from pvelab.guests.locking import locked
from pvelab.guests.qemu.startup import MEMORY
from pvelab.storage import config as storage_config
from pvelab.storage import layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.api.context import Context
    from pvelab.guests.conf import Config
    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log, Work

START_TIMEOUT_S = 60.0


def _check_target(target: str, node: str) -> None:
    """Refuse this node, and one that is no member or not online."""
    if target == node:
        raise parameter_error({"target": "target is local node."})
    cfs.node_address(target)
    if not cfs.members()[target].get("online"):
        raise die(f"node '{target}' is not online")


def _check_volumes(guest: Guest, config: Config, target: str) -> None:
    """Every disk must be on storage that the target has as well."""
    for drive in drives.drives(guest.kind, config.options):
        if drive.volume == "cdrom":
            raise die("can't migrate local cdrom drive")
        if not drive.has_volume:
            continue
        storage = layout.parse(drive.volume).storage
        if not storage.shared:
            raise die(f"can't migrate local disk '{drive.volume}': migration of local disks is not implemented")
        storage_config.usable(storage.id, target)
        status = remote.call(target, "GET", f"/nodes/{target}/storage/{storage.id}/status")
        if not status.get("active"):
            raise die(f"storage '{storage.id}' is not online on node '{target}'")


def _stamped(log: Log) -> Log:
    return lambda text: log(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")


def _set_lock(guest: Guest, config: Config, lock: str | None) -> None:
    config.options.pop("lock", None)
    if lock:
        config.options["lock"] = lock
    conf.save(guest, config)


def _phases(guest: Guest, target: str, log: Log) -> None:
    """Check, start there, hand over the configuration, stop here; a failure before that leaves the guest as it was."""
    config = conf.load(guest)
    conf.check_lock(guest, config)
    running = state.is_running(guest)
    _check_volumes(guest, config, target)
    _set_lock(guest, config, "migrate")
    try:
        if running and guest.kind == "qemu":
            log(f"starting VM {guest.vmid} on remote node '{target}'")
            path = f"/nodes/{target}/qemu/{guest.vmid}/status/start"
            upid = remote.call(
                target,
                "POST",
                path,
                {"migratedfrom": guest.node, "skiplock": 1, "stateuri": f"{MEMORY}{state.booted(guest)}"},
            )
            remote.wait(target, upid, START_TIMEOUT_S)
        elif running:
            log("shutdown CT " + str(guest.vmid))
            state.stop(guest)
    finally:
        _set_lock(guest, config, None)
    conf.move(guest, target)
    if guest.kind == "qemu":
        state.stop(guest)
    elif running:
        log("start container on target node")
        upid = remote.call(target, "POST", f"/nodes/{target}/lxc/{guest.vmid}/status/start")
        remote.wait(target, upid, START_TIMEOUT_S)


def work(guest: Guest, target: str) -> Work:
    """The task that moves a guest."""

    def migrate(log: Log) -> None:
        said = _stamped(log)
        with locked(guest.kind, guest.vmid):
            said(f"starting migration of {guest.label} to node '{target}' ({cfs.node_address(target)})")
            try:
                _phases(guest, target, said)
            except PveError as error:
                said(f"ERROR: migration aborted: {error.message}")
                raise die("migration aborted") from error
            said("migration finished successfully")

    return migrate


def _check_way(guest: Guest, params: Mapping[str, Any]) -> None:
    """A running machine moves while it runs, a running container only stops here and starts there."""
    if guest.kind == "qemu":
        if not params.get("online"):
            raise die("can't migrate running VM without --online")
    elif params.get("online"):
        raise die("lxc live migration is currently not implemented")
    elif not params.get("restart"):
        raise die("can't migrate running container without --online or --restart")


def migrate(ctx: Context, kind: str) -> str:
    """Move a guest of kind "qemu" or "lxc"; the HA manager moves what it owns."""
    guest, target = registry.require_local(kind, int(ctx.params["vmid"])), ctx.params["target"]
    _check_target(target, ctx.node)
    ctx.require_quorum()
    conf.check_lock(guest, conf.load(guest))
    if state.is_running(guest):
        _check_way(guest, ctx.params)
    if ha.is_managed(guest):
        wanted = f"migration for {guest.label} to node {target}"
        return ha.request_in_task(ctx, guest, "hamigrate", wanted, "migrate", guest.ha_sid, target)
    return ctx.start_task("qmigrate" if kind == "qemu" else "vzmigrate", str(guest.vmid), work(guest, target))
