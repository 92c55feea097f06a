"""Making a virtual machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab.errors import PveError, die
from pvelab.guests import conf, drives, parameters, power, volumes
from pvelab.guests.conf import Config
from pvelab.guests.locking import locked
from pvelab.guests.qemu import options
from pvelab.guests.registry import Guest
from pvelab.guests.reservation import refuse_pool, reserve
from pvelab.storage import layout

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.tasks import Log


def check_drive(ctx: Context, drive: drives.Drive, default_storage: str | None) -> drives.Drive:
    """Refuse, before any work, a drive that the caller may not have or that cannot be; gives it back with its storage.

    Raises:
        PveError: storage missing or of the wrong kind, volume missing, no permission.
    """
    new = drives.placed(ctx, drive, default_storage)
    if new is not None:
        return new
    if drive.volume.startswith("/") and ctx.user != "root@pam":
        raise die("Only root can pass arbitrary filesystem paths.")
    if drive.has_volume and not drive.volume.endswith(":cloudinit"):
        layout.parse(drive.volume)
    return drive


def _create(guest: Guest, wanted: dict[str, str], log: Log) -> None:
    with volumes.removed_on_failure(guest) as made:
        config = Config({**wanted, **volumes.make(guest, wanted, made)})
        for key, value in options.identity().items():
            config.options.setdefault(key, value)
        boot = options.default_boot(config.options)
        if "boot" not in config.options and boot:
            config.options["boot"] = boot
        conf.save(guest, config)
    for volid in made:
        log(f"successfully created disk '{volid}'")


def create(ctx: Context) -> str:
    """POST /nodes/{node}/qemu: a new machine; the task makes its disks."""
    params: dict[str, Any] = ctx.params
    guest = Guest(int(params["vmid"]), "qemu", ctx.node)
    if params.get("archive"):
        raise PveError(501, "restoring an archive is not implemented")
    refuse_pool(params.get("pool"))
    ctx.require(f"/vms/{guest.vmid}", "VM.Allocate")
    wanted = parameters.given("qemu", params)
    options.check_privileges(ctx, guest.vmid, wanted)
    for drive in list(drives.drives("qemu", wanted)):
        wanted[drive.key] = check_drive(ctx, drive, params.get("storage")).text()
    if "boot" in wanted:
        options.check_boot(wanted["boot"], wanted)
    ctx.require_quorum()
    reserve(guest)

    def work(log: Log) -> None:
        try:
            with locked("qemu", guest.vmid):
                _create(guest, wanted, log)
        except Exception:
            guest.file.unlink(missing_ok=True)
            raise
        if params.get("start"):
            power.start(guest, log)

    return ctx.start_task("qmcreate", str(guest.vmid), work)
