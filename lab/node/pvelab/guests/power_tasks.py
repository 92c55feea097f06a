"""The tasks that start and stop a guest; what the HA manager owns, it starts and stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab.guests import ha, power

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.guests.registry import Guest


def start(ctx: Context, guest: Guest) -> str:
    """Start a guest."""
    if ha.is_managed(guest):
        asked = ("set", guest.ha_sid, "--state", "started")
        return ha.request_in_task(ctx, guest, "hastart", f"start for {guest.label}", *asked)
    skip = bool(ctx.params.get("skiplock"))
    return ctx.start_task(f"{guest.tasks}start", str(guest.vmid), lambda log: power.start(guest, log, skip_lock=skip))


def end(ctx: Context, guest: Guest, verb: str, timeout: int) -> str:
    """Stop a guest; `verb` is "stop" or "shutdown", with which what runs in a guest here always complies."""
    if ha.is_managed(guest):
        asked = ("crm-command", "stop", guest.ha_sid, str(timeout))
        return ha.request_in_task(ctx, guest, f"ha{verb}", f"{verb} for {guest.label}", *asked)
    skip = bool(ctx.params.get("skiplock"))
    return ctx.start_task(f"{guest.tasks}{verb}", str(guest.vmid), lambda _log: power.stop(guest, skip_lock=skip))
