"""disks-gone: no disk of a VM that the provider destroyed is left. Recorded before the VM, so it goes after it.

Proxmox VE destroys a VM whose disk it could not free, and the provider ends well. What is left is named, and stays recorded: the next
run names it again, until somebody has freed it. It is not freed here: what configuration named it, nobody can see any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import guest_disks, guests
from cluster.errors import AdminError
from cluster.transport import cluster_api
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import DisksGone


async def bring_about(desired: DisksGone, call: Call) -> Outcome:
    """Note which volumes of that number are there, and none of the VM's: they are somebody's before it, and are not asked for later.

    Raises:
        AdminError: storage-offline, guest-node-down, and those of the API.
    """
    if call.previous is not None and call.previous.get("vmid") == desired.vmid:
        return Outcome(changed=False, facts=call.previous)
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)
    # A volume of a guest's number belongs to that guest, by Proxmox VE's own rule.
    free = guests.is_free(api, desired.vmid)
    there = guest_disks.numbered(api, guests.live_node(api, desired.node), desired) if free else []
    return Outcome(changed=False, facts={"vmid": desired.vmid, "others": there})


async def remove(desired: DisksGone, call: Call) -> Outcome:
    """Name what is left; nothing is, while a guest has that number.

    Raises:
        AdminError: disk-left, storage-offline, guest-node-down, and those of the API.
    """
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)
    facts = {"vmid": desired.vmid}
    if not guests.is_free(api, desired.vmid):
        return Outcome(changed=False, facts=facts)
    node = guests.live_node(api, desired.node)
    others = (call.previous or {}).get("others", [])
    if left := [volume for volume in guest_disks.numbered(api, node, desired) if volume not in others]:
        raise AdminError(
            "disk-left",
            f"VM {desired.vmid} is gone, and Proxmox VE did not free all of its disks",
            observed=", ".join(left),
            expected="no disk of it on its storage",
            fix=f"find out what keeps it, then on {node}: {'; '.join(f'pvesm free {volume}' for volume in left)}; "
            "and run the same command again",
        )
    return Outcome(changed=False, facts=facts)
