"""/nodes/{node}/network: the node's interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab.errors import parameter_error
from pvelab.network import fields, pending

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route
    from pvelab.network.interfaces import ConfiguredInterface, Interfaces

_ALL = "/nodes/{node}/network"
_ONE = f"{_ALL}/{{iface}}"
_BRIDGES = ("any_bridge", "any_local_bridge", "include_sdn")


def _existing(found: Interfaces, name: str) -> ConfiguredInterface:
    if name not in found.by_name:
        raise parameter_error({"iface": "interface does not exist"})
    return found.by_name[name]


def listing(ctx: Context) -> list[dict[str, Any]]:
    """The interfaces, with what waits for a reload."""
    wanted = ctx.params.get("type")
    kinds = None if wanted is None else ("bridge",) if wanted in _BRIDGES else (wanted,)
    return [item for item in fields.views(pending.load()) if kinds is None or item["type"] in kinds]


def read(ctx: Context) -> dict[str, Any]:
    """One interface."""
    found = pending.load()
    interface = _existing(found, ctx.params["iface"])
    return fields.view(interface, list(found.by_name).index(interface.name))


def create(ctx: Context) -> None:
    """A new interface, which waits for a reload."""
    with pending.change() as found:
        if ctx.params["iface"] in found.by_name:
            raise parameter_error({"iface": "interface already exists"})
        fields.apply(found, found.at(ctx.params["iface"]), ctx.params)


def update(ctx: Context) -> None:
    """Change an interface; the change waits for a reload."""
    with pending.change() as found:
        interface = _existing(found, ctx.params["iface"])
        doomed = [name for name in str(ctx.params.get("delete", "")).replace(";", ",").split(",") if name]
        fields.delete_fields(interface, doomed)
        fields.apply(found, interface, ctx.params)


def delete(ctx: Context) -> None:
    """Remove an interface, at the next reload."""
    with pending.change() as found:
        _existing(found, ctx.params["iface"])
        del found.by_name[ctx.params["iface"]]


def revert(_ctx: Context) -> None:
    """Forget the changes that wait."""
    pending.revert()


def reload(ctx: Context) -> str:
    """Bring up what waits."""
    pending.check_reloadable()
    return ctx.start_task("srvreload", "networking", pending.reload)


ROUTES: list[Route] = [
    ("GET", _ALL, listing),
    ("POST", _ALL, create),
    ("PUT", _ALL, reload),
    ("DELETE", _ALL, revert),
    ("GET", _ONE, read),
    ("PUT", _ONE, update),
    ("DELETE", _ONE, delete),
]
