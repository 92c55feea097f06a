"""/nodes/{node}/apt: repositories and updates."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

from pvelab import packages, sources
from pvelab.errors import die

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route
    from pvelab.tasks import Log

_REPOSITORIES = "/nodes/{node}/apt/repositories"
_UPGRADE = re.compile(r"Inst (\S+) (?:\[(\S+)\] )?\((\S+) ([^)]*?)\s*\[(\S+)\]\)")
_PROXMOX_PACKAGES = ("proxmox-ve", "proxmox-kernel-*", "pve-*", "qemu-server", "corosync", "ifupdown2", "libpve-*")


def repositories(_ctx: Context) -> dict[str, Any]:
    """All repositories, and which of the standard ones are on."""
    return sources.view()


def set_enabled(ctx: Context) -> None:
    """Switch a repository on or off."""
    sources.check_digest(ctx.params.get("digest"))
    if "enabled" in ctx.params:
        sources.set_enabled(ctx.params["path"], int(ctx.params["index"]), enabled=bool(ctx.params["enabled"]))


def add(ctx: Context) -> None:
    """Add a standard repository."""
    sources.check_digest(ctx.params.get("digest"))
    sources.add(ctx.params["handle"])


def _refresh(log: Log) -> None:
    command = ["apt-get", "update", "-o", "APT::Update::Error-Mode=any"]
    log("starting apt-get update")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in (done.stdout + done.stderr).splitlines():
        log(line)
    if done.returncode:
        raise die(f"command 'apt-get update' failed: exit code {done.returncode}")


def refresh(ctx: Context) -> str:
    """Read the package lists anew."""
    return ctx.start_task("aptupdate", "", _refresh)


def updates(_ctx: Context) -> list[dict[str, Any]]:
    """What a dist-upgrade would bring."""
    command = ["apt-get", "--simulate", "--quiet", "dist-upgrade"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [
        {
            "Package": found[1],
            "OldVersion": found[2] or "",
            "Version": found[3],
            "Origin": found[4],
            "Arch": found[5],
            "Title": found[1],
            "Priority": "optional",
            "Section": "admin",
            "Description": "",
        }
        for found in _UPGRADE.finditer(done.stdout)
    ]


def versions(_ctx: Context) -> list[dict[str, Any]]:
    """The installed packages of Proxmox."""
    found: dict[str, str] = {}
    for pattern in _PROXMOX_PACKAGES:
        found |= packages.installed(pattern)
    kernel = packages.running_kernel()
    extra = {"proxmox-ve": {"RunningKernel": kernel}, "pve-manager": {"ManagerVersion": packages.manager_version()[0]}}
    return [
        {"Package": name, "OldVersion": version, "Version": version, "CurrentState": "Installed", **extra.get(name, {})}
        for name, version in sorted(found.items())
    ]


ROUTES: list[Route] = [
    ("GET", _REPOSITORIES, repositories),
    ("POST", _REPOSITORIES, set_enabled),
    ("PUT", _REPOSITORIES, add),
    ("GET", "/nodes/{node}/apt/update", updates),
    ("POST", "/nodes/{node}/apt/update", refresh),
    ("GET", "/nodes/{node}/apt/versions", versions),
]
