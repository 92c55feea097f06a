"""Making a container from a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab.errors import PveError, die
from pvelab.guests import conf, drives, parameters, power, volumes
from pvelab.guests.conf import Config
from pvelab.guests.locking import locked
from pvelab.guests.lxc import options
from pvelab.guests.registry import Guest
from pvelab.guests.reservation import refuse_pool, reserve
from pvelab.storage import activation, layout

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.tasks import Log

DEFAULT_ROOT_GIB = 4


def check_template(template: str) -> None:
    """Refuse a template that is not there.

    Raises:
        PveError: its storage cannot be used, or the file does not exist.
    """
    volume = layout.parse(template)
    if volume.type != "vztmpl":
        raise die(f"unable to use volume {template} - content type needs to be 'vztmpl'")
    activation.activate(volume.storage.id)
    if not volume.file.exists():
        raise die(f"volume '{template}' does not exist")


def _wanted(ctx: Context, vmid: int) -> dict[str, str]:
    params: dict[str, Any] = ctx.params
    wanted = parameters.given("lxc", params)
    default_storage = params.get("storage") or "local"
    wanted.setdefault("rootfs", f"{default_storage}:{DEFAULT_ROOT_GIB}")
    for mount in list(drives.drives("lxc", wanted)):
        wanted[mount.key] = (drives.placed(ctx, mount, default_storage) or mount).text()
    defaults = {"arch": "amd64", "ostype": options.os_type(params["ostemplate"]), "hostname": f"CT{vmid}"}
    return {**defaults, "memory": "512", "swap": "512", **wanted}


def _create(guest: Guest, wanted: dict[str, str], log: Log) -> None:
    with volumes.removed_on_failure(guest) as made:
        conf.save(guest, Config({**wanted, **volumes.make(guest, wanted, made)}))
    log("extracting archive")
    log(f"Detected container architecture: {wanted['arch']}")


def create(ctx: Context) -> str:
    """POST /nodes/{node}/lxc: a new container; the task makes its volumes."""
    guest = Guest(int(ctx.params["vmid"]), "lxc", ctx.node)
    if ctx.params.get("restore"):
        raise PveError(501, "restoring an archive is not implemented")
    refuse_pool(ctx.params.get("pool"))
    ctx.require(f"/vms/{guest.vmid}", "VM.Allocate")
    check_template(ctx.params["ostemplate"])
    wanted = _wanted(ctx, guest.vmid)
    options.check_privileges(ctx, guest.vmid, parameters.given("lxc", ctx.params))
    ctx.require_quorum()
    reserve(guest)

    def work(log: Log) -> None:
        with locked("lxc", guest.vmid):
            _create(guest, wanted, log)
        if ctx.params.get("start"):
            power.start(guest, log)

    return ctx.start_task("vzcreate", str(guest.vmid), work)
