"""Starting and stopping a guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab.errors import die
from pvelab.guests import conf, state
from pvelab.guests.locking import locked
from pvelab.guests.lxc import startup as container
from pvelab.guests.qemu import startup as machine

if TYPE_CHECKING:
    from pvelab.guests.conf import Config
    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log

_BRING_UP = {"qemu": machine.bring_up, "lxc": container.bring_up}


def _load_startable(guest: Guest, *, skip_lock: bool) -> Config:
    config = conf.load(guest)
    if config.is_template:
        raise die(f"you can't start a {'vm' if guest.kind == 'qemu' else 'CT'} if it's a template")
    if not skip_lock:
        conf.check_lock(guest, config)
    if state.is_running(guest):
        raise die(f"{guest.label} already running")
    return config


def start(guest: Guest, log: Log, *, skip_lock: bool = False) -> None:
    """Start a guest on this node; changes that waited for this take effect.

    Raises:
        PveError: it is a template, locked, running, or cannot run here.
    """
    with locked(guest.kind, guest.vmid):
        config = _load_startable(guest, skip_lock=skip_lock)
        if config.pending or config.doomed:
            config.apply_pending()
            conf.save(guest, config)
        _BRING_UP[guest.kind](guest, config, log)


def stop(guest: Guest, *, skip_lock: bool = False) -> None:
    """End a guest; one that does not run is fine."""
    with locked(guest.kind, guest.vmid):
        if not skip_lock:
            conf.check_lock(guest, conf.load(guest))
        state.stop(guest)


def reboot(guest: Guest, log: Log) -> None:
    """Stop and start again, so that waiting changes take effect."""
    if not state.is_running(guest):
        raise die("VM is not running" if guest.kind == "qemu" else f"{guest.label} not running")
    stop(guest)
    start(guest, log)
