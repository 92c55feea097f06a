"""Existing guests that cannot be put under HA as described: refused from the look that a run begins with, before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import existing_guests
from components import existing
from components.site import Site
from config.model import ExistingGuest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cli.description import Description
    from cluster.marks import Look


def refuse_unfit(description: Description, looks: Iterable[Look]) -> None:
    """Refuse what the step `existing-guest` would refuse.

    Args:
        description: what is wanted.
        looks: of nodes; where none knows the cluster, the step decides.

    Raises:
        AdminError: guest-missing, guest-changed, guest-foreign, guest-tied, ha-foreign.
    """
    described = [guest for guest in description.config.guests if isinstance(guest, ExistingGuest)]
    speaker = next((look for look in looks if look.cluster), None)
    if not described or speaker is None:
        return
    site = Site(description.config, description.credentials, description.stack)
    if error := existing_guests.refused([existing.wanted(site, guest) for guest in described], speaker.guests):
        raise error
