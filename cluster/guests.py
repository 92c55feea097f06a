"""Guests through the API: looked up live wherever they are, and only touched when this stack made them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import guest_disks
from cluster.call import note
from cluster.errors import AdminError
from cluster.transport.cluster_api import BAD_REQUEST, NO_NODE, ApiError
from cluster.waiting import announced, until
from onnode.system.pve import gib, split_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cluster.contract import Image
    from cluster.transport.cluster_api import Api

TASK_S = 600.0
DOWNLOAD_S = 3600.0
# Fencing takes 60 s and the lock of a dead node's agent another 120 s (pve-ha-manager, NodeStatus.pm, LRM.pm).
RECOVERY_S = 360.0
POLL_S = 0.5
UNKNOWN_S = 30.0


@dataclass(frozen=True)
class Found:
    """A guest as the cluster knows it."""

    vmid: int
    kind: str  # "qemu" | "lxc"
    node: str
    node_online: bool
    tags: frozenset[str]
    ha_state: str | None

    @property
    def path(self) -> str:
        """Where the API has it."""
        return f"/nodes/{self.node}/{self.kind}/{self.vmid}"


def find(api: Api, vmid: int) -> Found | None:
    """Look a guest up in the whole cluster; wait while its node has not reported its state yet."""

    def told(seen: list[dict[str, Any]]) -> bool:
        return not any(entry.get("vmid") == vmid and _unknown(seen, entry["node"]) for entry in seen)

    with announced(f"waiting until the node of guest {vmid} reports its state"):
        resources = until(lambda: api.get("/cluster/resources"), told, timeout_s=UNKNOWN_S, poll_s=POLL_S)
    guest = next((entry for entry in resources if entry.get("vmid") == vmid), None)
    if guest is None:
        return None
    online = {entry["node"] for entry in resources if entry["type"] == "node" and entry.get("status") == "online"}
    return Found(
        vmid,
        guest["type"],
        guest["node"],
        guest["node"] in online,
        frozenset(split_tags(guest.get("tags"))),
        guest.get("hastate"),
    )


def is_ours(found: Found, stack_tag: str) -> bool:
    """Whether this stack made a guest; what an earlier version recorded may have its tag in other case."""
    return stack_tag.lower() in found.tags


def left_alone(found: Found, stack_tag: str) -> bool:
    """Whether a guest that is to be removed is somebody else's by now; it is reported, and not touched."""
    ours = is_ours(found, stack_tag)
    if not ours:
        tags = ", ".join(sorted(found.tags)) or "none"
        note(f"guest {found.vmid} on {found.node} is not this stack's any more (tags: {tags}): left alone")
    return not ours


def refuse_foreign(found: Found, kind: str, stack_tag: str) -> None:
    """Refuse a guest that this stack did not make.

    Raises:
        AdminError: guest-foreign.
    """
    if found.kind != kind or not is_ours(found, stack_tag):
        raise AdminError(
            "guest-foreign",
            f"vmid {found.vmid} is taken by a guest that this stack did not make",
            observed=f"{found.kind} on {found.node}, tags: {', '.join(sorted(found.tags)) or 'none'}",
            expected=f"{kind} with tag {stack_tag}, or a free vmid",
        )


def changed(observed: str, described: str) -> AdminError:
    """The refusal of a guest that would be made anew, and its old one destroyed."""
    return AdminError(
        "guest-changed",
        "a guest that exists would be made anew, and the old one destroyed",
        observed=f"{observed}; described: {described}",
        expected="the vmid and kind that it was made with, and another name only by `make up`",
    )


def template_changed(observed: str, described: str) -> AdminError:
    """The refusal of a template under another name: the step that the engine knows by the old one would destroy it."""
    return AdminError(
        "guest-changed",
        "a template that exists is described under another name, and would be destroyed under the old one",
        observed=f"{observed}; described: {described}",
        expected="the name that it was made with",
        fix="put its name back; for a template of another name choose another vmid, too",
    )


def is_free(api: Api, vmid: int) -> bool:
    """Whether no guest has a number. /cluster/resources shows only guests that the user may see; this asks for all of them."""
    try:
        api.get("/cluster/nextid", vmid=vmid)
    except ApiError as error:
        if error.status != BAD_REQUEST:
            raise
        return False
    return True


def refuse_namesakes(api: Api, name: str, vmid: int, stack_tag: str) -> None:
    """Refuse to make a guest whose name another one of this stack has: it would take that one's place, and that one go.

    Raises:
        AdminError: guest-changed.
    """
    for entry in api.get("/cluster/resources", type="vm"):
        ours = stack_tag.lower() in split_tags(entry.get("tags"))
        if ours and entry.get("name") == name and entry["vmid"] != vmid:
            raise changed(f"{name} is {entry['type']} {entry['vmid']} on {entry['node']}", f"{name} {vmid}")


def wait_until_reachable(api: Api, found: Found, timeout_s: float = RECOVERY_S) -> Found | None:
    """Wait for HA to recover a guest from a dead node; the guest where it then is.

    Raises:
        AdminError: guest-node-down.
    """
    deadline = time.monotonic() + timeout_s
    # A node that died just now still counts as online for some seconds.
    now = found if not found.node_online or _answers(api, found) else find(api, found.vmid)
    announced = False
    while now is not None and not now.node_online:
        if now.ha_state is None or time.monotonic() >= deadline:
            raise AdminError(
                "guest-node-down",
                f"guest {now.vmid} is on a node that is down",
                observed=f"{now.node} is offline, HA state of the guest: {now.ha_state or 'not under HA'}",
                expected="a guest on a node that is up",
            )
        if not announced:
            note(f"waiting for HA to recover guest {now.vmid} from {now.node}")
            announced = True
        time.sleep(POLL_S)
        now = find(api, found.vmid)
    return now


def _answers(api: Api, found: Found) -> bool:
    """Whether the guest's node answers for it; also with a refusal, as for a guest that is just moving away."""
    try:
        with announced(f"waiting for {found.node} to answer for guest {found.vmid}"):
            api.get(f"{found.path}/status/current")
    except ApiError as error:
        return error.status != NO_NODE
    return True


def release_from_ha(api: Api, sid: str, stack_tag: str = "", timeout_s: float = TASK_S) -> None:
    """Take a guest out of the HA manager, if it still is in, and wait until that has let go of it (F15).

    Args:
        api: the cluster's.
        sid: the guest's name there.
        stack_tag: only a registration with this comment is taken away; any, if empty.
        timeout_s: how long to wait.

    Raises:
        AdminError: task-timeout.
    """
    entry = next((entry for entry in api.get("/cluster/ha/resources") if entry["sid"] == sid), None)
    if entry is not None:
        if stack_tag and str(entry.get("comment", "")).strip().lower() != stack_tag.lower():
            note(f"{sid} was registered with HA by somebody else: left alone")
            return
        api.delete(f"/cluster/ha/resources/{sid}")
    wait_until_released(api, sid, timeout_s)


def wait_until_released(api: Api, sid: str, timeout_s: float = TASK_S) -> None:
    """Wait until the HA manager has let go of a guest whose registration was removed.

    Raises:
        AdminError: task-timeout.
    """

    def released() -> bool:
        return not any(entry.get("sid") == sid for entry in api.get("/cluster/ha/status/current"))

    wait_for(released, timeout_s, f"the HA manager still has {sid}", "it lets go of a removed resource")


def stop(api: Api, found: Found) -> None:
    """Make sure that a guest does not run."""
    if api.get(f"{found.path}/status/current")["status"] != "stopped":
        api.wait(api.post(f"{found.path}/status/stop"), TASK_S)


def destroy(api: Api, found: Found) -> None:
    """Destroy a stopped guest with its disks and its entries in jobs.

    Raises:
        AdminError: guest-node-down, storage-offline, disk-left, task-failed, and those of the API.
    """
    try:
        volumes = guest_disks.of_guest(api, found.path, found.vmid)
        meanwhile = f"the disks of guest {found.vmid} cannot be removed; none of them was"
        guest_disks.wait_until_online(api, found.node, volumes, meanwhile)
        # For disks that no configuration names, Proxmox VE asks every storage, and fails after it freed the others.
        options = {"purge": 1, "destroy-unreferenced-disks": int(not guest_disks.unreachable(api, found.node))}
        upid = api.delete(found.path, **options)
    except ApiError as error:
        if error.status != NO_NODE:
            raise
        raise AdminError(
            "guest-node-down",
            f"guest {found.vmid} is on a node that does not answer",
            observed=f"{found.node}: {error.message}",
            expected="a node that is up",
        ) from error
    api.wait(upid, TASK_S)
    guest_disks.free_left(api, found.node, found.vmid, volumes)


def wait_for(reached: Callable[[], bool], timeout_s: float, observed: str, expected: str) -> None:
    """Ask until it is so.

    Raises:
        AdminError: task-timeout.
    """
    with announced(f"waiting: {observed}"):
        is_reached = until(reached, bool, timeout_s=timeout_s, poll_s=POLL_S)
    if not is_reached:
        raise AdminError(
            "task-timeout",
            "a wait reached its time limit",
            observed=observed,
            expected=f"{expected}, within {timeout_s:g} s",
        )


def download(api: Api, node: str, image: Image, content: str) -> str:
    """Let a node download a file to a storage, unless it is there; the volume's id.

    Raises:
        AdminError: iso-checksum, task-failed, task-timeout, and those of the API.
    """
    volume = f"{image.storage}:{content}/{image.file_name}"
    storage = f"/nodes/{node}/storage/{image.storage}"
    if any(entry["volid"] == volume for entry in api.get(f"{storage}/content", content=content)):
        return volume
    note(f"{node} downloads {image.url}")
    options: dict[str, Any] = {"url": image.url, "filename": image.file_name, "content": content}
    if image.checksum is not None:
        algorithm, _, digest = image.checksum.partition(":")
        options |= {"checksum-algorithm": algorithm, "checksum": digest}
    task = api.post(f"{storage}/download-url", **options)
    try:
        api.wait(task, DOWNLOAD_S)
    except AdminError as error:
        if error.code != "task-failed":
            raise
        raise _not_downloaded(node, volume, image, error.observed) from None
    return volume


def _not_downloaded(node: str, volume: str, image: Image, end: str) -> AdminError:
    """Proxmox VE downloads beside the name and gives it at the end: nothing is left, nor what a stale one was removed for."""
    what = f"{volume} was not downloaded to {node}"
    left = f"{volume} does not exist now: a file with another checksum is removed first, because Proxmox VE overwrites none"
    observed, again = f"{end}; {left}", "then run the same command again: it downloads the file"
    if "mismatch" in end:
        expected = f"{image.url} with {image.checksum}"
        fix = f"correct checksum or url in the stack file, {again}"
        return AdminError("iso-checksum", what, observed=observed, expected=expected, fix=fix)
    fix = f"make sure that {node} can download {image.url}, {again}"
    return AdminError("task-failed", what, observed=observed, expected="OK", fix=fix)


def forget_download(api: Api, preferred: str, image: Image, content: str) -> None:
    """Remove a downloaded file from its storage; it is gone already is fine."""
    node = live_node(api, preferred)
    contents = f"/nodes/{node}/storage/{image.storage}/content"
    volume = f"{image.storage}:{content}/{image.file_name}"
    if any(entry["volid"] == volume for entry in api.get(contents, content=content)):
        api.wait(api.delete(f"{contents}/{volume}"), TASK_S)


def live_node(api: Api, preferred: str) -> str:
    """The preferred node if it is online, else another one; wait while a node has not reported its state yet.

    Raises:
        AdminError: guest-node-down.
    """

    def told(seen: list[dict[str, Any]]) -> bool:
        known = _online(seen) or not any(_unknown(seen, entry["node"]) for entry in seen)
        return bool(known) and not _unknown(seen, preferred)

    with announced(f"waiting until {preferred} reports its state"):
        nodes = until(lambda: api.get("/nodes"), told, timeout_s=UNKNOWN_S, poll_s=POLL_S)
    online = _online(nodes)
    if preferred in online:
        return preferred
    if not online:
        states = ", ".join(f"{entry['node']} {entry.get('status')}" for entry in nodes)
        raise AdminError("guest-node-down", "no node is online", observed=states or "no nodes", expected=preferred)
    return min(online)


def _online(nodes: Sequence[dict[str, Any]]) -> list[str]:
    return [entry["node"] for entry in nodes if entry.get("status") == "online"]


def _unknown(entries: Sequence[dict[str, Any]], node: str) -> bool:
    """Whether that node's state is unknown: its pvestatd reports it some 10 s after its start, not at once."""
    return any(
        entry.get("node") == node and entry.get("type", "node") == "node" and entry.get("status") == "unknown"
        for entry in entries
    )


def grow(api: Api, found: Found, disk: str, wanted_gib: int) -> bool:
    """Enlarge a guest's disk, also while it runs; whether it had to be.

    Args:
        api: the cluster's.
        found: the guest.
        disk: its name in the guest's configuration, "scsi0" or "rootfs".
        wanted_gib: its size.

    Raises:
        AdminError: guest-differs, when it is larger; task-failed, guest-locked, and those of the API.
    """
    size = to_grow(found.vmid, api.get(f"{found.path}/config"), disk, wanted_gib)
    if size is None:
        return False
    note(f"enlarging {disk} of guest {found.vmid} on {found.node} from {size:g} to {wanted_gib} GiB")
    api.wait(api.put(f"{found.path}/resize", disk=disk, size=f"{wanted_gib}G"), TASK_S)
    now = disk_gib(api.get(f"{found.path}/config"), disk)
    if now != wanted_gib:
        raise AdminError(
            "task-failed",
            f"the disk of guest {found.vmid} was not enlarged",
            observed=f"{disk} {now} GiB",
            expected=f"{disk} {wanted_gib} GiB",
        )
    return True


def to_grow(vmid: int, config: Mapping[str, Any], disk: str, wanted_gib: int) -> float | None:
    """The size from which a disk has to grow; None where it has the wanted one. Pure.

    Raises:
        AdminError: guest-differs, when it is larger, or of unknown size.
    """
    size = disk_gib(config, disk)
    if size is None or size > wanted_gib:
        raise AdminError(
            "guest-differs",
            f"the disk of guest {vmid} is not as described, and disks only grow",
            observed=f"{disk} {'of unknown size' if size is None else f'{size:g} GiB'}",
            expected=f"{disk} {wanted_gib} GiB",
            fix="write the observed size into the stack file as diskGib"
            if size
            else "look at the guest's configuration",
        )
    return size if size < wanted_gib else None


def disk_gib(config: Mapping[str, Any], disk: str) -> float | None:
    """The size of a disk in a guest's configuration; None where that does not say it."""
    parts = str(config.get(disk, "")).split(",")
    return gib(next((part.removeprefix("size=") for part in parts if part.startswith("size=")), ""))


def changes(wanted: dict[str, str], config: dict[str, Any]) -> dict[str, str]:
    """The options that are set otherwise than wanted; numbers and texts compare as texts, as Proxmox stores them.

    Tags are added: those that a user gave a guest stay.
    """
    found = {key: value for key, value in wanted.items() if str(config.get(key, "")) != value}
    if "tags" in found:
        tags = set(split_tags(str(config.get("tags", ""))))
        missing = set(split_tags(wanted["tags"])) - {tag.lower() for tag in tags}
        found |= {"tags": ";".join(sorted(tags | missing))}
        if not missing:
            del found["tags"]
    return found


def keeping(wanted: str, found: str) -> str:
    """An option with sub-options, as `cpu: host,flags=+aes`: its first value as wanted, all others as they are found."""
    _, comma, others = found.partition(",")
    return f"{wanted}{comma}{others}"
