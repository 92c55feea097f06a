"""Where a guest may be: what ties it to its node, which nodes have its storages, and what the rules of HA say. Pure, but for `read`.

Facts: what a migration refuses (PVE/QemuMigrate.pm, PVE/LXC/Migrate.pm, check_local_resources in PVE/QemuServer.pm); which storages
are shared (`plugindata` in PVE/Storage).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnode.system import pve

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from onnode.system.machine import ThisMachine
    from onnode.system.pve import Section

# Their type says that all nodes reach the same volumes; others say so by `shared`.
SHARED = ("nfs", "cifs", "cephfs", "rbd", "iscsi", "iscsidirect", "glusterfs", "zfs", "pbs", "esxi")
FILES = ("/etc/pve/storage.cfg", "/etc/pve/ha/resources.cfg", "/etc/pve/ha/rules.cfg", "/etc/pve/ha/groups.cfg")
# In whatever part of the configuration: volumes of snapshots move, too.
_VOLUME = re.compile(
    r"^((?:ide|sata|scsi|virtio|efidisk|tpmstate|unused|mp)\d+|rootfs|vmstate):\s*([^,\s]+)(.*)$", re.MULTILINE
)
_DEVICE = re.compile(r"(?:hostpci|usb|serial|parallel|dev)\d+")
_TIED = {"usb": ("spice",), "serial": ("socket",)}  # of these devices, what is no part of the node
_COPIED = "zfspool"  # the type of storage that replicates (`replicate` in PVE/Storage)
_NONE = "none"  # a drive without a medium


@dataclass(frozen=True)
class Rule:
    """A rule of HA about nodes, or a group of Proxmox VE 8.

    Attributes:
        name: of it.
        group: whether it is a group.
        nodes: the priorities, by node; the higher one wins.
        guests: those that it is about, each as "vm:200".
        strict: no other nodes are allowed.
        ours: it carries the mark of the stack.
    """

    name: str
    group: bool
    nodes: dict[str, int]
    guests: list[str]
    strict: bool = False
    ours: bool = False


@dataclass(frozen=True)
class Settings:
    """What the cluster's configuration says about places.

    Attributes:
        storages: by name.
        resources: those of HA, by guest.
        rules: those that are in force.
    """

    storages: dict[str, Section] = field(default_factory=dict)
    resources: dict[str, Section] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)

    def is_managed(self, sid: str) -> bool:
        """Whether HA looks after a guest."""
        resource = self.resources.get(sid)
        return resource is not None and resource.values.get("state") != "ignored"


@dataclass(frozen=True)
class Place:
    """One guest.

    Attributes:
        name: for people; empty without one.
        obstacles: why no other node can have it, in words.
        nodes: the only ones that have its storages, and that its HA rule allows; None: all of them.
    """

    name: str
    obstacles: list[str]
    nodes: list[str] | None


def read(machine: ThisMachine, mark: str = "") -> Settings:
    """Read the cluster's files on a member; rules that carry the mark are `ours`."""
    return parse(*(machine.read(path) or "" for path in FILES), mark=mark)


def parse(storages: str, resources: str, rules: str, groups: str, *, mark: str = "") -> Settings:
    """Read storage.cfg, and resources.cfg, rules.cfg and groups.cfg of HA."""
    under_ha = {f"{one.type}:{one.id}": one for one in pve.parse_sections(resources)}
    return Settings(
        {one.id: one for one in pve.parse_sections(storages)},
        under_ha,
        [*_rules(rules, mark), *_groups(groups, under_ha, mark)],
    )


def _rules(text: str, mark: str) -> Iterator[Rule]:
    for one in pve.parse_sections(text):
        if one.type == "node-affinity" and one.values.get("disable") != "1":
            guests = _listed(one.values.get("resources", ""))
            strict = one.values.get("strict") == "1"
            yield Rule(one.id, False, _priorities(one), guests, strict, _carries(one, mark))  # noqa: FBT003 - no group


def _groups(text: str, resources: Mapping[str, Section], mark: str) -> Iterator[Rule]:
    for one in pve.parse_sections(text):
        guests = [sid for sid, resource in resources.items() if resource.values.get("group") == one.id]
        strict = one.values.get("restricted") == "1"
        yield Rule(one.id, True, _priorities(one), guests, strict, _carries(one, mark))  # noqa: FBT003 - a group


def _carries(section: Section, mark: str) -> bool:
    return bool(mark) and section.values.get("comment", "").strip().lower() == mark


def _listed(text: str) -> list[str]:
    return re.findall(r"[^,;\s]+", text)


def _priorities(section: Section) -> dict[str, int]:
    pairs = [one.partition(":") for one in _listed(section.values.get("nodes", ""))]
    return {name: int(priority) if priority.isdigit() else 0 for name, _, priority in pairs}


def judge(sid: str, text: str, settings: Settings) -> Place:
    """Where else a guest may be, from its configuration.

    Args:
        sid: as HA calls it, "vm:200".
        text: of its configuration.
        settings: of the cluster.
    """
    values = pve.parse_guest_config(text).values
    obstacles, limits = _ties(text, values, settings)
    if "lock" in values:
        obstacles.insert(0, f"it is locked ({values['lock']})")
    if settings.is_managed(sid):
        limits += [list(rule.nodes) for rule in settings.rules if rule.strict and sid in rule.guests]
    return Place(values.get("name") or values.get("hostname", ""), obstacles, _in_all(limits))


def following(text: str, settings: Settings, replicas: Collection[str] = ()) -> Place:
    """Where HA can start a guest when its node is dead, whatever locks it now, and whatever the rules of HA say.

    Args:
        text: of its configuration.
        settings: of the cluster.
        replicas: the nodes that have copies of its local disks, its own among them; empty without replication.
    """
    values = pve.parse_guest_config(text).values
    obstacles, limits = _ties(text, values, settings, replicas)
    return Place(values.get("name") or values.get("hostname", ""), obstacles, _in_all(limits))


def replication(text: str) -> dict[int, list[str]]:
    """Read replication.cfg: by guest, the nodes that its disks are copied to (PVE/ReplicationConfig.pm)."""
    found: dict[int, list[str]] = {}
    for job in pve.parse_sections(text):
        guest = job.id.partition("-")[0]
        if guest.isdigit() and "target" in job.values and job.values.get("disable", "0") == "0":
            found.setdefault(int(guest), []).append(job.values["target"])
    return found


def _ties(
    text: str, values: Mapping[str, str], settings: Settings, replicas: Collection[str] = ()
) -> tuple[list[str], list[list[str]]]:
    """Why its devices and volumes tie a guest to its node, and for each of its storages that some nodes lack, which have it."""
    volumes = list(_volumes(text, settings))
    copying = {name for name, one in settings.storages.items() if replicas and one.type == _COPIED}
    bound = [(why, storage in copying and copies) for why, storage, copies in volumes if why]
    obstacles = list(dict.fromkeys(why for why, copied in bound if not copied))
    obstacles += [f"{key} is a device of the node" for key, value in values.items() if _is_tied(key, value)]
    storages = {storage for _, storage, _ in volumes if storage in settings.storages}
    limits = [nodes for one in sorted(storages) if (nodes := nodes_of(settings.storages[one])) is not None]
    return obstacles, limits + ([list(replicas)] if any(copied for _, copied in bound) else [])


def _in_all(limits: Sequence[Collection[str]]) -> list[str] | None:
    return sorted(set(limits[0]).intersection(*limits[1:])) if limits else None


def _volumes(text: str, settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """Why each volume ties the guest to its node, if it does, the storage that it is on, and whether replication takes it along."""
    for key, volume, options in _VOLUME.findall(text):
        storage, colon, _ = volume.partition(":")
        if volume == _NONE or "shared=1" in options:
            continue
        if not colon:
            yield f"{key} is the node's own ({volume})", "", False
        else:
            copies = "replicate=0" not in options
            yield _why_only_here(key, storage, settings.storages.get(storage)), storage, copies


def _why_only_here(key: str, name: str, storage: Section | None) -> str:
    if storage is None or not (storage.type in SHARED or storage.values.get("shared") == "1"):
        return f"{key} is on {name}, which is not shared"
    return f"{key} is on {name}, which is switched off" if storage.values.get("disable") == "1" else ""


def _is_tied(key: str, value: str) -> bool:
    return bool(_DEVICE.fullmatch(key)) and not value.startswith(_TIED.get(key.rstrip("0123456789"), ()))


def nodes_of(storage: Section) -> list[str] | None:
    """The only nodes that have a storage; None: all of them."""
    return _listed(storage.values["nodes"]) if storage.values.get("nodes") else None
