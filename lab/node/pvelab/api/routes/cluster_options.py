"""/cluster/options: datacenter.cfg."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab import cfs, propstring
from pvelab.apischema import schema

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route

FILE = "datacenter.cfg"
_PATH = "/cluster/options"


def _load() -> dict[str, str]:
    lines = [line.partition(":") for line in cfs.read(FILE).splitlines() if line.strip()]
    return {name.strip(): value.strip() for name, _, value in lines}


def _properties() -> dict[str, Any]:
    found: dict[str, Any] = schema.load().paths[_PATH]["PUT"]["parameters"]["properties"]
    return found


def _typed(kind: str | None, text: str) -> Any:  # noqa: ANN401 - JSON value
    return int(text) if kind in ("boolean", "integer") else text


def _view(name: str, text: str) -> Any:  # noqa: ANN401 - JSON value
    """An option as JSON: property strings come as objects."""
    described = _properties().get(name, {})
    inner = described.get("format")
    if not isinstance(inner, dict):
        return _typed(described.get("type"), text)
    default = next((key for key, item in inner.items() if item.get("default_key")), "")
    values = propstring.parse(text, default)
    return {key: _typed(inner.get(key, {}).get("type"), value) for key, value in values.items()}


def read(_ctx: Context) -> dict[str, Any]:
    """All options that are set, and the prefix of new MAC addresses."""
    options = {"mac_prefix": "BC:24:11", **_load()}
    return {name: _view(name, text) for name, text in options.items()}


def update(ctx: Context) -> None:
    """Set and delete options."""
    ctx.require("/", "Sys.Modify")
    ctx.require_quorum()
    with cfs.lock("file-datacenter_cfg"):
        options = _load()
        for name in str(ctx.params.get("delete", "")).replace(";", ",").split(","):
            options.pop(name.strip(), None)
        given = {name: value for name, value in ctx.params.items() if name != "delete"}
        options |= {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in given.items()}
        cfs.write(FILE, "".join(f"{name}: {value}\n" for name, value in sorted(options.items())))


ROUTES: list[Route] = [("GET", _PATH, read), ("PUT", _PATH, update)]
