"""Copies of virtual machines: what a copy takes over, and its drives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pvelab.errors import die
from pvelab.guests import conf, drives, nics, state, volumes
from pvelab.storage import images, layout

if TYPE_CHECKING:
    from pvelab.guests.conf import Config
    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log

# A clone only looks whether somebody changes its source right now.
SOURCE_LOCK_WAIT_S = 1.0
_NOT_COPIED = frozenset(
    (
        *("snapshots", "parent", "snaptime", "vmstate", "snapstate", "lock", "template"),
        *("runningcpu", "runningmachine", "running-nets-host-mtu"),
    )
)


def check_convertible(guest: Guest, config: Config) -> None:
    """Refuse to make a template of a machine that has snapshots, is one or runs."""
    if config.snapshots:
        raise die("unable to create template, because VM contains snapshots")
    if config.is_template:
        raise die("you can't convert a template to a template")
    if state.is_running(guest):
        raise die("you can't convert a VM to template if VM is running")


def new_options(source: Guest, config: Config, params: dict[str, Any]) -> dict[str, str]:
    """The options of a copy, its drives still those of its source."""
    copied = {}
    for key, value in config.options.items():
        if key not in _NOT_COPIED and not key.startswith("unused"):
            is_nic = re.fullmatch(r"net\d+", key)
            copied[key] = nics.normalize_machine(value, fresh_mac=True) if is_nic else value
    copied["name"] = params.get("name") or f"Copy-of-VM-{config.options.get('name', source.vmid)}"
    copied.pop("description", None)
    if params.get("description"):
        copied["description"] = str(params["description"])
    return copied


def _copy_drive(drive: drives.Drive, vmid: int, params: dict[str, Any], log: Log, *, full: bool) -> drives.Drive:
    """The drive of a clone: the same CD, a linked volume, or a full copy."""
    if drive.is_cdrom and not drive.is_cloud_init:
        return drive
    if full or drive.is_cloud_init or not layout.parse(drive.volume).is_base:
        log(f"create full clone of drive {drive.key} ({drive.volume})")
        storage = params.get("storage") or layout.parse(drive.volume).storage.id
        return drive.with_volume(images.copy(drive.volume, storage, vmid, params.get("format")))
    log(f"create linked clone of drive {drive.key} ({drive.volume})")
    return drive.with_volume(images.clone_linked(drive.volume, vmid))


def copy_drives(new: Guest, config: Config, params: dict[str, Any], log: Log, *, full: bool) -> None:
    """Give a copy, whose configuration names its source's drives, drives of its own, and unlock it.

    Raises:
        PveError: a drive cannot be copied; then nothing of the copy is left.
    """
    try:
        with volumes.removed_on_failure(new) as made:
            for drive in drives.drives("qemu", config.options):
                copied = _copy_drive(drive, new.vmid, params, log, full=full)
                if copied.volume != drive.volume:
                    made.append(copied.volume)
                config.options[drive.key] = copied.text()
            del config.options["lock"]
            conf.save(new, config)
    except Exception as error:
        raise die(f"clone failed: {getattr(error, 'message', error)}") from error
