"""What differs between two designs, in words, with what it means for a cluster that runs. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from admin.report.values import by_identity, leaves, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AT_START = "its VM takes it when it is next stopped and started"


class Mark(StrEnum):
    """What a reviewer must not overlook."""

    NONE = ""
    REFUSED = "`up` refuses"
    QUORUM = "can cost the quorum"
    REPLACE = "replaces a node"
    RESTART = "restarts or stops a guest"
    DATA = "destroys data"


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        place: what it is about: "node proxmox02", "cluster", "guest vm01".
        text: what differs.
        effect: what that means on a running cluster.
    """

    place: str
    text: str
    effect: str = ""
    mark: Mark = Mark.NONE


IDENTITY_CHANGED = ("a cluster that exists keeps it (identity-changed)", Mark.REFUSED)

MACS = "nodes[*].macs.*"

# By path, the first match counts: what it is called, what a change means, what to look out for.
KNOWN: list[tuple[str, str, str, Mark]] = [
    ("nodes[*].memoryMib", "memory in MiB", AT_START, Mark.NONE),
    ("nodes[*].cores", "processors", AT_START, Mark.NONE),
    ("nodes[*].cpuType", "CPU type", AT_START, Mark.NONE),
    ("nodes[*].diskGib", "disk in GiB", "Proxmox VE only enlarges disks; the file system inside stays as it is", Mark.NONE),
    ("nodes[*].votes", "votes", *IDENTITY_CHANGED),
    ("nodes[*].nodeId", "Corosync number", *IDENTITY_CHANGED),
    ("nodes[*].address", "management address", "nothing moves an installed node: change it there first", Mark.QUORUM),
    ("nodes[*].vmid", "vmid", "its VM is made anew; a member is lost with it", Mark.REPLACE),
    ("nodes[*].host", "outer host", "its VM is made anew there; a member is lost with the old one", Mark.REPLACE),
    ("nodes[*].kind", "kind", "its VM is made or destroyed", Mark.REPLACE),
    (MACS, "MAC address on {last}", f"{AT_START}; its links are matched by MAC inside", Mark.QUORUM),
    ("nodes[*].watchdog", "watchdog", "compared with the node, never set (watchdog-differs)", Mark.NONE),
    ("nodes[*].networks", "further addresses", "its interfaces are reloaded; storage on that network stalls", Mark.RESTART),
    ("cluster.name", "name", *IDENTITY_CHANGED),
    ("cluster.seed", "seed", *IDENTITY_CHANGED),
    ("cluster.links[*].addresses.*", "address", *IDENTITY_CHANGED),
    ("cluster.links[*].priority", "priority", "a cluster that exists keeps its own (member-differs)", Mark.REFUSED),
    ("cluster.links[*].subnet", "subnet", "", Mark.NONE),
    ("cluster.migrationNetwork", "migration network", "the next live migrations use it", Mark.NONE),
    ("cluster.haShutdownPolicy", "HA shutdown policy", "holds from the next shutdown of a node on", Mark.NONE),
    ("cluster.api.user", "API user", "the new one is made, the old one stays", Mark.NONE),
    ("outerHosts[*].nested", "nested virtualization", "changed only while no VM runs there; otherwise refused", Mark.NONE),
    ("outerHosts[*].bridges[*].address", "bridge address", "the host's network is reloaded", Mark.NONE),
    ("outerHosts[*].bridges[*].dhcp.*", "DHCP {last}", "the DHCP service is restarted", Mark.NONE),
    ("outerHosts[*].repository", "repository", "source lists are rewritten", Mark.NONE),
    ("maintenance.repository", "repository of the nodes", "source lists are rewritten; members are not upgraded", Mark.NONE),
    ("storages[*].server", "server", "the storage is made anew under running guests", Mark.RESTART),
    ("storages[*].kind", "kind", "the storage is made anew under running guests", Mark.RESTART),
    ("templates[*].vmid", "vmid", "the template is made anew", Mark.NONE),
    ("guests[*].vmid", "vmid", "the guest is made anew, its disks are lost", Mark.DATA),
    ("guests[*].kind", "kind", "the guest is made anew, its disks are lost", Mark.DATA),
    ("guests[*].memoryMib", "memory in MiB", "a VM takes it when it is next stopped and started, a container at once", Mark.NONE),
    ("guests[*].storage", "storage", "a disk that exists is not moved; a container is refused (guest-differs)", Mark.NONE),
    ("guests[*].node", "node", "only where it is made: HA decides where it runs", Mark.NONE),
    ("guests[*].bridge", "bridge", "its network card is moved", Mark.NONE),
    ("guests[*].address", "address", "a container is not made anew (guest-differs)", Mark.REFUSED),
    ("guests[*].ha.state", "HA state", "HA starts or stops it", Mark.RESTART),
    ("guests[*].ha.*", "HA {last}", "HA may move it: live, where it can", Mark.NONE),
    ("protectNodes", "protection of the nodes' VMs", "", Mark.NONE),
    ("plainSecrets", "plain secrets in the stack file", "whoever reads the repository has them", Mark.NONE),
    ("pveMajor", "Proxmox VE's major version", "nothing upgrades members: they must have it already", Mark.REFUSED),
]  # fmt: skip
# What follows from other values, and is told with them.
DERIVED = ("cluster.votes", "cluster.links[*].bridges.*", "cluster.links[*].number", "guests[*].kvm")
PLACES = {
    "outerHosts": "outer host",
    "nodes": "node",
    "storages": "storage",
    "templates": "template",
    "guests": "guest",
}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """The differences between two designs, as the Design component carries them, by place."""
    found = [*_nodes(old, new), *_others(old, new), *_links(old, new), *_values(old, new)]
    return sorted(found, key=lambda change: (_rank(change.place), change.place))


def _rank(place: str) -> int:
    ranks = ["outer host", "node", "cluster", "storage", "template", "guest", "stack"]
    return ranks.index(next(rank for rank in ranks if place.startswith(rank)))


def _nodes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = by_identity(old["nodes"]), by_identity(new["nodes"])
    for name in sorted(after.keys() - before.keys(), key=list(after).index):
        yield from _joined(after[name], old["cluster"], new["cluster"])
    for name in sorted(before.keys() - after.keys()):
        effect = "take it out of the cluster first, as docs/recovery.md#member-removed says"
        yield Change(f"node {name}", f"leaves cluster {old['cluster']['name']}", effect, Mark.REFUSED)


def _joined(node: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    place = f"node {node['name']}"
    if node["kind"] == "nested":
        size = f"{shown(node['cores'])} processors, {shown(node['memoryMib'])} MiB, {shown(node['diskGib'])} GiB"
        yield Change(place, f"is installed as VM {shown(node['vmid'])} on {node['host']} ({size})")
    majority = int(after["votes"]) // 2 + 1
    votes = f"votes {shown(before['votes'])} → {shown(after['votes'])}, {majority} needed"
    text = f"joins cluster {after['name']}: {votes}"
    # An unfinished join counts already: the members that are there must be quorate without it.
    if before["votes"] >= majority:
        yield Change(place, text, "the cluster stays quorate, members are not restarted")
    else:
        yield Change(place, text, "until it has joined, the others have no majority", Mark.QUORUM)


def _others(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    kept = new["keepsGuests"]
    effects = {
        "guests": ("is made, and put under HA", "is forgotten, and runs on" if kept else "is destroyed with its disks"),
        "templates": ("is made", "is destroyed with its disk"),
        "storages": ("is added to the cluster", "is taken out of the cluster; its content stays"),
        "outerHosts": ("is prepared: repository, nested KVM, bridges", "gets its originals back"),
    }
    for part, (came, went) in effects.items():
        before, after = by_identity(old[part]), by_identity(new[part])
        for name in sorted(after.keys() - before.keys()):
            yield Change(f"{PLACES[part]} {name}", came)
        for name in sorted(before.keys() - after.keys()):
            yield Change(f"{PLACES[part]} {name}", went, mark=Mark.DATA if part == "guests" and not kept else Mark.NONE)


def _links(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = by_identity(old["cluster"]["links"]), by_identity(new["cluster"]["links"])
    effect, mark = IDENTITY_CHANGED
    for number in sorted(after.keys() - before.keys()):
        yield Change("cluster", f"gets link {number} ({after[number]['subnet']})", effect, mark)
    for number in sorted(before.keys() - after.keys()):
        yield Change("cluster", f"loses link {number} ({before[number]['subnet']})", effect, mark)


def _values(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = dict(leaves(old)), dict(leaves(new))
    for path in dict.fromkeys([*after, *before]):
        one, two = before.get(path), after.get(path)
        if one != two and not _told_elsewhere(path, old, new):
            yield _value(path, shown(one), shown(two))


def _told_elsewhere(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    if any(_matches(path, pattern) for pattern in DERIVED):
        return True
    part, _, rest = path.partition("[")
    name = rest.partition("]")[0]
    if part in PLACES and (name in by_identity(old[part])) != (name in by_identity(new[part])):
        return True
    if part == "cluster.links":
        if (name in by_identity(old["cluster"]["links"])) != (name in by_identity(new["cluster"]["links"])):
            return True
        node = rest.partition("].addresses.")[2]
        return bool(node) and (node in by_identity(old["nodes"])) != (node in by_identity(new["nodes"]))
    return False


def _value(path: str, one: str, two: str) -> Change:
    known = next((known for known in KNOWN if _matches(path, known[0])), None)
    part, _, rest = path.partition("[")
    name, _, key = rest.partition("]")
    last = path.rpartition(".")[2]
    label = known[1].format(last=last) if known else key.removeprefix(".") or path
    place = f"{PLACES[part]} {name}" if part in PLACES else "cluster" if path.startswith("cluster.") else "stack"
    if part == "cluster.links":
        label = f"link {name} {label}"
        place = f"node {last}" if ".addresses." in key else "cluster"
    _, _, effect, mark = known or ("", "", "", Mark.NONE)
    text = f"{label} {one} → {two}"
    if _matches(path, MACS) and "none" in (one, two):
        text = f"{'gets' if one == 'none' else 'loses'} a network card on {last}"
    return Change(place, text, effect, mark)


def _matches(path: str, pattern: str) -> bool:
    """Like a shell's pattern, with brackets taken as they are."""
    return fnmatchcase(path, re.sub(r"\[(?=\*\])", "[[]", pattern))
