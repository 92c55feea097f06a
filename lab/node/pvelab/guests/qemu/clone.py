"""Templates, and copies of virtual machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.errors import die, parameter_error
from pvelab.guests import conf, drives, registry
from pvelab.guests.conf import Config
from pvelab.guests.locking import locked
from pvelab.guests.qemu import copying, options
from pvelab.guests.registry import Guest
from pvelab.guests.reservation import refuse_pool, reserve
from pvelab.storage import config as storage_config
from pvelab.storage import images, layout

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.tasks import Log


def template(ctx: Context) -> str:
    """POST template: make the machine's disks the base of clones."""
    guest = registry.require_local("qemu", int(ctx.params["vmid"]))
    only = ctx.params.get("disk")
    ctx.require_quorum()
    with locked("qemu", guest.vmid):
        config = conf.load(guest)
        conf.check_lock(guest, config)
        copying.check_convertible(guest, config)
        config.options["template"] = "1"
        conf.save(guest, config)

    def work(_log: Log) -> None:
        with locked("qemu", guest.vmid):
            config = conf.load(guest)
            for drive in list(drives.drives("qemu", config.options)):
                if drive.has_volume and not drive.is_cdrom and only in (None, drive.key):
                    config.options[drive.key] = drive.with_volume(images.to_base(drive.volume)).text()
                    conf.save(guest, config)

    return ctx.start_task("qmtemplate", str(guest.vmid), work)


def _check_storages(config: Config, target: str | None, storage: str | None, node: str) -> None:
    """A clone for another node needs storages that both nodes have."""
    if target in (None, node):
        return
    if storage and not storage_config.usable(storage, target).shared:
        raise die(f"can't clone to non-shared storage '{storage}'")
    for drive in drives.drives("qemu", config.options):
        if drive.holds_guest_data and not layout.parse(drive.volume).storage.shared:
            raise die(f"can't clone VM to node '{target}' (VM uses local storage)")
        if drive.holds_guest_data:
            storage_config.usable(layout.parse(drive.volume).storage.id, target)


def _check_linked(params: dict[str, Any]) -> None:
    for name in ("storage", "format"):
        if params.get(name):
            raise parameter_error({name: f"parameter '{name}' not allowed for linked clones"})


def _copy(source: Guest, new: Guest, params: dict[str, Any], log: Log, *, full: bool) -> None:
    copied = copying.new_options(source, conf.load(source), params)
    config = Config({**copied, **options.identity(), "lock": "clone"})
    conf.save(new, config)
    copying.copy_drives(new, config, params, log, full=full)


def _check_permissions(ctx: Context, newid: int) -> None:
    refuse_pool(ctx.params.get("pool"))
    ctx.require(f"/vms/{newid}", "VM.Allocate")
    if ctx.params.get("storage"):
        ctx.require(f"/storage/{ctx.params['storage']}", "Datastore.AllocateSpace")
        drives.check_storage("qemu", ctx.params["storage"])


def clone(ctx: Context) -> str:
    """POST clone: a copy of a machine; of a template a linked one unless `full` is asked for."""
    params = ctx.params
    source = registry.require_local("qemu", int(params["vmid"]))
    new = Guest(int(params["newid"]), "qemu", ctx.node)
    target = params.get("target")
    _check_permissions(ctx, new.vmid)
    config = conf.load(source)
    conf.check_lock(source, config)
    full = bool(params.get("full", not config.is_template)) or not config.is_template
    if not full:
        _check_linked(params)
    if target is not None:
        cfs.node_address(target)
    _check_storages(config, target, params.get("storage"), ctx.node)
    ctx.require_quorum()
    reserve(new)

    def work(log: Log) -> None:
        try:
            with locked("qemu", source.vmid, shared=True, wait_s=copying.SOURCE_LOCK_WAIT_S):
                _copy(source, new, params, log, full=full)
        except Exception:
            new.file.unlink(missing_ok=True)
            raise
        if target not in (None, ctx.node):
            conf.move(new, target)

    return ctx.start_task("qmclone", str(source.vmid), work)
