"""/nodes/{node}/startall and stopall: the guests of a node at its boot and shutdown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pvelab import cfs
from pvelab.errors import PveError, die
from pvelab.guests import conf, ha, power, registry, state
from pvelab.machine import scaled

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route
    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log

QUORUM_WAIT_S = 60.0


def _wait_quorum(log: Log) -> None:
    """Guests of a member start only in a quorate cluster; Proxmox waits a minute for it."""
    deadline = time.monotonic() + scaled(QUORUM_WAIT_S)
    while not cfs.quorate():
        if time.monotonic() > deadline:
            raise die("cluster not ready - no quorum?")
        log("waiting for quorum ...")
        time.sleep(scaled(1.0))


def _own_guests(node: str) -> list[Guest]:
    """The node's guests that are not the HA manager's business."""
    return [guest for guest in registry.guests(node).values() if not ha.is_managed(guest)]


def start_all(ctx: Context) -> str:
    """Start what shall start at boot; with `force` all."""

    def work(log: Log) -> None:
        _wait_quorum(log)
        for guest in _own_guests(ctx.node):
            config = conf.load(guest)
            wanted = config.options.get("onboot") == "1" or ctx.params.get("force")
            if not wanted or config.is_template or state.is_running(guest):
                continue
            log(f"Starting {guest.label}")
            try:
                power.start(guest, log)
            except PveError as error:
                log(f"Starting {guest.label} failed: {error.message}")

    return ctx.start_task("startall", "", work)


def stop_all(ctx: Context) -> str:
    """Stop all guests that are not under HA."""

    def work(log: Log) -> None:
        for guest in _own_guests(ctx.node):
            if state.is_running(guest):
                log(f"Stopping {guest.label}")
                state.stop(guest)

    return ctx.start_task("stopall", "", work)


ROUTES: list[Route] = [("POST", "/nodes/{node}/startall", start_all), ("POST", "/nodes/{node}/stopall", stop_all)]
