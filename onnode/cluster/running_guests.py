"""running-guests: the guests that run on this node, and whether and where else they could. Changes nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import membership
from onnode.contract import RunningGuest, RunningGuests, document
from onnode.step import Step, act_never, decide_nothing
from onnode.system import pve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnode.system.machine import ThisMachine
    from onnode.system.pve import GuestConfig, Section

# Their type says that all nodes reach the same volumes (PVE::Storage: plugindata, `shared`).
SHARED = ("nfs", "cifs", "cephfs", "rbd", "iscsi", "iscsidirect", "zfs", "glusterfs")
_VM_VOLUME = re.compile(r"(?:ide|sata|scsi|virtio|efidisk|tpmstate|unused)\d+")
_CT_VOLUME = re.compile(r"rootfs|(?:mp|unused)\d+")
_DEVICE = re.compile(r"(?:hostpci|usb|serial|parallel|dev)\d+")
_TIED = {"usb": ("spice",), "serial": ("socket",)}  # of these devices, what is no part of the node
_PLACES = {"VM": ("vm", "/etc/pve/qemu-server"), "CT": ("ct", "/etc/pve/lxc")}


@dataclass(frozen=True)
class Settings:
    """What the cluster's configuration says about places.

    Attributes:
        storages: by name.
        resources: those of HA, by guest.
        bound: by guest, the only nodes that its HA rule or group allows.
    """

    storages: dict[str, Section] = field(default_factory=dict)
    resources: dict[str, Section] = field(default_factory=dict)
    bound: dict[str, list[str]] = field(default_factory=dict)


def parse_settings(storages: str, resources: str, rules: str, groups: str) -> Settings:
    """Read storage.cfg, and resources.cfg, rules.cfg and groups.cfg of HA."""
    under_ha = {f"{one.type}:{one.id}": one for one in pve.parse_sections(resources)}
    strict = [
        one
        for one in pve.parse_sections(rules)
        if one.type == "node-affinity" and one.values.get("strict") == "1" and one.values.get("disable") != "1"
    ]
    bound = {sid: _nodes(rule) for rule in strict for sid in re.findall(r"[^,\s]+", rule.values.get("resources", ""))}
    restricted = {one.id: _nodes(one) for one in pve.parse_sections(groups) if one.values.get("restricted") == "1"}
    bound |= {
        sid: restricted[group] for sid, one in under_ha.items() if (group := one.values.get("group")) in restricted
    }
    return Settings({one.id: one for one in pve.parse_sections(storages)}, under_ha, bound)


def _nodes(section: Section) -> list[str]:
    """The nodes that a section names; a priority may stand behind each."""
    return sorted(name.partition(":")[0] for name in re.findall(r"[^,\s]+", section.values.get("nodes", "")))


def guest(sid: str, config: GuestConfig, settings: Settings) -> RunningGuest:
    """One guest; pure."""
    name = config.values.get("name") or config.values.get("hostname") or sid
    resource = settings.resources.get(sid)
    managed = resource is not None and resource.values.get("state") != "ignored"
    obstacles = list(_obstacles(sid, config, settings))
    used = [settings.storages[storage] for storage in _storages(sid, config) if storage in settings.storages]
    limits = [_nodes(storage) for storage in used if storage.values.get("nodes")]
    limits += [settings.bound[sid]] if managed and sid in settings.bound else []
    allowed = sorted(set(limits[0]).intersection(*limits[1:])) if limits else None
    return RunningGuest(sid, name, managed, obstacles, allowed)


def _volumes(sid: str, config: GuestConfig) -> Iterator[tuple[str, str, str]]:
    """Its drives and mount points: each with the volume or path, and with all that is said about it."""
    pattern = _VM_VOLUME if sid.startswith("vm:") else _CT_VOLUME
    for key, value in config.values.items():
        if pattern.fullmatch(key):
            yield key, value.partition(",")[0], value


def _storages(sid: str, config: GuestConfig) -> set[str]:
    return {volume.partition(":")[0] for _, volume, _ in _volumes(sid, config) if ":" in volume}


def _obstacles(sid: str, config: GuestConfig, settings: Settings) -> Iterator[str]:
    if lock := config.values.get("lock"):
        yield f"it is locked ({lock})"
    for key, volume, told in _volumes(sid, config):
        storage, colon, _ = volume.partition(":")
        if not colon and volume != "none" and "shared=1" not in told:
            yield f"{key} is the node's own ({volume})"
        elif colon and not _is_shared(settings.storages.get(storage)):
            yield f"{key} is on {storage}, which is not shared"
    for key, value in config.values.items():
        kind = key.rstrip("0123456789")
        if _DEVICE.fullmatch(key) and not value.startswith(_TIED.get(kind, ())):
            yield f"{key} is a device of the node"


def _is_shared(storage: Section | None) -> bool:
    return storage is not None and (storage.type in SHARED or storage.values.get("shared") == "1")


def observe(machine: ThisMachine, _desired: None) -> RunningGuests:
    """Ask which guests run, and read their configuration."""
    files = ("/etc/pve/storage.cfg", "/etc/pve/ha/resources.cfg", "/etc/pve/ha/rules.cfg", "/etc/pve/ha/groups.cfg")
    settings = parse_settings(*(machine.read(path) or "" for path in files))
    found = []
    for shown in pve.running_guests(machine):
        word, _, vmid = shown.partition(" ")
        kind, directory = _PLACES[word]
        config = pve.parse_guest_config(machine.read(f"{directory}/{vmid}.conf") or "")
        found.append(guest(f"{kind}:{vmid}", config, settings))
    return RunningGuests(membership.hostname(machine), found)


def facts(seen: RunningGuests, _desired: None) -> dict[str, Any]:
    """All of it."""
    return document(seen)


def unchanged(seen: RunningGuests, _desired: None) -> str:
    """Say what was found."""
    return f"{len(seen.guests)} guests run on {seen.node}"


STEP = Step(None, observe, decide_nothing, act_never, facts, unchanged, lock="none")
