"""What a container needs on its node before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab.errors import die
from pvelab.guests import nics, state, views, volumes

if TYPE_CHECKING:
    from pvelab.guests.conf import Config
    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log


def _check(guest: Guest, config: Config, log: Log) -> None:
    if views.exceeds_node(config):
        raise die(f"startup for container '{guest.vmid}' failed")
    for _, bridge in nics.missing_bridges(config.options):
        log(f"bridge '{bridge}' does not exist")
        raise die(f"startup for container '{guest.vmid}' failed")


def bring_up(guest: Guest, config: Config, log: Log) -> None:
    """Start a container if the node has what it needs."""
    files = volumes.files("lxc", config.options)
    _check(guest, config, log)
    state.start(guest, f"/usr/bin/lxc-start -F -n {guest.vmid}", files, config.options)
