"""keep-guest: a guest that is described no more, and is to stay: it loses this stack's tags, and nothing else changes.

With the tags, the end of its nested nodes would take it along, and `adopt` would take it up again. HA has let go of it before
(ha-ready). Nothing runs when the guest is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import guests
from cluster.call import tell
from cluster.transport import cluster_api
from onnode.step import Outcome
from onnode.system.pve import TAG, split_tags

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import KeptGuest


async def remove(desired: KeptGuest, call: Call) -> Outcome:
    """Take the tags away, wherever the guest is; nothing to do where it is gone, or has none of them.

    Raises:
        AdminError: guest-node-down, guest-locked, and those of the API.
    """
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)
    found = guests.find(api, desired.vmid)
    there = found and guests.wait_until_reachable(api, found)
    if there is None or guests.left_alone(there, desired.stack_tag):
        return Outcome(changed=False, facts={"vmid": desired.vmid})
    tags = others(str(api.get(f"{there.path}/config").get("tags", "")), desired.stack_tag)
    api.put(f"{there.path}/config", **({"tags": ";".join(tags)} if tags else {"delete": "tags"}))
    tell(
        f"{desired.name} ({there.kind} {desired.vmid}) stays on {there.node}, out of HA, and is not this stack's any more"
    )
    return Outcome(changed=True, facts={"vmid": desired.vmid})


def others(tags: str, stack_tag: str) -> list[str]:
    """The tags that are not this stack's; pure."""
    return [tag for tag in split_tags(tags) if tag.lower() not in (TAG, stack_tag.lower())]
