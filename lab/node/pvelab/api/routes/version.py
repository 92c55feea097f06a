"""/version: which release this is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab import packages

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route


def version(_ctx: Context) -> dict[str, str]:
    """The installed pve-manager: "9.1.2" and its release "9.1"."""
    full, repoid = packages.manager_version()
    return {"version": full, "release": ".".join(full.split(".")[:2]), "repoid": repoid}


ROUTES: list[Route] = [("GET", "/version", version)]
