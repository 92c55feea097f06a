"""The input of the step `existing-guest`, for the program and for looks before it runs: these load no engine's library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import contract

if TYPE_CHECKING:
    from components.site import Site
    from config.model import ExistingGuest


def wanted(site: Site, guest: ExistingGuest) -> contract.ExistingGuest:
    """The input of that step."""
    return contract.ExistingGuest(
        members=site.machines,
        api=site.api,
        stack_tag=site.stack_tag,
        pve_major=site.config.pve_major,
        type=guest.type,
        vmid=guest.vmid,
        name=guest.name,
        state=guest.ha.state,
        max_restart=guest.ha.max_restart,
        max_relocate=guest.ha.max_relocate,
        failback=guest.ha.failback,
        nodes=dict(guest.ha.nodes),
        strict=guest.ha.strict,
    )
