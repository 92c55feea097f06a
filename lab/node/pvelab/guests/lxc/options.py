"""Options of a container: who may set them, and what they are by default."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pvelab.errors import forbidden
from pvelab.guests import drives, parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.api.context import Context

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


def check_privileges(ctx: Context, vmid: int, wanted: Mapping[str, str]) -> None:
    """Refuse options that the caller may not set."""
    for key in sorted(wanted):
        if key == "features" and ctx.user != "root@pam" and wanted[key] not in ("", "nesting=1"):
            raise forbidden("changing feature flags (except nesting) is only allowed for root@pam")
        ctx.require(f"/vms/{vmid}", privilege(key))
        parameters.require_bridge(ctx, key, wanted[key])


def os_type(template: str) -> str:
    """The operating system that a template's name gives: "debian-13-standard_…" is "debian"."""
    name = template.rpartition("/")[2].partition("-")[0].lower()
    known = ("debian", "devuan", "ubuntu", "centos", "fedora", "opensuse", "archlinux", "alpine", "gentoo", "nixos")
    return name if name in known else "unmanaged"
