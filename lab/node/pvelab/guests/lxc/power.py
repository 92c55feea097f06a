"""Starting and stopping a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab import machine
from pvelab.api.errors import die
from pvelab.guests import conf, drives, nics, state, views
from pvelab.guests.locking import locked
from pvelab.storage import activation, images, layout

if TYPE_CHECKING:
    from pathlib import Path

    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log


def _volumes(options: dict[str, str]) -> list[Path]:
    files = []
    for drive in drives.drives("lxc", options):
        if not drive.has_volume:
            continue
        volume = layout.parse(drive.volume)
        activation.activate(volume.storage.id)
        if not images.exists(drive.volume):
            raise die(f"volume '{drive.volume}' does not exist")
        files.append(volume.file)
    return files


def _check(guest: Guest, config: conf.Config, log: Log) -> None:
    available = machine.memory_mib()
    if available is not None and views.memory_mib(config) > available:
        raise die(f"startup for container '{guest.vmid}' failed")
    for key, value in sorted(config.options.items()):
        bridge = nics.bridge_of(value) if key.startswith("net") and key[3:].isdigit() else None
        if bridge and not nics.bridge_exists(bridge):
            log(f"bridge '{bridge}' does not exist")
            raise die(f"startup for container '{guest.vmid}' failed")


def start(guest: Guest, log: Log, *, skip_lock: bool = False) -> None:
    """Start a container on this node; changes that waited for this take effect.

    Raises:
        PveError: it is a template, locked, running, or cannot run here.
    """
    with locked("lxc", guest.vmid):
        config = conf.load(guest)
        if config.is_template:
            raise die("you can't start a CT if it's a template")
        if not skip_lock:
            conf.check_lock(guest, config)
        if state.is_running(guest):
            raise die(f"CT {guest.vmid} already running")
        if config.pending or config.doomed:
            config.apply_pending()
            conf.save(guest, config)
        files = _volumes(config.options)
        _check(guest, config, log)
        state.start(guest, f"/usr/bin/lxc-start -F -n {guest.vmid}", files, config.options)


def stop(guest: Guest, *, skip_lock: bool = False) -> None:
    """End a container; one that does not run is fine."""
    with locked("lxc", guest.vmid):
        if not skip_lock:
            conf.check_lock(guest, conf.load(guest))
        state.stop(guest)


def reboot(guest: Guest, log: Log) -> None:
    """Stop and start again."""
    if not state.is_running(guest):
        raise die(f"CT {guest.vmid} not running")
    stop(guest)
    start(guest, log)
