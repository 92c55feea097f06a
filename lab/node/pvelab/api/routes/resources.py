"""/cluster/resources and /cluster/nextid: what the cluster has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.api import remote
from pvelab.api.routes.nodes import entry
from pvelab.errors import PveError, parameter_error
from pvelab.guests import conf, registry, views
from pvelab.storage import activation, config

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route
    from pvelab.guests.registry import Guest

FIRST_ID, LAST_ID = 100, 1_000_000
_NOT_SHOWN = ("vmid", "cpus", "type", "pid", "qmpstatus", "ha")


def _remote_guests(node: str) -> dict[int, dict[str, Any]]:
    """What another member says of its guests; nothing when it does not answer."""
    found: dict[int, dict[str, Any]] = {}
    for kind in ("qemu", "lxc"):
        try:
            answer = remote.call(node, "GET", f"/nodes/{node}/{kind}")
        except PveError:
            return {}
        found |= {int(item["vmid"]): item for item in answer}
    return found


def _known(ctx: Context, guests: dict[int, Guest]) -> dict[int, dict[str, Any]]:
    """The state of all guests, each asked where it is."""
    members = cfs.members()
    found: dict[int, dict[str, Any]] = {}
    for node in {guest.node for guest in guests.values()} - {ctx.node}:
        if members.get(node, {}).get("online"):
            found |= _remote_guests(node)
    for vmid, guest in guests.items():
        if guest.node == ctx.node:
            try:
                found[vmid] = views.listed(guest)
            except PveError:
                continue
    return found


def _ha_states() -> dict[str, str]:
    text = cfs.read("ha/manager_status")
    services = json.loads(text).get("service_status", {}) if text else {}
    return {sid: str(state.get("state", "")) for sid, state in services.items()}


def _guest_entry(guest: Guest, known: dict[str, Any] | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": f"{guest.kind}/{guest.vmid}", "type": guest.kind, "node": guest.node}
    shown |= {"vmid": guest.vmid}
    if (
        known is None
    ):  # its node reports nothing any more: what is left is what pmxcfs itself reads from the configuration
        return {**shown, "status": "unknown", **views.properties(conf.load(guest))}
    shown |= {"template": 0}
    facts = {key: value for key, value in known.items() if key not in _NOT_SHOWN}
    return {**shown, "maxcpu": known.get("cpus", 1), **facts}


def _guest_entries(ctx: Context) -> list[dict[str, Any]]:
    guests = {
        vmid: guest for vmid, guest in sorted(registry.guests().items()) if ctx.allowed(f"/vms/{vmid}", "VM.Audit")
    }
    known, states = _known(ctx, guests), _ha_states()
    found = []
    for vmid, guest in guests.items():
        try:
            shown = _guest_entry(guest, known.get(vmid))
        except PveError:
            continue
        if guest.ha_sid in states:
            shown["hastate"] = states[guest.ha_sid]
        found.append(shown)
    return found


def _storage_entry(storage: config.Storage, node: str, *, local: bool, online: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": f"storage/{node}/{storage.id}", "type": "storage", "node": node}
    shown |= {"storage": storage.id, "plugintype": storage.type, "content": ",".join(storage.content)}
    shown |= {"shared": int(storage.shared), "status": "available" if online else "unknown"}
    if local:
        state = activation.status(storage, node)
        shown["status"] = "available" if state["active"] else "unknown"
        shown |= {"disk": state["used"], "maxdisk": state["total"]}
    return shown


def _storage_entries(ctx: Context) -> list[dict[str, Any]]:
    found = []
    for node, member in sorted(cfs.members().items()):
        for storage in config.load().values():
            if storage.enabled_on(node) and ctx.allowed(f"/storage/{storage.id}", "Datastore.Audit"):
                online = bool(member.get("online"))
                found.append(_storage_entry(storage, node, local=node == ctx.node, online=online))
    return found


def resources(ctx: Context) -> list[dict[str, Any]]:
    """Guests, nodes and storages that the caller may see."""
    wanted = ctx.params.get("type")
    found: list[dict[str, Any]] = []
    if wanted in (None, "vm"):
        found += _guest_entries(ctx)
    if wanted in (None, "node"):
        found += [entry(name, member, ctx.node) for name, member in sorted(cfs.members().items())]
    if wanted in (None, "storage"):
        found += _storage_entries(ctx)
    return found


def next_id(ctx: Context) -> str:
    """The next free number for a guest, or a refusal of the one that is asked about."""
    taken = registry.guests()
    wanted = ctx.params.get("vmid")
    if wanted is not None:
        if int(wanted) in taken:
            raise parameter_error({"vmid": f"VM {wanted} already exists"})
        return str(wanted)
    return str(next(number for number in range(FIRST_ID, LAST_ID) if number not in taken))


ROUTES: list[Route] = [("GET", "/cluster/resources", resources), ("GET", "/cluster/nextid", next_id)]
