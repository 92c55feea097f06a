"""guest-disk: the disk of a VM is as large as described. It grows wherever the VM is, also while it runs.

By the API and not by the provider: that would take away disks which users added (:mod:`components.left_alone`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import guests
from cluster.errors import AdminError
from cluster.steps.template import DISK
from cluster.transport import cluster_api
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import GuestDisk


async def bring_about(desired: GuestDisk, call: Call) -> Outcome:
    """Enlarge it, unless it has that size.

    Raises:
        AdminError: guest-foreign, guest-differs, guest-node-down, guest-locked, task-failed, and those of the API.
    """
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)
    found = guests.find(api, desired.vmid)
    there = found and guests.wait_until_reachable(api, found)
    if there is None:
        raise AdminError(
            "guest-differs",
            f"VM {desired.name} is gone",
            observed="none",
            expected=str(desired.vmid),
            fix="run the same command again: it looks first, and makes what is gone anew",
        )
    guests.refuse_foreign(there, "qemu", desired.stack_tag)
    return Outcome(guests.grow(api, there, DISK, desired.disk_gib), {"vmid": desired.vmid})
