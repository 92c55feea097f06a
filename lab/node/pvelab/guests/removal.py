"""Removing a guest with everything that belongs to it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pvelab.errors import PveError, die
from pvelab.guests import conf, drives, ha, registry, state
from pvelab.guests.locking import locked
from pvelab.storage import config as storage_config
from pvelab.storage import images, layout, listing

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.guests.conf import Config
    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log


def _check_removable(guest: Guest, *, purge: bool, force: bool) -> None:
    config = conf.load(guest)
    if config.options.get("protection") == "1":
        raise die(f"can't remove {guest.label} - protection mode enabled")
    if ha.is_configured(guest) and not purge:
        raise die(f"unable to remove {guest.label} - used in HA resources and purge parameter not set.")
    if state.is_running(guest) and not force:
        raise die(f"{guest.label} is running - destroy failed")


def free_volumes(guest: Guest, config: Config, log: Log) -> None:
    """Remove the volumes of a guest that goes away.

    Raises:
        PveError: linked clones need one of them; then nothing is removed.
    """
    owned = [drive.volume for drive in drives.drives(guest.kind, config.options) if drive.holds_guest_data]
    owned += drives.unused(config.options).values()
    for volid in owned:
        if images.users(layout.parse(volid)):
            raise die(f"base volume '{volid}' is still in use by linked cloned")
    for volid in owned:
        volume = layout.parse(volid)
        if volume.owner not in (None, guest.vmid):
            continue
        try:
            images.free(volid)
        except PveError as error:
            log(f"Could not remove disk '{volid}', check manually: {error.message}")


def free_unreferenced(guest: Guest, log: Log) -> None:
    """Remove further volumes that carry the guest's number, on every storage this node can use."""
    for storage in storage_config.load().values():
        if not storage.enabled_on(guest.node) or not {"images", "rootdir"} & set(storage.content):
            continue
        with contextlib.suppress(PveError):
            for item in listing.contents(storage.id, vmid=guest.vmid):
                log(f"removing unreferenced disk '{item['volid']}'")
                images.free(item["volid"])


def destroy(ctx: Context, kind: str) -> str:
    """Remove a guest with its disks; of kind "qemu" or "lxc"."""
    guest = registry.require_local(kind, int(ctx.params["vmid"]))
    purge, force = bool(ctx.params.get("purge")), bool(ctx.params.get("force"))
    ctx.root_only("skiplock")
    ctx.require_quorum()
    _check_removable(guest, purge=purge, force=force)

    def work(log: Log) -> None:
        with locked(kind, guest.vmid):
            _check_removable(guest, purge=purge, force=force)
            config = conf.load(guest)
            if not ctx.params.get("skiplock"):
                conf.check_lock(guest, config)
            state.stop(guest)
            if ha.is_configured(guest):
                ha.forget(guest)
            free_volumes(guest, config, log)
            if ctx.params.get("destroy-unreferenced-disks"):
                free_unreferenced(guest, log)
            state.destroy(guest)
            guest.file.unlink()

    return ctx.start_task(f"{guest.tasks}destroy", str(guest.vmid), work)
