"""Templates, and copies of virtual machines."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.api.errors import PveError, die, parameter_error
from pvelab.guests import conf, drives, nics, parameters, registry, state
from pvelab.guests.conf import Config
from pvelab.guests.locking import locked
from pvelab.guests.qemu import options
from pvelab.guests.registry import Guest
from pvelab.guests.reservation import check_pool, join_pool, reserve
from pvelab.storage import config as storage_config
from pvelab.storage import images, layout

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.tasks import Log

_NOT_COPIED = frozenset(
    (
        "snapshots",
        "parent",
        "snaptime",
        "vmstate",
        "snapstate",
        "runningcpu",
        "runningmachine",
        "running-nets-host-mtu",
        "lock",
        "template",
    )
)
# A clone only looks whether somebody changes its source right now.
SOURCE_LOCK_WAIT_S = 1.0


def _check_template(guest: Guest, config: Config) -> None:
    if config.snapshots:
        raise die("unable to create template, because VM contains snapshots")
    if config.is_template:
        raise die("you can't convert a template to a template")
    if state.is_running(guest):
        raise die("you can't convert a VM to template if VM is running")


def template(ctx: Context) -> str:
    """POST template: make the machine's disks the base of clones."""
    guest = registry.require_local("qemu", int(ctx.params["vmid"]))
    only = ctx.params.get("disk")
    ctx.require_quorum()
    with locked("qemu", guest.vmid):
        config = conf.load(guest)
        conf.check_lock(guest, config)
        _check_template(guest, config)
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


def _new_options(source: Config, params: dict[str, Any]) -> dict[str, str]:
    """The options of a clone, its drives not yet copied."""
    copied = {}
    for key, value in source.options.items():
        if key in _NOT_COPIED or key.startswith("unused"):
            continue
        copied[key] = nics.normalize("qemu", value, fresh_mac=True) if re.fullmatch(r"net\d+", key) else value
    copied |= options.identity()
    copied["name"] = params.get("name") or f"Copy-of-VM-{source.options.get('name', params['vmid'])}"
    if params.get("description"):
        copied["description"] = str(params["description"])
    else:
        copied.pop("description", None)
    return copied


def copy_drive(drive: drives.Drive, vmid: int, params: dict[str, Any], log: Log, *, full: bool) -> drives.Drive:
    """The drive of a clone: the same CD, a linked volume, or a full copy."""
    if drive.is_cdrom and not drive.is_cloud_init:
        return drive
    if full or drive.is_cloud_init or not layout.parse(drive.volume).is_base:
        log(f"create full clone of drive {drive.key} ({drive.volume})")
        storage = params.get("storage") or layout.parse(drive.volume).storage.id
        return drive.with_volume(images.copy(drive.volume, storage, vmid, params.get("format")))
    log(f"create linked clone of drive {drive.key} ({drive.volume})")
    return drive.with_volume(images.clone_linked(drive.volume, vmid))


def _copy(source: Guest, new: Guest, params: dict[str, Any], log: Log, *, full: bool) -> None:
    config = conf.load(source)
    made: list[str] = []
    result = Config({**_new_options(config, params), "lock": "clone"})
    conf.save(new, result)
    try:
        for drive in drives.drives("qemu", config.options):
            copied = copy_drive(drive, new.vmid, params, log, full=full)
            if copied.volume != drive.volume:
                made.append(copied.volume)
            result.options[drive.key] = copied.text()
        del result.options["lock"]
        conf.save(new, result)
    except Exception as error:
        for volid in made:
            with contextlib.suppress(PveError):
                images.free(volid)
        new.file.unlink(missing_ok=True)
        raise die(f"clone failed: {getattr(error, 'message', error)}") from error


def move_config(guest: Guest, node: str) -> None:
    """Hand a guest's configuration to another node."""
    target = Guest(guest.vmid, guest.kind, node)
    try:
        target.file.parent.mkdir(parents=True, exist_ok=True)
        guest.file.rename(target.file)
    except OSError as error:
        raise die(f"failed to move config file to node '{node}': {error.strerror}") from error


def _check_permissions(ctx: Context, newid: int) -> None:
    pool = ctx.params.get("pool")
    check_pool(pool)
    parameters.require(ctx, newid, pool, "VM.Allocate")
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
    reserve(new, f"unable to create VM {new.vmid} -")

    def work(log: Log) -> None:
        try:
            with locked("qemu", source.vmid, shared=True, wait_s=SOURCE_LOCK_WAIT_S):
                _copy(source, new, params, log, full=full)
        except Exception:
            new.file.unlink(missing_ok=True)
            raise
        join_pool(params.get("pool"), new.vmid)
        if target not in (None, ctx.node):
            move_config(new, target)

    return ctx.start_task("qmclone", str(source.vmid), work)
