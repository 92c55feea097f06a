"""Waits for VMs under HA on a node that has just died: the engine's refresh would ask that node for them, and fail.

HA recovers such VMs within minutes; the engine starts after that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cli.state import outer_vms
from cluster import guests
from cluster.contract import Secrets
from cluster.errors import AdminError
from cluster.transport import cluster_api
from components.site import Site

if TYPE_CHECKING:
    from cli.description import Description


def wait_for_recovery(description: Description, state: dict[str, Any]) -> None:
    """Wait until every recorded VM of the cluster is on a node that is up.

    If nobody can log in to the API, there is no wait: the run may be what repairs the API.

    Raises:
        AdminError: guest-node-down.
    """
    described = {guest.vmid for guest in description.config.guests}
    recorded = sorted(described & set(outer_vms.recorded(state)))
    if not recorded:
        return
    site = Site(description.config, description.credentials, description.stack)
    key = description.credentials.ssh_private_key.get_secret_value()
    secrets = Secrets(key, api_password=description.credentials.api_password.get_secret_value())
    try:
        api = asyncio.run(cluster_api.connect(site.machines, site.api, secrets))
    except AdminError:
        return
    for vmid in recorded:
        found = guests.find(api, vmid)
        if found is not None:
            guests.wait_until_reachable(api, found)
