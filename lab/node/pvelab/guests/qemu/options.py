"""Options of a virtual machine: who may set them, and what they are by default."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING

from pvelab.errors import PveError, parameter_error
from pvelab.guests import drives, parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.api.context import Context

QEMU_VERSION = "10.1.2"
_ROOT_ONLY = frozenset(("args", "hookscript", "affinity", "arch", "parallel", "ivshmem", "lock", "amd-sev", "rng0"))
_PRIVILEGES = {
    "VM.Config.CPU": "cores sockets vcpus cpu cpulimit cpuunits numa smp",
    "VM.Config.Memory": "memory balloon shares hugepages keephugepages",
    "VM.Config.Options": "name description onboot tags protection startup agent autostart reboot template"
    " bios keyboard localtime ostype startdate",
    "VM.Config.Disk": "boot bootdisk",
    "VM.Config.Cloudinit": "cicustom cipassword citype ciuser ciupgrade nameserver searchdomain sshkeys",
}
_BY_OPTION = {option: privilege for privilege, options in _PRIVILEGES.items() for option in options.split()}


def privilege(key: str, value: str) -> str | None:
    """The privilege that an option needs; None when it is root's alone."""
    if key in _ROOT_ONLY:
        return None
    if drives.is_key("qemu", key) or key.startswith("unused"):
        return "VM.Config.CDROM" if "media=cdrom" in value else "VM.Config.Disk"
    numbered = {"net": "VM.Config.Network", "ipconfig": "VM.Config.Cloudinit"}.get(key.rstrip("0123456789"))
    return numbered or _BY_OPTION.get(key, "VM.Config.HWType")


def check_privileges(ctx: Context, vmid: int, options: Mapping[str, str]) -> None:
    """Refuse options that the caller may not set."""
    for key in sorted(options):
        wanted = privilege(key, options[key])
        if wanted is None:
            if ctx.user != "root@pam":
                raise PveError(500, f"only root can set '{key}' config")
        else:
            ctx.require(f"/vms/{vmid}", wanted)
            parameters.require_bridge(ctx, key, options[key])


def identity() -> dict[str, str]:
    """What every new machine gets."""
    return {
        "meta": f"creation-qemu={QEMU_VERSION},ctime={int(time.time())}",
        "smbios1": f"uuid={uuid.uuid4()}",
        "vmgenid": str(uuid.uuid4()),
    }


def default_boot(options: Mapping[str, str]) -> str | None:
    """The boot order when none is given: first disk, first CD drive, first network device."""
    disks = [drive for drive in drives.drives("qemu", options) if drive.key not in ("efidisk0", "tpmstate0")]
    order = [drive.key for drive in disks if not drive.is_cdrom][:1]
    order += [drive.key for drive in disks if drive.is_cdrom][:1]
    order += sorted(key for key in options if re.fullmatch(r"net\d+", key))[:1]
    return f"order={';'.join(order)}" if order else None


def check_boot(boot: str, options: Mapping[str, str]) -> None:
    """Refuse a boot order that names a device the machine does not have."""
    order = boot.partition("order=")[2]
    for device in [item for item in order.split(";") if item]:
        if device not in options:
            raise parameter_error({"boot": f"invalid bootorder: device '{device}' does not exist'"})
