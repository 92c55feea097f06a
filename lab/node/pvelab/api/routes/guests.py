"""/nodes/{node}/qemu and /nodes/{node}/lxc: what is the same for virtual machines and containers."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from pvelab.errors import PveError
from pvelab.guests import conf, registry, removal, views

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route


def listing(ctx: Context, kind: str) -> list[dict[str, Any]]:
    """The node's guests of a kind that the caller may see."""
    found = []
    for guest in registry.guests(ctx.node).values():
        if guest.kind == kind and ctx.allowed(f"/vms/{guest.vmid}", "VM.Audit"):
            # One that is destroyed meanwhile is left out.
            with contextlib.suppress(PveError):
                found.append(views.listed(guest))
    return found


def pending(ctx: Context, kind: str) -> list[dict[str, Any]]:
    """A guest's options with what waits for its next start."""
    return conf.rows(kind, conf.load(registry.require_local(kind, int(ctx.params["vmid"]))))


def current(ctx: Context, kind: str) -> dict[str, Any]:
    """A guest's state."""
    return views.current(registry.require_local(kind, int(ctx.params["vmid"])))


ROUTES: list[Route] = [
    (method, f"/nodes/{{node}}/{kind}{rest}", partial(handler, kind=kind))
    for kind in registry.DIRECTORIES
    for method, rest, handler in (
        ("GET", "", listing),
        ("DELETE", "/{vmid}", removal.destroy),
        ("GET", "/{vmid}/pending", pending),
        ("GET", "/{vmid}/status/current", current),
    )
]
