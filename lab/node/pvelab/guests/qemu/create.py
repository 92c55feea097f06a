"""Making and removing a virtual machine."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.access import userdb
from pvelab.api.errors import PveError, die, forbidden
from pvelab.guests import conf, drives, ha, registry, state
from pvelab.guests.conf import Config
from pvelab.guests.locking import locked
from pvelab.guests.qemu import options, power
from pvelab.guests.registry import Guest
from pvelab.storage import config as storage_config
from pvelab.storage import images, layout, listing

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.tasks import Log


def check_drive(ctx: Context, drive: drives.Drive, default_storage: str | None) -> drives.Drive:
    """Refuse, before any work, a drive that the caller may not have or that cannot be; gives it back with its storage.

    Raises:
        PveError: storage missing or of the wrong kind, volume missing, no permission.
    """
    request = drives.requested_size(drive)
    if request is not None:
        storage = request[0] or default_storage
        if storage is None:
            raise die("no storage ID specified (and no default storage)")
        ctx.require(f"/storage/{storage}", "Datastore.AllocateSpace")
        drives.check_storage("qemu", storage)
        return drives.Drive(drive.kind, drive.key, f"{storage}:{drive.volume.rpartition(':')[2]}", drive.properties)
    if drive.volume.startswith("/") and ctx.user != "root@pam":
        raise die("Only root can pass arbitrary filesystem paths.")
    if drive.has_volume and not drive.volume.endswith(":cloudinit"):
        layout.parse(drive.volume)
    return drive


def _make_drives(made: list[str], vmid: int, wanted: dict[str, str]) -> dict[str, str]:
    """Make all drives; `made` remembers the new volumes as they come, for the case that a later one fails."""
    result = {}
    for drive in drives.drives("qemu", wanted):
        done = drives.make(drive, vmid)
        if done.volume != drive.volume:
            made.append(done.volume)
        result[drive.key] = done.text()
    return result


def _forget(made: list[str], guest: Guest) -> None:
    for volid in made:
        with contextlib.suppress(PveError):
            images.free(volid)
    with contextlib.suppress(FileNotFoundError):
        guest.file.unlink()


def _create(guest: Guest, wanted: dict[str, str], log: Log) -> None:
    made: list[str] = []
    try:
        config = Config({**wanted, **_make_drives(made, guest.vmid, wanted)})
        for key, value in options.identity().items():
            config.options.setdefault(key, value)
        boot = options.default_boot(config.options)
        if "boot" not in config.options and boot:
            config.options["boot"] = boot
        conf.save(guest, config)
    except Exception:
        _forget(made, guest)
        raise
    for volid in made:
        log(f"successfully created disk '{volid}'")


def reserve(guest: Guest, purpose: str) -> None:
    """Take the number by an empty, locked configuration, so that nobody else does.

    Raises:
        PveError: a guest has it; `purpose` begins the message.
    """
    with cfs.lock("file-vmlist"):
        registry.require_free(guest.vmid, purpose)
        conf.save(guest, Config({"lock": "create"}))


def join_pool(pool: str | None, vmid: int) -> None:
    """Put a new guest into its pool."""
    if pool:
        with userdb.change() as db:
            db.pools[pool].vms.add(vmid)


def check_pool(pool: str | None) -> None:
    """Refuse a pool that does not exist."""
    if pool and pool not in userdb.load().pools:
        raise forbidden(f"pool '{pool}' does not exist")


def create(ctx: Context) -> str:
    """POST /nodes/{node}/qemu: a new machine; the task makes its disks."""
    params: dict[str, Any] = ctx.params
    guest = Guest(int(params["vmid"]), "qemu", ctx.node)
    pool = params.get("pool")
    if params.get("archive"):
        raise PveError(501, "restoring an archive is not implemented")
    check_pool(pool)
    options.require(ctx, guest.vmid, pool, "VM.Allocate")
    wanted = options.given(params)
    options.check_privileges(ctx, guest.vmid, wanted, pool)
    for drive in list(drives.drives("qemu", wanted)):
        wanted[drive.key] = check_drive(ctx, drive, params.get("storage")).text()
    if "boot" in wanted:
        options.check_boot(wanted["boot"], wanted)
    ctx.require_quorum()
    reserve(guest, f"unable to create VM {guest.vmid} -")

    def work(log: Log) -> None:
        try:
            with locked("qemu", guest.vmid):
                _create(guest, wanted, log)
        except Exception:
            guest.file.unlink(missing_ok=True)
            raise
        join_pool(pool, guest.vmid)
        if params.get("start"):
            power.start(guest, log)

    return ctx.start_task("qmcreate", str(guest.vmid), work)


def _check_removable(guest: Guest, *, purge: bool) -> None:
    config = conf.load(guest)
    if config.options.get("protection") == "1":
        raise die(f"can't remove VM {guest.vmid} - protection mode enabled")
    if ha.is_configured(guest) and not purge:
        raise die(f"unable to remove VM {guest.vmid} - used in HA resources and purge parameter not set.")
    if state.is_running(guest):
        raise die(f"VM {guest.vmid} is running - destroy failed")


def free_volumes(guest: Guest, config: Config, log: Log) -> None:
    """Remove the volumes of a guest that goes away.

    Raises:
        PveError: linked clones need one of them; then nothing is removed.
    """
    owned = [drive.volume for drive in drives.drives(guest.kind, config.options) if drive.holds_guest_data]
    owned += drives.unused(config.options).values()
    word = "cloned" if guest.kind == "qemu" else "clone"
    for volid in owned:
        if images.users(layout.parse(volid)):
            raise die(f"base volume '{volid}' is still in use by linked {word}")
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


def purge_references(guest: Guest) -> None:
    """Take a guest that goes away out of pools and permissions; with `purge` also out of HA."""
    db = userdb.load()
    if not any(guest.vmid in pool.vms for pool in db.pools.values()):
        return
    with userdb.change() as changed:
        for pool in changed.pools.values():
            pool.vms.discard(guest.vmid)


def destroy(ctx: Context) -> str:
    """DELETE /nodes/{node}/qemu/{vmid}: remove a machine with its disks."""
    guest = registry.require_local("qemu", int(ctx.params["vmid"]))
    purge = bool(ctx.params.get("purge"))
    if ctx.params.get("skiplock") and ctx.user != "root@pam":
        raise PveError(400, "Parameter verification failed.", {"skiplock": "Only root may use this option."})
    ctx.require_quorum()
    _check_removable(guest, purge=purge)

    def work(log: Log) -> None:
        with locked("qemu", guest.vmid):
            _check_removable(guest, purge=purge)
            config = conf.load(guest)
            if not ctx.params.get("skiplock"):
                conf.check_lock(guest, config)
            if ha.is_configured(guest):
                ha.forget(guest)
            free_volumes(guest, config, log)
            if ctx.params.get("destroy-unreferenced-disks"):
                free_unreferenced(guest, log)
            state.destroy(guest)
            purge_references(guest)
            guest.file.unlink()

    return ctx.start_task("qmdestroy", str(guest.vmid), work)
