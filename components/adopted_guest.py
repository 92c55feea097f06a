"""AdoptedGuest: a guest that exists already, and that this program puts under HA as it is.

All of it is steps: whether somebody else has put the guest under HA already shows only when they run. Nothing here makes, changes or
destroys the guest. When it goes, the HA manager lets go of it as far as this stack has put it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from cluster import contract
from components import existing, steps
from components.recorded import GUEST
from config import topology
from config.model import ExistingGuest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.site import Site


def make(site: Site, after: Sequence[pulumi.Resource]) -> None:
    """Put the described ones under HA.

    Args:
        site: the stack.
        after: what must be done before anything is done in the cluster.
    """
    for guest in site.config.guests:
        if isinstance(guest, ExistingGuest):
            AdoptedGuest(guest.name, site, guest, after)


class AdoptedGuest(pulumi.ComponentResource):
    """A guest that exists, under HA."""

    def __init__(self, name: str, site: Site, guest: ExistingGuest, after: Sequence[pulumi.Resource]) -> None:
        sid = topology.sid(guest)
        ha = {"state": guest.ha.state, "nodes": dict(guest.ha.nodes), "strict": guest.ha.strict}
        props = {"sid": sid, "existing": True, "ha": ha}
        super().__init__(GUEST, name, props)
        timeout_s = site.config.cluster.timeout_s
        wanted = existing.wanted(site, guest)
        # Recorded before anything is put under HA: of a step that is killed meanwhile, nothing is.
        release = steps.at_removal(
            f"{name}-release", "existing-guest", wanted, site.api_secrets, steps.after(self, *after)
        )
        # Its end has nothing to wait for: the guest itself stays.
        ready = steps.at_administrator(
            f"{name}-ha-ready",
            "ha-ready",
            contract.HaReady(
                site.machines, site.api, sid, timeout_s, {node.name: node.watchdog for node in site.nodes}
            ),
            site.api_secrets,
            steps.after(self, *after),
        )
        under_ha = steps.at_administrator(
            f"{name}-existing-guest",
            "existing-guest",
            wanted,
            site.api_secrets,
            steps.after(self, ready, release),
            removes=True,  # as well: `release` may know another number by then
            remembers=True,
        )
        verified = contract.VerifyGuest(
            members=site.machines,
            api=site.api,
            sid=sid,
            state=guest.ha.state,
            nodes=topology.placement_nodes(guest),
            timeout_s=timeout_s,
            preferred=topology.preferred_nodes(guest),
            failback=guest.ha.failback,
            existing=True,
        )
        steps.at_administrator(
            f"{name}-verify-guest",
            "verify-guest",
            verified,
            site.api_secrets,
            steps.after(self, under_ha),
            removes=True,
            remembers=True,
        )
        self.register_outputs({**props, "vmid": guest.vmid})
