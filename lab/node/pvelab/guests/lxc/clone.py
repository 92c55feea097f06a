"""Templates, and copies of containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab import cfs
from pvelab.errors import die
from pvelab.guests import conf, copying, drives, registry, state
from pvelab.guests.conf import Config
from pvelab.guests.locking import locked
from pvelab.guests.registry import Guest
from pvelab.guests.reservation import check_pool, join_pool, reserve
from pvelab.storage import images, layout

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.tasks import Log


def template(ctx: Context) -> None:
    """POST template: make the container's volumes the base of clones."""
    guest = registry.require_local("lxc", int(ctx.params["vmid"]))
    ctx.require_quorum()
    with locked("lxc", guest.vmid):
        config = conf.load(guest)
        conf.check_lock(guest, config)
        copying.check_convertible(guest, config)
        for mount in list(drives.drives("lxc", config.options)):
            if mount.has_volume:
                config.options[mount.key] = mount.with_volume(images.to_base(mount.volume)).text()
        config.options["template"] = "1"
        conf.save(guest, config)


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
    reserve(new)

    def work(log: Log) -> None:
        with locked("lxc", source.vmid, shared=True, wait_s=copying.SOURCE_LOCK_WAIT_S):
            options = copying.new_options(source, conf.load(source), params)
            copying.copy_drives(new, Config({**options, "lock": "create"}), params, log, full=full)
        join_pool(params.get("pool"), new.vmid)
        if target not in (None, ctx.node):
            conf.move(new, target)

    return ctx.start_task("vzclone", str(source.vmid), work)
