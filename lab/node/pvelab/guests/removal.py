"""Removing a guest with everything that belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab.errors import PveError, die
from pvelab.guests import conf, drives, ha, registry, state
from pvelab.guests.locking import locked
from pvelab.storage import activation, images, layout, listing
from pvelab.storage import config as storage_config

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

    Proxmox ends the removal of a container at a volume that it cannot free. Of a virtual machine it writes a line into
    the task's log, and goes on (PVE::LXC::destroy_lxc_container, PVE::QemuServer::destroy_vm).

    Raises:
        PveError: linked clones need one of them, and nothing is removed; or one of a container cannot be freed.
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
            if guest.kind == "lxc":
                raise
            log(f"Could not remove disk '{volid}', check manually: {error.message}")


def free_unreferenced(guest: Guest, log: Log) -> None:
    """Remove further volumes that carry the guest's number, on every storage for its kind that this node can use.

    Raises:
        PveError: one of these storages does not answer, whether the guest has a volume there or not.
    """
    content = {"qemu": "images", "lxc": "rootdir"}[guest.kind]
    usable = [one for one in storage_config.load().values() if one.enabled_on(guest.node) and content in one.content]
    for storage in usable:
        activation.activate(storage.id)
    for item in [item for storage in usable for item in listing.contents(storage.id, vmid=guest.vmid)]:
        log(f"removing unreferenced disk '{item['volid']}'")
        try:
            images.free(item["volid"])
        except PveError as error:
            log(error.message)


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
            free_volumes(guest, config, log)
            if ctx.params.get("destroy-unreferenced-disks"):
                free_unreferenced(guest, log)
            if ha.is_configured(guest):
                ha.forget(guest)
            state.destroy(guest)
            guest.file.unlink()

    return ctx.start_task(f"{guest.tasks}destroy", str(guest.vmid), work)
