"""container: an LXC container, made once and then found wherever HA has moved it.

By the API and not by the provider: that forgets a container that moved, and makes it a second time (bpg#3104).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import downloads, guest_disks, guests
from cluster.call import note, tell
from cluster.errors import AdminError
from cluster.transport import cluster_api
from onnode.step import Outcome
from onnode.system.pve import TAG

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import Container
    from cluster.transport.cluster_api import Api

ROOT = "rootfs"


async def bring_about(desired: Container, call: Call) -> Outcome:
    """Make it, or change the one that is there where it is.

    Raises:
        AdminError: guest-foreign, guest-changed, guest-differs, guest-node-down, and those of the API.
    """
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)
    found = guests.find(api, desired.vmid)
    if found is None:
        guests.refuse_namesakes(api, desired.name, desired.vmid, desired.stack_tag)
        node = guests.live_node(api, desired.node)
        if desired.template is not None:
            key = call.secrets.ssh_private_key
            await downloads.drop_stale(api, desired.members, key, node, desired.template, "vztmpl")
        _create(api, desired, node)
        made = api.get(f"/nodes/{node}/lxc/{desired.vmid}/config")
        return Outcome(changed=True, facts={**_facts(desired, made), "made_on": node})
    guests.refuse_foreign(found, "lxc", desired.stack_tag)
    found = guests.wait_until_reachable(api, found)
    if found is None:
        raise AdminError("guest-differs", "the container vanished", observed="none", expected=str(desired.vmid))
    config = api.get(f"{found.path}/config")
    if call.previous is None and config.get("hostname") != desired.name:
        # To the engine a new name is a new guest: the step that it knows by the old name would destroy this one.
        raise guests.changed(
            f"{config.get('hostname')} is lxc {found.vmid} on {found.node}", f"{desired.name} {found.vmid}"
        )
    refuse_different(desired, config)
    grown = guests.grow(api, found, ROOT, desired.disk_gib)
    correction = guests.changes(options(desired), config)
    if correction:
        note(f"setting {', '.join(sorted(correction))} of {desired.name} on {found.node}")
        api.put(f"{found.path}/config", **correction)
    if "hostname" in correction and api.get(f"{found.path}/status/current")["status"] == "running":
        tell(f"{desired.name}: it takes its new name when it restarts: `pct reboot {desired.vmid}` on {found.node}")
    return Outcome(bool(correction) or grown, _facts(desired, config))


async def remove(desired: Container, call: Call) -> Outcome:
    """Stop and destroy it, wherever it is; nothing to do if its vmid is somebody else's by now.

    HA has let go of it before (ha-ready). Of one that is gone already, an earlier run may have left a disk.

    Raises:
        AdminError: guest-node-down, storage-offline, disk-left, and those of the API.
    """
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)
    found = guests.find(api, desired.vmid)
    ours = found is not None and not guests.left_alone(found, desired.stack_tag)
    if found is None and (recorded := (call.previous or {}).get("disks")) and guests.is_free(api, desired.vmid):
        ours = guest_disks.free_recorded(api, guests.live_node(api, desired.node), desired.vmid, recorded)
    elif found is not None and ours:
        guests.refuse_foreign(found, "lxc", desired.stack_tag)
        if (reachable := guests.wait_until_reachable(api, found)) is not None:
            guests.stop(api, reachable)
            guests.destroy(api, reachable)
    if desired.template is not None:
        guests.forget_download(api, desired.node, desired.template, "vztmpl")
    return Outcome(ours, {"vmid": desired.vmid})


def _facts(desired: Container, config: dict[str, Any]) -> dict[str, Any]:
    """What the engine records: a removal that could not free a disk has nobody else to ask when it is tried again."""
    return {"vmid": desired.vmid, "disks": guest_disks.owned(config, desired.vmid)}


def options(desired: Container) -> dict[str, str]:
    """The options that are changed where it runs, as Proxmox stores them."""
    return {
        "hostname": desired.name,
        "cores": str(desired.cores),
        "memory": str(desired.memory_mib),
        "swap": str(desired.swap_mib),
        "tags": ";".join(sorted([TAG, desired.stack_tag])),
    }


def network(desired: Container) -> str:
    """Its network card."""
    gateway = f",gw={desired.gateway}" if desired.gateway else ""
    return f"name=eth0,bridge={desired.bridge},ip={desired.address}{gateway}"


def refuse_different(desired: Container, config: dict[str, Any]) -> None:
    """Refuse what would need a new container.

    Raises:
        AdminError: guest-differs.
    """
    storage = str(config.get(ROOT, "")).partition(":")[0]
    found = {"storage": storage, "network": described_network(str(config.get("net0", "")))}
    wanted = {"storage": desired.storage, "network": described_network(network(desired))}
    if found != wanted:
        raise AdminError(
            "guest-differs",
            f"container {desired.name} exists, and cannot be changed to match the stack file",
            observed=", ".join(f"{key} {value}" for key, value in found.items() if value != wanted[key]),
            expected=", ".join(f"{key} {value}" for key, value in wanted.items() if value != found[key]),
        )


def described_network(net: str) -> str:
    """What this program decides of a network card; Proxmox adds a MAC and a type."""
    values = dict(part.split("=", 1) for part in net.split(",") if "=" in part)
    return ",".join(f"{key}={values[key]}" for key in ("name", "bridge", "ip", "gw") if key in values)


def _create(api: Api, desired: Container, node: str) -> None:
    if desired.template is not None:
        guests.download(api, node, desired.template, "vztmpl")
    note(f"making container {desired.name} ({desired.vmid}) on {node}")
    upid = api.post(
        f"/nodes/{node}/lxc",
        vmid=desired.vmid,
        ostemplate=desired.template_volume,
        rootfs=f"{desired.storage}:{desired.disk_gib}",
        net0=network(desired),
        unprivileged=1,
        start=0,
        **options(desired),
        **({"ssh-public-keys": "\n".join(desired.ssh_public_keys)} if desired.ssh_public_keys else {}),
    )
    api.wait(upid, guests.TASK_S)
