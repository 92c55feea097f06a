"""/storage: the cluster's storages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab import cfs, sections
from pvelab.apischema import schema
from pvelab.errors import PveError, die
from pvelab.storage import activation, config, nfs
from pvelab.storage.types import TYPES

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route

_ONE = "/storage/{storage}"


def _typed(name: str, text: str) -> Any:  # noqa: ANN401 - JSON value
    """An option as JSON: the schema says which are numbers."""
    properties = schema.load().paths["/storage"]["POST"]["parameters"]["properties"]
    kind = properties.get(name, {}).get("type")
    return int(text) if kind in ("boolean", "integer") else text


def _view(storage: config.Storage) -> dict[str, Any]:
    options = {name: _typed(name, text) for name, text in storage.options.items()}
    if storage.shared:
        options["shared"] = 1
    default = {"path": storage.base_path} if storage.is_file_based else {}
    content = ",".join(storage.content) or "none"
    return {
        **default,
        **options,
        "content": content,
        "storage": storage.id,
        "type": storage.type,
        "digest": config.digest(),
    }


def _visible(ctx: Context, name: str) -> bool:
    return any(ctx.allowed(f"/storage/{name}", item) for item in ("Datastore.Audit", "Datastore.AllocateSpace"))


def listing(ctx: Context) -> list[dict[str, Any]]:
    """All storages the caller may see."""
    wanted = ctx.params.get("type")
    return [_view(s) for s in config.load().values() if _visible(ctx, s.id) and wanted in (None, s.type)]


def read(ctx: Context) -> dict[str, Any]:
    """One storage."""
    return _view(config.find(ctx.params["storage"]))


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _options(ctx: Context) -> dict[str, str]:
    skip = {"storage", "type", "digest", "delete"}
    return {name: _text(value) for name, value in ctx.params.items() if name not in skip and _text(value) != ""}


def _clean_content(kind: str, options: dict[str, str]) -> None:
    if "content" not in options:
        return
    valid = TYPES[kind].content
    wanted = [item for item in options["content"].replace(";", ",").split(",") if item in valid]
    if not wanted and "none" not in valid:
        raise die("storage does not support content type 'none'")
    options["content"] = ",".join(wanted) or "none"


def _check_options(kind: str, options: dict[str, str], *, create: bool) -> None:
    known = TYPES[kind]
    for name in options:
        if name not in known.options:
            raise die(f"unexpected property '{name}'")
        if name in known.fixed and not create:
            raise die(f"can't change value of fixed parameter '{name}'")
    for name in known.required:
        if create and name not in options:
            raise die(f"missing value for required option '{name}'")
    _clean_content(kind, options)


def create(ctx: Context) -> dict[str, str]:
    """A new storage; it must be usable on this node now, unless it is not for this node."""
    name, kind = ctx.params["storage"], ctx.params["type"]
    if kind not in TYPES:
        raise PveError(501, f"storages of type '{kind}' are not implemented")
    options = _options(ctx)
    if kind == "nfs":
        options.setdefault("path", f"/mnt/pve/{name}")
    _check_options(kind, options, create=True)
    with config.change() as found:
        if name in found and cfs.read(config.FILE).find(f": {name}\n") >= 0:
            raise die(f"create storage failed: storage ID '{name}' already defined")
        found[name] = sections.Section(kind, name, options)
    try:
        if config.find(name).enabled_on(ctx.node):
            activation.activate(name)
    except Exception:
        with config.change() as found:
            found.pop(name, None)
        raise
    return {"storage": name, "type": kind}


def update(ctx: Context) -> dict[str, str]:
    """Change a storage's options."""
    name = ctx.params["storage"]
    storage = config.find(name)
    options = _options(ctx)
    _check_options(storage.type, options, create=False)
    known = TYPES[storage.type]
    with config.change() as found:
        for option in [item for item in str(ctx.params.get("delete", "")).replace(";", ",").split(",") if item]:
            if option not in known.options:
                raise die(f"update storage failed: no such option '{option}'")
            if option in known.fixed:
                raise die(f"unable to delete {'required' if option in known.required else 'fixed'} option '{option}'")
            found[name].options.pop(option, None)
        found[name].options.update(options)
    return {"storage": name, "type": storage.type}


def delete(ctx: Context) -> None:
    """Remove a storage from the configuration; what lies on it stays."""
    name = ctx.params["storage"]
    storage = config.find(name)
    with config.change() as found:
        found.pop(name, None)
    if storage.type == "nfs":
        nfs.unmount(storage.base_path)


ROUTES: list[Route] = [
    ("GET", "/storage", listing),
    ("POST", "/storage", create),
    ("GET", _ONE, read),
    ("PUT", _ONE, update),
    ("DELETE", _ONE, delete),
]
