"""template: a VM template with the guest agent, without CD drive, its disk on shared storage.

By the API and not by the provider: that cannot switch KVM off, and cannot read a template on a dead node.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cluster import downloads, guests
from cluster.call import note
from cluster.errors import AdminError
from cluster.transport import cluster_api, members
from onnode.step import Outcome
from onnode.system.pve import TAG

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import Template
    from cluster.guests import Found
    from cluster.transport.cluster_api import Api

DISK = "scsi0"
MOVE_S = 20.0


async def bring_about(desired: Template, call: Call) -> Outcome:
    """Make it, or correct the one that is there.

    Raises:
        AdminError: guest-foreign, guest-changed, guest-differs, guest-node-down, and those of the API.
    """
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)
    found = guests.find(api, desired.vmid)
    if found is not None:
        guests.refuse_foreign(found, "qemu", desired.stack_tag)
        if call.previous is None and found.node_online:
            _refuse_another_name(api, found, desired)
    changed = found is None
    if found is None:
        node = guests.live_node(api, desired.node)
        if desired.image is not None:
            key = call.secrets.ssh_private_key
            await downloads.drop_stale(api, desired.members, key, node, desired.image, "import")
        _create(api, desired, node)
        found = _looked_up(api, desired)
    elif not found.node_online:
        api, found = await _bring_to_live_node(desired, call, found)
        changed = True
    changed |= _correct(api, found, desired)
    changed |= _convert(api, found)
    return Outcome(changed, {"vmid": desired.vmid, "node": found.node})


async def remove(desired: Template, call: Call) -> Outcome:
    """Destroy it, wherever it is; nothing to do if it is gone already, or its vmid is somebody else's by now.

    Raises:
        AdminError: guest-foreign, guest-node-down, and those of the API.
    """
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)
    found = guests.find(api, desired.vmid)
    ours = found is not None and not guests.left_alone(found, desired.stack_tag)
    if found is not None and ours:
        guests.refuse_foreign(found, "qemu", desired.stack_tag)
        there = found
        if not found.node_online:
            api, there = await _bring_to_live_node(desired, call, found)
        guests.destroy(api, there)
    if desired.image is not None:
        guests.forget_download(api, desired.node, desired.image, "import")
    return Outcome(ours, {"vmid": desired.vmid})


def _refuse_another_name(api: Api, found: Found, desired: Template) -> None:
    name = api.get(f"{found.path}/config").get("name")
    if name != desired.name:
        raise guests.template_changed(f"{name} is VM {found.vmid} on {found.node}", f"{desired.name} {found.vmid}")


async def _bring_to_live_node(desired: Template, call: Call, found: Found) -> tuple[Api, Found]:
    """Move a template's configuration away from a dead node.

    Proxmox' manual allows that when the guest certainly does not run and its disks are shared ("Recovery", pvecm);
    a template never runs, and its disk is on shared storage.
    """
    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        member = await members.first_working(opened)
        name = member.machine.name
        note(f"{found.node} is down: moving template {desired.name} to {name}")
        configs = [f"/etc/pve/nodes/{node}/qemu-server/{found.vmid}.conf" for node in (found.node, name)]
        done = await member.run(f"mv -n {configs[0]} {configs[1]}", timeout_s=MOVE_S)
    if done.exit_code != 0:
        raise AdminError(
            "guest-node-down",
            f"template {desired.name} is on a node that is down",
            observed=f"{found.node} is offline; {done.stderr.strip()}",
            expected="a template on a node that is up",
        )
    # Through the member that made the change: it knows at once.
    chosen = [machine for machine in desired.members if machine.name == name]
    return await cluster_api.connect(chosen, desired.api, call.secrets), replace(found, node=name, node_online=True)


def _create(api: Api, desired: Template, node: str) -> None:
    disk = f"{desired.storage}:{desired.disk_gib}"
    if desired.image is not None:
        volume = guests.download(api, node, desired.image, "import")
        disk = f"{desired.storage}:0,import-from={volume}"
    note(f"making template {desired.name} ({desired.vmid}) on {node}")
    upid = api.post(
        f"/nodes/{node}/qemu",
        vmid=desired.vmid,
        scsihw="virtio-scsi-single",
        ostype="l26",
        boot=f"order={DISK}",
        **options(desired),
        **{DISK: disk},
    )
    api.wait(upid, guests.TASK_S)


def options(desired: Template) -> dict[str, str]:
    """The options that are kept as wanted, as Proxmox stores them."""
    return {
        "name": desired.name,
        "cores": str(desired.cores),
        "memory": str(desired.memory_mib),
        "cpu": desired.cpu_type,
        "kvm": "1" if desired.kvm else "0",
        "agent": "1",
        "tags": ";".join(sorted([TAG, desired.stack_tag])),
        "net0": f"virtio,bridge={desired.bridge}",
    }


def _looked_up(api: Api, desired: Template) -> Found:
    # /cluster/resources lags behind: pvestatd broadcasts every 10 s.
    guests.wait_for(
        lambda: guests.find(api, desired.vmid) is not None, 60, f"{desired.vmid} is not listed", "a new VM is listed"
    )
    found = guests.find(api, desired.vmid)
    if found is None:
        raise AdminError("guest-differs", "the new VM is gone", observed="none", expected=str(desired.vmid))
    return found


def corrections(desired: Template, config: dict[str, Any]) -> dict[str, str]:
    """What has to be set or deleted on an existing VM; pure. What is not described stays as it is."""
    wanted = options(desired)
    for key in ("cpu", "agent"):
        wanted[key] = guests.keeping(wanted[key], str(config.get(key, "")))
    wanted["net0"] = _card(wanted["net0"], str(config.get("net0", "")))
    set_ = guests.changes(wanted, config)
    media = installation_media(config)
    return set_ | ({"delete": ",".join(media)} if media else {})


def installation_media(config: dict[str, Any]) -> list[str]:
    """The drives that hold an ISO image, or nothing; a cloud-init drive is no such thing, though it says `media=cdrom`."""
    return sorted(key for key, value in config.items() if "media=cdrom" in str(value) and _is_medium(str(value)))


def _is_medium(drive: str) -> bool:
    volume = next((part for part in drive.split(",") if part != "media=cdrom"), "").removeprefix("file=")
    return volume == "none" or ":iso/" in volume or volume.endswith(".iso")


def _card(wanted: str, found: str) -> str:
    """A card of the wanted model on the wanted bridge; its MAC, VLAN and other options as they are found."""
    head, _, rest = found.partition(",")
    model, bridge = wanted.split(",")
    if not found:
        return wanted
    _, equals, mac = head.partition("=")
    others = [part for part in rest.split(",") if part and not part.startswith("bridge=")]
    card = [f"{model}{equals}{mac}", bridge, *others]
    return found if sorted(card) == sorted(found.split(",")) else ",".join(card)


def _correct(api: Api, found: Found, desired: Template) -> bool:
    config = api.get(f"{found.path}/config")
    _refuse_other_disk(desired, str(config.get(DISK, "")))
    correction = corrections(desired, config)
    if correction:
        parts = [
            f"removing {', '.join(f'{drive} ({config[drive]})' for drive in value.split(','))}"
            if key == "delete"
            else f"setting {key} to {value}, was {config.get(key, 'not set')}"
            for key, value in sorted(correction.items())
        ]
        note(f"template {desired.name}: {'; '.join(parts)}")
        api.put(f"{found.path}/config", **correction)
    return bool(correction)


def _refuse_other_disk(desired: Template, disk: str) -> None:
    storage = disk.partition(":")[0]
    if storage != desired.storage:
        raise AdminError(
            "guest-differs",
            f"the disk of template {desired.name} is not on the described storage",
            observed=disk or f"no {DISK}",
            expected=f"{DISK} on storage {desired.storage}",
        )


def _convert(api: Api, found: Found) -> bool:
    # Not by the cluster's list: that does not show what is a template while its node is down.
    if str(api.get(f"{found.path}/config").get("template")) == "1":
        return False
    guests.stop(api, found)
    api.wait(api.post(f"{found.path}/template"), guests.TASK_S)
    config = api.get(f"{found.path}/config")
    # The task's end proves nothing: `qm template` ends well when it did nothing.
    if str(config.get("template")) != "1" or "base-" not in str(config.get(DISK)):
        raise AdminError(
            "task-failed",
            f"VM {found.vmid} was not converted to a template",
            observed=f"template: {config.get('template')}, {DISK}: {config.get(DISK)}",
            expected="template: 1 and a base image",
        )
    return True
