"""Changing the options of a container, and growing its volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab import sizes
from pvelab.errors import die
from pvelab.guests import conf, drives, parameters, registry, state
from pvelab.guests.locking import locked
from pvelab.guests.lxc import options
from pvelab.storage import images

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.guests.conf import Config
    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log

# What a running container takes only at its next start.
_WAITS = frozenset(("hostname", "features", "arch", "ostype", "cmode", "console", "tty", "unprivileged", "rootfs"))
_FIXED = frozenset(("unprivileged", "ostype", "arch"))


def _delete(config: Config, key: str, *, running: bool) -> None:
    if key in ("rootfs", *_FIXED):
        raise die(f"unable to delete required option '{key}'")
    config.pending.pop(key, None)
    if key not in config.options:
        return
    if running and key in _WAITS:
        config.doomed = [*config.doomed, key]
        return
    value = config.options.pop(key)
    if drives.is_key("lxc", key):
        config.options[drives.next_unused(config.options)] = drives.parse("lxc", key, value).volume
    elif key.startswith("unused"):
        images.free(value)


def _set(guest: Guest, config: Config, key: str, value: str, *, running: bool) -> None:
    if key == "unprivileged" and config.options.get(key, "0") != value:
        raise die(f"unable to modify read-only option: '{key}'")
    if drives.is_key("lxc", key):
        value = drives.make(drives.parse("lxc", key, value), guest.vmid).text()
    if running and key in _WAITS and config.options.get(key) != value:
        config.pending[key] = value
    else:
        config.options[key] = value
        config.pending.pop(key, None)


def update(ctx: Context) -> None:
    """PUT config: change options."""
    guest = registry.require_local("lxc", int(ctx.params["vmid"]))
    wanted, doomed = parameters.given("lxc", ctx.params), parameters.split(ctx.params.get("delete"))
    reverted = parameters.split(ctx.params.get("revert"))
    if not wanted and not doomed and not reverted:
        raise die("no options specified")
    options.check_privileges(ctx, guest.vmid, {**wanted, **dict.fromkeys(doomed, "")})
    for mount in list(drives.drives("lxc", wanted)):
        wanted[mount.key] = (drives.placed(ctx, mount, "local") or mount).text()
    ctx.require_quorum()
    with locked("lxc", guest.vmid):
        config = conf.load(guest)
        if ctx.params.get("digest") and ctx.params["digest"] != conf.digest(config):
            raise die("detected modified configuration - file changed by other user? Try again.")
        conf.check_lock(guest, config)
        running = state.is_running(guest)
        for key in reverted:
            config.revert(key)
        for key in doomed:
            _delete(config, key, running=running)
        for key, value in wanted.items():
            _set(guest, config, key, value, running=running)
        conf.save(guest, config)


def _resize(guest: Guest, key: str, text: str, log: Log) -> None:
    with locked("lxc", guest.vmid):
        config = conf.load(guest)
        conf.check_lock(guest, config)
        mount = drives.parse("lxc", key, config.options[key])
        size = _new_size(text, images.size(mount.volume))
        images.resize(mount.volume, size)
        config.options[key] = mount.with_volume(mount.volume, size=sizes.render(size)).text()
        conf.save(guest, config)
        log(f"resized volume '{mount.volume}'")


def _new_size(text: str, current: int) -> int:
    wanted = sizes.parse(text.removeprefix("+")) + (current if text.startswith("+") else 0)
    if wanted < current:
        raise die("unable to shrink disk size")
    if wanted == current:
        raise die("disk is already at specified size")
    return wanted


def resize(ctx: Context) -> str:
    """PUT resize: grow a volume."""
    guest = registry.require_local("lxc", int(ctx.params["vmid"]))
    key, text = ctx.params["disk"], ctx.params["size"]
    if key not in conf.load(guest).options:
        raise die(f"disk '{key}' does not exist")
    ctx.require_quorum()
    return ctx.start_task("resize", str(guest.vmid), lambda log: _resize(guest, key, text, log))
