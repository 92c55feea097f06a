"""/nodes: the members and their state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab import cfs, hostinfo

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route

_NODE = "/nodes/{node}"


def entry(name: str, member: dict[str, Any], local: str) -> dict[str, Any]:
    """A member in lists; how loaded it is, only this node's own API knows."""
    online = bool(member.get("online"))
    shown: dict[str, Any] = {"node": name, "id": f"node/{name}", "type": "node", "level": ""}
    shown["status"] = ("online" if name in cfs.told() else "unknown") if online else "offline"
    found = hostinfo.fingerprint(name)
    if found:
        shown["ssl_fingerprint"] = found
    return {**shown, **hostinfo.usage()} if name == local else shown


def listing(ctx: Context) -> list[dict[str, Any]]:
    """All members."""
    return [entry(name, member, ctx.node) for name, member in sorted(cfs.members().items())]


def status(_ctx: Context) -> dict[str, Any]:
    """This node's state."""
    return hostinfo.status()


ROUTES: list[Route] = [
    ("GET", "/nodes", listing),
    ("GET", f"{_NODE}/status", status),
]
