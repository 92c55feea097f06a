"""Changing the options of a virtual machine, at once or for its next start."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pvelab.errors import die, parameter_error
from pvelab.guests import conf, drives, parameters, registry, state
from pvelab.guests.locking import locked
from pvelab.guests.qemu import options
from pvelab.guests.qemu.create import check_drive
from pvelab.storage import images

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.guests.conf import Config
    from pvelab.guests.registry import Guest

# What a running machine takes at once, besides what it can hotplug.
_AT_ONCE = frozenset(
    (
        "lock",
        "name",
        "onboot",
        "shares",
        "startup",
        "description",
        "protection",
        "vmstatestorage",
        "hookscript",
        "tags",
        "balloon",
        "cpuunits",
        "cpulimit",
    )
)
_HOTPLUG_DEFAULT = "network,disk,usb"


def _hotplugs(config: Config, feature: str) -> bool:
    wanted = config.options.get("hotplug", _HOTPLUG_DEFAULT)
    return wanted == "1" or feature in parameters.split(wanted)


def _is_card(key: str) -> bool:
    return re.fullmatch(r"net\d+", key) is not None


def _hotpluggable(config: Config, key: str) -> bool:
    """Whether a running machine can get or lose this without a restart."""
    if key in _AT_ONCE or key.startswith("unused"):
        return True
    if _is_card(key):
        return _hotplugs(config, "network")
    return bool(re.fullmatch(r"(scsi|virtio)\d+", key)) and _hotplugs(config, "disk")


def _changes_medium(config: Config, key: str, value: str) -> bool:
    """Whether the value is another disc for a CD drive that is there."""
    if not drives.is_key("qemu", key) or key not in config.options:
        return False
    return all(drives.parse("qemu", key, text).is_cdrom for text in (config.options[key], value))


def _detach(config: Config, key: str) -> None:
    """Take a drive off: the volume stays with the machine as unused, unless it is a CD's."""
    drive = drives.parse("qemu", key, config.options.pop(key))
    if drive.is_cloud_init:
        images.free(drive.volume)
    elif drive.has_volume and not drive.is_cdrom:
        config.options[drives.next_unused(config.options)] = drive.volume


def _delete_now(config: Config, key: str) -> None:
    if key.startswith("unused"):
        images.free(config.options.pop(key))
    elif drives.is_key("qemu", key):
        _detach(config, key)
    else:
        config.options.pop(key)


def _delete(config: Config, key: str, *, running: bool) -> None:
    config.pending.pop(key, None)
    if key not in config.options:
        return
    if running and not _hotpluggable(config, key):
        config.doomed = [*(name for name in config.doomed if name != key), key]
    else:
        _delete_now(config, key)


def _set_now(config: Config, key: str, value: str) -> None:
    old = config.options.get(key)
    if old is not None and drives.is_key("qemu", key):
        before, after = drives.parse("qemu", key, old), drives.parse("qemu", key, value)
        if before.volume != after.volume:
            _detach(config, key)
    config.options[key] = value
    config.pending.pop(key, None)
    for name, volid in drives.unused(config.options).items():
        if drives.is_key("qemu", key) and drives.parse("qemu", key, value).volume == volid:
            del config.options[name]


def _set(config: Config, key: str, value: str, *, running: bool) -> None:
    config.doomed = [name for name in config.doomed if name != key]
    if running and config.options.get(key) == value:
        config.pending.pop(key, None)
    elif running and not _hotpluggable(config, key) and not _changes_medium(config, key, value):
        config.pending[key] = value
    else:
        _set_now(config, key, value)


def _apply(guest: Guest, params: dict[str, Any], wanted: dict[str, str]) -> None:
    config = conf.load(guest)
    if params.get("digest") and params["digest"] != conf.digest(config):
        raise die("checksum mismatch (file change by other user?)")
    if not params.get("skiplock"):
        conf.check_lock(guest, config)
    running = state.is_running(guest)
    for key in parameters.split(params.get("revert")):
        config.revert(key)
    for key in parameters.split(params.get("delete")):
        _delete(config, key, running=running)
    for drive in list(drives.drives("qemu", wanted)):
        wanted[drive.key] = drives.make(drive, guest.vmid).text()
    if "boot" in wanted:
        options.check_boot(wanted["boot"], {**config.wanted(), **wanted})
    for key, value in wanted.items():
        _set(config, key, value, running=running)
    conf.save(guest, config)
    if running and any(_is_card(key) for key in (*wanted, *parameters.split(params.get("delete")))):
        state.plug(guest, config.options)


def _check_request(ctx: Context, wanted: dict[str, str]) -> None:
    doomed, reverted = parameters.split(ctx.params.get("delete")), parameters.split(ctx.params.get("revert"))
    if not wanted and not doomed and not reverted:
        raise die("no options specified")
    for key in doomed:
        if key in wanted:
            raise parameter_error({"delete": f"you can't use '-{key}' and -delete {key}' at the same time"})
    ctx.root_only("skiplock")


def _keep_macs(guest: Guest, ctx: Context, wanted: dict[str, str]) -> None:
    """A changed network device that names no address keeps the one it has."""
    current = conf.load(guest).wanted()
    for key in [name for name in wanted if re.fullmatch(r"net\d+", name)]:
        if not re.search(r"(?i)[0-9a-f]{2}(:[0-9a-f]{2}){5}", str(ctx.params[key])) and key in current:
            old = current[key].partition(",")[0].partition("=")[2]
            model, _, rest = wanted[key].partition(",")
            wanted[key] = f"{model.partition('=')[0]}={old}" + (f",{rest}" if rest else "")


def update(ctx: Context) -> None:
    """PUT config: change options."""
    guest = registry.require_local("qemu", int(ctx.params["vmid"]))
    wanted = parameters.given("qemu", ctx.params)
    _check_request(ctx, wanted)
    doomed = dict.fromkeys(parameters.split(ctx.params.get("delete")), "")
    options.check_privileges(ctx, guest.vmid, {**wanted, **doomed})
    for drive in list(drives.drives("qemu", wanted)):
        wanted[drive.key] = check_drive(ctx, drive, None).text()
    _keep_macs(guest, ctx, wanted)
    ctx.require_quorum()
    with locked("qemu", guest.vmid):
        _apply(guest, ctx.params, wanted)
