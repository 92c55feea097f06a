"""/nodes: the members and their state."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pvelab import cfs, hostinfo
from pvelab.api.routes.version import version
from pvelab.paths import path

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


def command(ctx: Context) -> None:
    """Reboot or switch off the node."""
    verb = {"reboot": "reboot", "shutdown": "poweroff"}[ctx.params["command"]]
    subprocess.run(["systemd-run", "--on-active=1", "systemctl", verb], check=True, capture_output=True)


def clock(_ctx: Context) -> dict[str, Any]:
    """The node's clock and time zone."""
    zone = path("/etc/timezone")
    link = path("/etc/localtime")
    named = (
        zone.read_text().strip() if zone.exists() else "/".join(link.resolve().parts[-2:]) if link.exists() else "UTC"
    )
    now = int(time.time())
    return {"time": now, "localtime": now + time.localtime().tm_gmtoff, "timezone": named.removeprefix("zoneinfo/")}


def dns(_ctx: Context) -> dict[str, str]:
    """The node's name servers and search domain."""
    shown: dict[str, str] = {}
    servers = 0
    for line in Path(path("/etc/resolv.conf")).read_text().splitlines():
        key, _, value = line.strip().partition(" ")
        if key in ("search", "domain"):
            shown["search"] = value.strip()
        elif key == "nameserver":
            servers += 1
            shown[f"dns{servers}"] = value.strip()
    return shown


def node_version(ctx: Context) -> dict[str, str]:
    """The node's release."""
    return version(ctx)


ROUTES: list[Route] = [
    ("GET", "/nodes", listing),
    ("GET", f"{_NODE}/status", status),
    ("POST", f"{_NODE}/status", command),
    ("GET", f"{_NODE}/time", clock),
    ("GET", f"{_NODE}/dns", dns),
    ("GET", f"{_NODE}/version", node_version),
]
