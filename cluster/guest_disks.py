"""The disks of a guest that is destroyed: none of them stays on its storage when the guest is gone.

Proxmox VE promises less. It destroys a VM whose disk it could not free, and writes a line into the task's log
(qemu-server, destroy_vm). It takes a file that it cannot look at for one that is gone (pve-storage, free_image). And where
the storage of a second disk does not answer, a guest stays without its first one. Only disks that the guest's own
configuration names are freed here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cluster.call import note
from cluster.errors import AdminError
from cluster.transport.cluster_api import BAD_REQUEST, ApiError
from cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from cluster.contract import DisksGone
    from cluster.transport.cluster_api import Api

SILENT_S = 60.0  # a server of a storage that restarts is back by then
POLL_S = 2.0
FREE_S = 600.0
DISKS = {"images", "rootdir"}  # the kinds of content that are disks of guests
_SLOT = re.compile(r"(?:ide|sata|scsi|virtio|efidisk|tpmstate|unused|mp)\d+|rootfs|vmstate")
# In a directory of the guest's number, and of a linked clone behind its base: no ISO image has such a name.
_VOLUME = re.compile(
    r"(?:(?:file|volume)=)?"
    r"(?P<volume>[^:,/]+:(?:(?:\d+|base-\d+-[^,/]+)/)*(?:vm|base|subvol)-(?P<owner>\d+)-[^,/]+)(?:,|$)"
)


def of_guest(api: Api, path: str, vmid: int) -> list[str]:
    """The volumes that a guest owns by its configuration, as it is and as it will be after a stop."""
    configs = (api.get(f"{path}/config"), api.get(f"{path}/config", current=1))
    return sorted({volume for config in configs for volume in owned(config, vmid)})


def owned(config: Mapping[str, Any], vmid: int) -> list[str]:
    """The volumes in a guest's configuration that are its own: attached or not, a cloud-init disk as well. Pure."""
    found = [_VOLUME.match(str(value)) for slot, value in config.items() if _SLOT.fullmatch(slot)]
    return sorted({match["volume"] for match in found if match and int(match["owner"]) == vmid})


def wait_until_online(api: Api, node: str, volumes: Iterable[str], meanwhile: str) -> None:
    """Wait until the storages of a guest's volumes answer on a node: what is begun before cannot be ended.

    Args:
        api: the cluster's.
        node: whose storages are asked.
        volumes: which they are.
        meanwhile: what becomes of the disks until then.

    Raises:
        AdminError: storage-offline.
    """
    wanted = _storages(volumes)
    if silent := _silent(api, node, wanted):
        note(f"waiting for storage {', '.join(silent)}, which is not active on {node}")
    if silent := until(lambda: _silent(api, node, wanted), lambda left: not left, timeout_s=SILENT_S, poll_s=POLL_S):
        raise AdminError(
            "storage-offline",
            meanwhile,
            observed=f"storage {', '.join(silent)} is not active on {node}",
            expected=f"an active storage within {SILENT_S:g} s",
        )


def unreachable(api: Api, node: str) -> list[str]:
    """The storages with disks of guests that are not active on a node, whoever's they are."""
    return sorted(name for name, entry in _listed(api, node).items() if not entry.get("active"))


def free_left(api: Api, node: str, vmid: int, volumes: Collection[str]) -> bool:
    """Free those of these volumes that are still there; whether there were some.

    Args:
        api: the cluster's.
        node: whose storages are asked.
        vmid: of the guest that is gone.
        volumes: which it owned.

    Raises:
        AdminError: storage-offline, disk-left, and those of the API.
    """
    if not volumes:
        return False
    wait_until_online(api, node, volumes, f"guest {vmid} is gone, and nobody can see whether a disk of it is left")
    left = [volume for volume in _carrying(api, node, vmid, _storages(volumes)) if volume in volumes]
    failed = {volume: reason for volume in left if (reason := _freed(api, node, volume))}
    if failed:
        raise AdminError(
            "disk-left",
            f"guest {vmid} is gone, and a disk of it could not be freed",
            observed="; ".join(f"{volume}: {reason}" for volume, reason in failed.items()),
            expected="no disk of it on its storage",
            fix=f"find out what keeps it, then on {node}: {'; '.join(f'pvesm free {volume}' for volume in failed)}",
        )
    return bool(left)


def free_recorded(api: Api, node: str, vmid: int, volumes: Iterable[str]) -> bool:
    """Free what a guest left that went in an earlier run; whether there was something.

    Only on shared storage: another node's local storage may have a volume of that name, which is not ours.

    Args:
        api: the cluster's.
        node: whose storages are asked; it need not be the one that had the guest.
        vmid: which no guest has now.
        volumes: which the guest had when it was last looked after.

    Raises:
        AdminError: storage-offline, disk-left, and those of the API.
    """
    shared = {name for name, entry in _listed(api, node).items() if entry.get("shared")}
    return free_left(api, node, vmid, [volume for volume in volumes if volume.partition(":")[0] in shared])


def numbered(api: Api, node: str, guest: DisksGone) -> list[str]:
    """The disks that carry a guest's number on its storage, whoever's they are; of a storage that is not shared nothing is asked.

    Raises:
        AdminError: storage-offline, and those of the API.
    """
    try:
        entry: dict[str, Any] = next(iter(api.get(f"/nodes/{node}/storage", storage=guest.storage)), {})
    except ApiError as error:
        if error.status != BAD_REQUEST:
            raise
        entry = {}  # no such storage any more, or not for this node
    if not entry.get("shared"):
        return []
    if not entry.get("active"):
        raise AdminError(
            "storage-offline",
            f"nobody can see which disks of the number {guest.vmid} there are",
            observed=f"storage {guest.storage} is not active on {node}",
            expected="an active storage",
        )
    listed = api.get(f"/nodes/{node}/storage/{guest.storage}/content", vmid=guest.vmid)
    return sorted(str(one["volid"]) for one in listed if one.get("content") in DISKS)


def _freed(api: Api, node: str, volume: str) -> str:
    """Free a volume; why that failed, empty if it did not."""
    note(f"{volume} is still there, and is freed")
    try:
        if task := api.delete(f"/nodes/{node}/storage/{volume.partition(':')[0]}/content/{volume}"):
            api.wait(task, FREE_S)
    except AdminError as error:
        return error.observed
    return ""


def _carrying(api: Api, node: str, vmid: int, storages: Iterable[str]) -> list[str]:
    there = _listed(api, node)
    contents = [f"/nodes/{node}/storage/{name}/content" for name in storages if name in there]
    return [str(entry["volid"]) for path in contents for entry in api.get(path, vmid=vmid)]


def _silent(api: Api, node: str, wanted: Collection[str]) -> list[str]:
    """Those that do not answer there; one that is disabled, or not for this node, is in no list of the node's."""
    if not wanted:
        return []
    listed = {entry["storage"]: entry for entry in _enabled(api, node)}
    hidden = {entry["storage"] for entry in api.get("/storage")} if set(wanted) - listed.keys() else set()
    return [name for name in wanted if (name in hidden if name not in listed else not listed[name].get("active"))]


def _listed(api: Api, node: str) -> dict[str, dict[str, Any]]:
    """The enabled storages of a node that may hold disks of guests."""
    return {
        entry["storage"]: entry
        for entry in _enabled(api, node)
        if DISKS & set(str(entry.get("content", "")).split(","))
    }


def _enabled(api: Api, node: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/nodes/{node}/storage", enabled=1)
    return found


def _storages(volumes: Iterable[str]) -> list[str]:
    return sorted({volume.partition(":")[0] for volume in volumes})
