"""/nodes/{node}/storage: what a node's storages hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab.errors import PveError, forbidden, parameter_error
from pvelab.storage import activation, config, images, layout, listing, transfer

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route
    from pvelab.storage.layout import Volume
    from pvelab.tasks import Log

_STORAGE = "/nodes/{node}/storage/{storage}"
_VOLUME = f"{_STORAGE}/content/{{volume}}"


def _visible(ctx: Context, name: str) -> bool:
    return any(ctx.allowed(f"/storage/{name}", item) for item in ("Datastore.Audit", "Datastore.AllocateSpace"))


def storages(ctx: Context) -> list[dict[str, Any]]:
    """The storages of the node with their state; one that is asked for must be usable there (PVE::API2::Storage::Status)."""
    wanted = {item for item in str(ctx.params.get("content", "")).split(",") if item}
    usable = [
        one for one in config.load().values() if one.enabled_on(ctx.node) and (not wanted or wanted & set(one.content))
    ]
    if (name := ctx.params.get("storage")) is not None:
        usable = [one for one in usable if one.id == name]
        if not usable:
            raise parameter_error({"storage": "No such storage."})
    found = []
    for storage in usable:
        if not _visible(ctx, storage.id):
            continue
        item = {"storage": storage.id, **activation.status(storage, ctx.node)}
        if item["total"]:
            item["used_fraction"] = item["used"] / item["total"]
        found.append(item)
    return found


def status(ctx: Context) -> dict[str, Any]:
    """One storage's state on the node."""
    if ctx.params["storage"] not in config.load():
        raise parameter_error({"storage": "No such storage."})
    return activation.status(config.find(ctx.params["storage"]), ctx.node)


def contents(ctx: Context) -> list[dict[str, Any]]:
    """The volumes of a storage that the caller may see."""
    name = ctx.params["storage"]
    found = listing.contents(name, ctx.params.get("content"), ctx.params.get("vmid"))
    return [item for item in found if _may_see(ctx, layout.parse(item["volid"]))]


def _may_see(ctx: Context, volume: Volume) -> bool:
    try:
        _check_access(ctx, volume)
    except PveError:
        return False
    return True


def _check_access(ctx: Context, volume: Volume) -> None:
    where = f"/storage/{volume.storage.id}"
    if ctx.allowed(where, "Datastore.Allocate"):
        return
    if volume.type in ("iso", "vztmpl", "import"):
        ctx.require(where, "Datastore.AllocateSpace", "Datastore.Audit", any_of=True)
    elif volume.owner is not None:
        ctx.require(where, "Datastore.Audit")
        ctx.require(f"/vms/{volume.owner}", "VM.Config.Disk")
    else:
        raise forbidden(f"{where}, Datastore.Allocate")


def _volume(ctx: Context) -> Volume:
    """The volume of the path, given with or without its storage."""
    name, storage = ctx.params["volume"], ctx.params["storage"]
    if ":" not in name:
        return layout.parse_name(config.find(storage), name)
    volume = layout.parse(name)
    if volume.storage.id != storage:
        raise parameter_error({"volume": f"storage ID mismatch ({storage} != {volume.storage.id})"})
    return volume


def information(ctx: Context) -> dict[str, Any]:
    """One volume."""
    volume = _volume(ctx)
    _check_access(ctx, volume)
    activation.activate(volume.storage.id)
    size = images.size(volume.volid)
    return {"path": volume.shown_path, "size": size, "used": size, "format": volume.format}


def delete(ctx: Context) -> str | None:
    """Remove a volume; answers at once or, when it takes longer than `delay`, with the task."""
    volume = _volume(ctx)
    ctx.require(f"/storage/{volume.storage.id}", "Datastore.Allocate")
    activation.activate(volume.storage.id)

    def work(log: Log) -> None:
        images.free(volume.volid)
        log(f"Removed volume '{volume.volid}'")

    owner = f"{volume.owner}@" if volume.owner is not None else ""
    return ctx.start_task("imgdel", f"{owner}{volume.storage.id}", work)


def download(ctx: Context) -> str:
    """Fetch a URL to the storage."""
    storage = transfer.require_content(ctx.params["storage"], ctx.params["content"])
    target = transfer.destination(storage, ctx.params["content"], ctx.params["filename"])
    activation.activate(storage.id)
    return ctx.start_task("download", target.name, lambda log: transfer.download(ctx.params, log))


def url_metadata(ctx: Context) -> dict[str, Any]:
    """What a server says about a file."""
    return transfer.metadata(ctx.params["url"], verify_certificates=bool(ctx.params.get("verify-certificates", 1)))


ROUTES: list[Route] = [
    ("GET", "/nodes/{node}/storage", storages),
    ("GET", f"{_STORAGE}/status", status),
    ("GET", f"{_STORAGE}/content", contents),
    ("GET", _VOLUME, information),
    ("DELETE", _VOLUME, delete),
    ("POST", f"{_STORAGE}/download-url", download),
    ("GET", "/nodes/{node}/query-url-metadata", url_metadata),
]
