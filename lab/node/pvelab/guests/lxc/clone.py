"""Templates, and copies of containers."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.api.errors import PveError, die
from pvelab.guests import conf, drives, nics, registry, state
from pvelab.guests.conf import Config
from pvelab.guests.locking import locked
from pvelab.guests.qemu.clone import SOURCE_LOCK_WAIT_S, copy_drive, move_config
from pvelab.guests.registry import Guest
from pvelab.guests.reservation import check_pool, join_pool, reserve
from pvelab.storage import images, layout

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.tasks import Log

_NOT_COPIED = frozenset(("snapshots", "parent", "snaptime", "snapstate", "lock", "template"))


def template(ctx: Context) -> None:
    """POST template: make the container's volumes the base of clones."""
    guest = registry.require_local("lxc", int(ctx.params["vmid"]))
    ctx.require_quorum()
    with locked("lxc", guest.vmid):
        config = conf.load(guest)
        conf.check_lock(guest, config)
        if config.snapshots:
            raise die("unable to create template, because CT contains snapshots")
        if config.is_template:
            raise die("you can't convert a template to a template")
        if state.is_running(guest):
            raise die("you can't convert a CT to template if the CT is running")
        for mount in list(drives.drives("lxc", config.options)):
            if mount.has_volume:
                config.options[mount.key] = mount.with_volume(images.to_base(mount.volume)).text()
        config.options["template"] = "1"
        conf.save(guest, config)


def _new_options(source: Config, params: dict[str, Any]) -> dict[str, str]:
    copied = {}
    for key, value in source.options.items():
        if key in _NOT_COPIED or key.startswith("unused"):
            continue
        copied[key] = nics.normalize("lxc", value, fresh_mac=True) if re.fullmatch(r"net\d+", key) else value
    copied["hostname"] = params.get("hostname") or f"Copy-of-CT-{source.options.get('hostname', params['vmid'])}"
    copied.pop("description", None)
    if params.get("description"):
        copied["description"] = str(params["description"])
    return copied


def _copy(source: Guest, new: Guest, params: dict[str, Any], log: Log, *, full: bool) -> None:
    config = conf.load(source)
    result = Config({**_new_options(config, params), "lock": "create"})
    made: list[str] = []
    try:
        for mount in drives.drives("lxc", config.options):
            copied = copy_drive(mount, new.vmid, params, log, full=full)
            made.append(copied.volume)
            result.options[mount.key] = copied.text()
        del result.options["lock"]
        conf.save(new, result)
    except Exception as error:
        for volid in made:
            with contextlib.suppress(PveError):
                images.free(volid)
        new.file.unlink(missing_ok=True)
        raise die(f"clone failed: {getattr(error, 'message', error)}") from error


def clone(ctx: Context) -> str:
    """POST clone: a copy of a container; of a template a linked one unless `full` is asked for."""
    params = ctx.params
    source = registry.require_local("lxc", int(params["vmid"]))
    new, target = Guest(int(params["newid"]), "lxc", ctx.node), params.get("target")
    check_pool(params.get("pool"))
    config = conf.load(source)
    conf.check_lock(source, config)
    if state.is_running(source):
        raise die("Full clone of a running container is only possible from a snapshot")
    full = bool(params.get("full")) or not config.is_template
    if target not in (None, ctx.node):
        cfs.node_address(target)
        for mount in drives.drives("lxc", config.options):
            if mount.has_volume and not layout.parse(mount.volume).storage.shared:
                raise die(f"can't clone to non-shared storage '{layout.parse(mount.volume).storage.id}'")
    ctx.require_quorum()
    reserve(new, f"unable to create CT {new.vmid} -")

    def work(log: Log) -> None:
        with locked("lxc", source.vmid, shared=True, wait_s=SOURCE_LOCK_WAIT_S):
            _copy(source, new, params, log, full=full)
        join_pool(params.get("pool"), new.vmid)
        if target not in (None, ctx.node):
            move_config(new, target)

    return ctx.start_task("vzclone", str(source.vmid), work)
