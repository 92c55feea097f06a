"""Options of a container as Proxmox writes them, and who may set them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pvelab.api.errors import forbidden
from pvelab.guests import drives, nics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.api.context import Context

CONTROL = frozenset(
    (
        *("node", "vmid", "ostemplate", "password", "storage", "force", "restore", "pool", "bwlimit", "start"),
        *("ssh-public-keys", "ignore-unpack-errors", "unique", "ha-managed", "digest", "delete", "revert"),
    )
)
_PRIVILEGES = {
    **dict.fromkeys(("memory", "swap"), "VM.Config.Memory"),
    **dict.fromkeys(("cores", "cpulimit", "cpuunits"), "VM.Config.CPU"),
    **dict.fromkeys(("nameserver", "searchdomain", "hostname"), "VM.Config.Network"),
}


def privilege(key: str) -> str:
    """The privilege that an option needs."""
    if drives.is_key("lxc", key) or key.startswith("unused"):
        return "VM.Config.Disk"
    if re.fullmatch(r"net\d+", key):
        return "VM.Config.Network"
    return _PRIVILEGES.get(key, "VM.Config.Options")


def check_privileges(ctx: Context, vmid: int, wanted: Mapping[str, str], pool: str | None = None) -> None:
    """Refuse options that the caller may not set."""
    for key in sorted(wanted):
        if key == "features" and ctx.user != "root@pam" and wanted[key] not in ("", "nesting=1"):
            raise forbidden("changing feature flags (except nesting) is only allowed for root@pam")
        needed = privilege(key)
        if not (pool and ctx.allowed(f"/pool/{pool}", needed)):
            ctx.require(f"/vms/{vmid}", needed)


def given(params: Mapping[str, Any]) -> dict[str, str]:
    """The options among a method's parameters, as they will be written."""
    return {key: normalize(key, str(value)) for key, value in params.items() if key not in CONTROL}


def normalize(key: str, value: str) -> str:
    """An option's value as Proxmox writes it."""
    if re.fullmatch(r"net\d+", key):
        return nics.normalize_lxc(value)
    if drives.is_key("lxc", key):
        return drives.parse("lxc", key, value).text()
    if key == "tags":
        return ";".join(sorted({tag for tag in re.split(r"[\s,;]+", value) if tag}))
    return value


def os_type(template: str) -> str:
    """The operating system that a template's name tells: "debian-13-standard_…" is "debian"."""
    name = template.rpartition("/")[2].partition("-")[0].lower()
    known = ("debian", "devuan", "ubuntu", "centos", "fedora", "opensuse", "archlinux", "alpine", "gentoo", "nixos")
    return name if name in known else "unmanaged"
