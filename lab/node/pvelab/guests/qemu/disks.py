"""Growing and moving the disks of a virtual machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab import sizes
from pvelab.errors import die
from pvelab.guests import conf, drives, registry
from pvelab.guests.locking import locked
from pvelab.storage import config as storage_config
from pvelab.storage import images, layout

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.guests.conf import Config
    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log


def _disk(config: Config, key: str, verb: str) -> drives.Drive:
    if key not in config.options:
        raise die(f"disk '{key}' does not exist")
    drive = drives.parse("qemu", key, config.options[key])
    if not drive.has_volume:
        raise die(f"disk '{key}' has no associated volume")
    if drive.is_cdrom:
        raise die(f"you can't {verb} a cdrom")
    return drive


def _new_size(text: str, current: int) -> int:
    wanted = sizes.parse(text.removeprefix("+")) + (current if text.startswith("+") else 0)
    if wanted < current:
        raise die("shrinking disks is not supported")
    return wanted


def _resize(guest: Guest, key: str, text: str, log: Log) -> None:
    with locked("qemu", guest.vmid):
        config = conf.load(guest)
        conf.check_lock(guest, config)
        drive = _disk(config, key, "resize")
        size = _new_size(text, images.size(drive.volume))
        log(f"update VM {guest.vmid}: resize --disk {key} --size {text}")
        images.resize(drive.volume, size)
        config.options[key] = drive.with_volume(drive.volume, size=sizes.render(size)).text()
        conf.save(guest, config)


def resize(ctx: Context) -> str:
    """PUT resize: grow a disk."""
    guest = registry.require_local("qemu", int(ctx.params["vmid"]))
    key, text = ctx.params["disk"], ctx.params["size"]
    drive = _disk(conf.load(guest), key, "resize")
    ctx.require_quorum()
    _new_size(text, images.size(drive.volume))
    return ctx.start_task("resize", str(guest.vmid), lambda log: _resize(guest, key, text, log))


def _move(guest: Guest, params: dict[str, Any], log: Log) -> None:
    key, target = params["disk"], params["storage"]
    fmt = params.get("format") if storage_config.find(target).is_file_based else None
    with locked("qemu", guest.vmid):
        config = conf.load(guest)
        conf.check_lock(guest, config)
        drive = _disk(config, key, "move")
        log(f"create full clone of drive {key} ({drive.volume})")
        volid = images.copy(drive.volume, target, guest.vmid, fmt)
        config.options[key] = drive.with_volume(volid).text()
        if params.get("delete"):
            images.free(drive.volume)
        else:
            config.options[drives.next_unused(config.options)] = drive.volume
        conf.save(guest, config)


def move(ctx: Context) -> str:
    """POST move_disk: to another storage, or into another format."""
    guest = registry.require_local("qemu", int(ctx.params["vmid"]))
    key, target = ctx.params["disk"], ctx.params.get("storage")
    if not target:
        raise die("moving a disk to another VM is not implemented")
    drive = _disk(conf.load(guest), key, "move")
    ctx.require(f"/storage/{target}", "Datastore.AllocateSpace")
    drives.check_storage("qemu", target)
    source = layout.parse(drive.volume)
    fmt = ctx.params.get("format")
    if source.storage.id == target and fmt in (None, source.format):
        raise die("you can't move to the same storage with same format")
    ctx.require_quorum()
    return ctx.start_task("qmmove", str(guest.vmid), lambda log: _move(guest, ctx.params, log))
