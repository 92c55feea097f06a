"""What differs between two designs, in words, with what it means for a cluster that runs. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from cli.report.known import (
    ANY_PRIORITY,
    DERIVED,
    GUEST_DISK,
    IN_THE_CLUSTER,
    KNOWN,
    MACS,
    PREFERRED,
    PRIORITY,
    SHRINKS,
    Mark,
)
from cli.report.values import by_identity, leaves, shown
from cli.report.way import Way, way

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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

    @property
    def sentence(self) -> str:
        """All of it but the mark."""
        return f"{self.place}: {self.text}" + (f" ({self.effect})" if self.effect else "")


PLACES = {
    "outerHosts": "outer host",
    "nodes": "node",
    "storages": "storage",
    "templates": "template",
    "guests": "guest",
}
KINDS = ("nodes", "guests")
# Lists inside of a place, whose items come and go as a whole; and the word for one item.
INSIDE = {"bridges": "bridge"}
NUMBERED = ("guests", "templates")
STILL_TAKEN = "new things are made before old ones go: take another vmid, or remove the old one in a run of its own"
LEAVES = "its guests move first, then it is powered off and taken out of the cluster"
ANOTHER_FIRST = "name a node that stays in its ha.nodes in a run before"
RENAMED = "in Proxmox VE at once; inside, nothing changes"
RENAMED_CONTAINER = "in Proxmox VE at once; inside, when it next restarts"
PROTECTED = "its VM is protected against that: docs/recovery.md#node-protected"


def changes(old: Mapping[str, Any], new: Mapping[str, Any], found_way: Way | None = None) -> list[Change]:
    """The differences between two designs, as the Design component carries them or more, by place.

    Args:
        old: one design.
        new: the other.
        found_way: how a running cluster gets there, if somebody looked at it.
    """
    names = _other_names(old, new)
    old = {**old, "guests": [_as_today(guest, names, new) for guest in old["guests"]]}
    found = [*_renamed(names, new), *_nodes(old, new), *_others(old, new), *_links(old, new), *_values(old, new)]
    found += _on_the_way(found_way or way(old, new))
    return sorted(found, key=lambda change: (_rank(change.place), change.place))


def _rank(place: str) -> int:
    ranks = ["outer host", "node", "cluster", "storage", "template", "guest", "stack"]
    return ranks.index(next(rank for rank in ranks if place.startswith(rank)))


def _other_names(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Guests that are described under another name now, which their number shows: the former name, and the new one."""
    before, after = by_identity(old["guests"]), by_identity(new["guests"])
    numbers = {(guest["kind"], int(guest["vmid"])): name for name, guest in after.items() if name not in before}
    gone = [guest for name, guest in before.items() if name not in after]
    found = {guest["name"]: numbers.get((guest["kind"], int(guest["vmid"]))) for guest in gone}
    return {was: now for was, now in found.items() if now is not None}


def _as_today(guest: Mapping[str, Any], names: Mapping[str, str], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """A guest under its new name. What an earlier version of this program did not record of guests is no change."""
    name = names.get(guest["name"], guest["name"])
    described = by_identity(new["guests"]).get(name, {})
    if "cores" in guest or guest.get("existing"):
        return {**guest, "name": name}
    return {**described, **guest, "name": name, "ha": {**described.get("ha", {}), **guest["ha"]}}


def _renamed(names: Mapping[str, str], new: Mapping[str, Any]) -> Iterator[Change]:
    after = by_identity(new["guests"])
    for was, now in names.items():
        container = after[now]["kind"] == "container"
        yield Change(f"guest {now}", f"name {was} → {now}", RENAMED_CONTAINER if container else RENAMED)


def _nodes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = by_identity(old["nodes"]), by_identity(new["nodes"])
    votes = int(old["cluster"]["votes"])
    for name in sorted(after.keys() - before.keys(), key=lambda name: int(after[name]["nodeId"])):
        yield from _joined(after[name], new, votes)
        votes += int(after[name]["votes"])
    for name in sorted(before.keys() - after.keys()):
        yield _left(before[name], old, votes)
        votes -= int(before[name]["votes"])


def _joined(node: Mapping[str, Any], design: Mapping[str, Any], votes: int) -> Iterator[Change]:
    """A node that is added. Nodes join one after another: `votes` are those of all that have joined before."""
    place = f"node {node['name']}"
    if node["kind"] == "nested":
        size = f"{shown(node['cores'])} processors, {shown(node['memoryMib'])} MiB, {shown(node['diskGib'])} GiB"
        yield Change(place, f"is installed as VM {shown(node['vmid'])} on {node['host']} ({size})", _room(node, design))
    together = votes + int(node["votes"])
    majority = together // 2 + 1
    text = f"joins cluster {design['cluster']['name']}: votes {votes} → {together}, {majority} needed"
    # A join counts from its start: until it is complete, the other members must be quorate without it.
    if votes >= majority:
        yield Change(place, text, "the cluster stays quorate, members are not restarted")
    else:
        yield Change(place, text, "until it has joined, the others have no majority", Mark.QUORUM)


def _left(node: Mapping[str, Any], design: Mapping[str, Any], votes: int) -> Change:
    """A node that is described no more. Nodes leave one after another: `votes` are those before it."""
    place, remain = f"node {node['name']}", votes - int(node["votes"])
    text = f"leaves cluster {design['cluster']['name']}: votes {votes} → {remain}, {remain // 2 + 1} needed"
    if node["kind"] != "nested":
        return Change(place, text, f"{LEAVES}; it stays off", Mark.LEAVES)
    if design["protectNodes"]:
        return Change(place, text, PROTECTED, Mark.REFUSED)
    return Change(place, text, f"{LEAVES}; its VM is destroyed last", Mark.LEAVES)


def _on_the_way(found: Way) -> Iterator[Change]:
    """Why a running cluster cannot be changed so, or what that does to its guests meanwhile."""
    if (why := found.refusal) is not None:
        yield Change("cluster", f"{why.what}: {why.observed}", f"{why.fix}: docs/recovery.md#{why.code}", Mark.REFUSED)
    for one in found.bound:
        yield Change(f"guest {one.guest}", one.text, ANOTHER_FIRST, Mark.BOUND)


def _room(node: Mapping[str, Any], design: Mapping[str, Any]) -> str:
    """How much memory its outer host then has left for nodes."""
    host = by_identity(design["outerHosts"]).get(node["host"], {})
    if host.get("memoryMib") is None:
        return ""
    taken = sum(other["memoryMib"] for other in design["nodes"] if other.get("host") == node["host"])
    return f"of {shown(host['memoryMib'])} MiB for nodes there, {shown(host['memoryMib'] - taken)} are left"


def _others(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for part in ("guests", "templates", "storages", "outerHosts"):
        before, after = by_identity(old[part]), by_identity(new[part])
        freed = {before[name].get("vmid"): name for name in before.keys() - after.keys()} if part in NUMBERED else {}
        for name in sorted(after.keys() - before.keys()):
            place = f"{PLACES[part]} {name}"
            if previous := freed.get(after[name].get("vmid")):
                yield Change(place, f"has the vmid of {previous}, which goes", STILL_TAKEN, Mark.REFUSED)
            else:
                yield Change(place, _came(part, after[name]))
        for name in sorted(before.keys() - after.keys()):
            # The recorded value decides: the engine never gets a new one for what is not described any more.
            yield _went(part, before[name], stays=bool(old["keepsGuests"]))


def _came(part: str, item: Mapping[str, Any]) -> str:
    if item.get("kind") == "external":
        return "is used as it is"
    if item.get("existing"):
        return f"{numbered(item)} exists, and is put under HA as it is"
    return {
        "guests": "is made, and put under HA",
        "templates": "is made",
        "storages": "is added to the cluster",
        "outerHosts": "is prepared: repository, nested KVM, bridges",
    }[part]


def _went(part: str, item: Mapping[str, Any], *, stays: bool) -> Change:
    place = f"{PLACES[part]} {item['name']}"
    if part == "outerHosts":
        return Change(place, "gets its original files back")
    if item.get("kind") == "external":
        return Change(place, "is no longer used")
    if part == "guests":
        return _guest_went(place, item, stays=stays)
    if stays:
        return Change(place, "is forgotten, and stays")
    if part == "templates":
        return Change(place, f"VM {int(item['vmid'])} is destroyed with its disk, if it is still this stack's")
    return Change(place, "is taken out of the cluster; its content stays")


def _guest_went(place: str, guest: Mapping[str, Any], *, stays: bool) -> Change:
    if guest.get("existing"):
        return Change(place, f"{numbered(guest)} leaves HA as far as this stack put it there, and runs on")
    if guest.get("keep"):
        return Change(place, f"{numbered(guest)} is taken out of HA and of this stack, and runs on")
    if stays:
        return Change(place, "is forgotten, and runs on")
    return Change(place, f"{numbered(guest)} is destroyed with its disks, if it is still this stack's", mark=Mark.DATA)


def numbered(guest: Mapping[str, Any]) -> str:
    """A guest by its number, since the number decides what is destroyed, whatever its name is by then."""
    return f"{'VM' if guest['kind'] == 'vm' else 'CT'} {int(guest['vmid'])}"


def _links(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = by_identity(old["cluster"]["links"]), by_identity(new["cluster"]["links"])
    for number in sorted(after.keys() - before.keys()):
        yield Change("cluster", f"gets link {number} ({after[number]['subnet']})", IN_THE_CLUSTER)
    for number in sorted(before.keys() - after.keys()):
        yield Change("cluster", f"loses link {number} ({before[number]['subnet']})", IN_THE_CLUSTER, Mark.QUORUM)


def _values(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = dict(leaves(old)), dict(leaves(new))
    protected = bool(old["protectNodes"])
    shown_already: set[tuple[str, str]] = set()
    for path in dict.fromkeys([*after, *before]):
        one, two = before.get(path), after.get(path)
        if one == two or _shown_elsewhere(path, old, new):
            continue
        change = _whole_item(path, old, new) or _value(path, one, two, _kind_of(path, old, new), protected=protected)
        if (change.place, change.text) not in shown_already:
            shown_already.add((change.place, change.text))
            yield change


def _shown_elsewhere(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
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


def _whole_item(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Change | None:
    """A bridge that came or went, once for all its values."""
    found = re.fullmatch(r"(\w+)\[(.*?)\]\.(\w+)\[(.*?)\]\..*", path)
    if found is None or found[3] not in INSIDE:
        return None
    part, owner, inside, name = found.groups()
    was, now = (name in by_identity(by_identity(design[part])[owner][inside]) for design in (old, new))
    text = f"{'gets' if now else 'loses'} {INSIDE[inside]} {name}"
    return Change(f"{PLACES[part]} {owner}", text, "the host's network is reloaded") if was != now else None


def _kind_of(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The kind of the node or guest that a path is about; empty for anything else."""
    part, _, rest = path.partition("[")
    if part not in KINDS:
        return ""
    name, _, key = rest.partition("]")
    item = {**by_identity(old[part]), **by_identity(new[part])}[name]
    return "existing" if item.get("existing") and key == ".memoryMib" else str(item["kind"])


def _value(path: str, before: Any, after: Any, kind: str, *, protected: bool) -> Change:  # noqa: ANN401 - JSON values
    one, two = shown(before), shown(after)
    part, _, rest = path.partition("[")
    name, _, key = rest.partition("]")
    by_kind = f"{kind}[{rest}" if kind else path
    known = _known(path, by_kind)
    words = {"last": path.rpartition(".")[2], "item": key.partition("[")[2].partition("]")[0]}
    label = known[1].format(**words) if known else key.removeprefix(".") or path.removeprefix("cluster.")
    effect, mark = known[2:] if known else ("", Mark.NONE)
    text = f"{label} {one} → {two}"
    if _matches(by_kind, MACS) and None in (before, after):
        text = f"{'gets' if before is None else 'loses'} a network card on {words['last']}"
    if _matches(path, PRIORITY) and after is None:
        effect = ANY_PRIORITY
    if _matches(path, PREFERRED) and after is None:
        effect, mark = "HA leaves it where it is", Mark.NONE
    if _matches(path, GUEST_DISK) and None not in (before, after) and after < before:
        effect, mark = SHRINKS
    if mark is Mark.REPLACE and protected:
        effect, mark = PROTECTED, Mark.REFUSED
    place = f"{PLACES[part]} {name}" if part in PLACES else "cluster" if path.startswith("cluster.") else "stack"
    if part == "cluster.links":
        text = f"link {name} {text}"
        place = f"node {words['last']}" if ".addresses." in key else "cluster"
    return Change(place, text, effect, mark)


@cache
def _pattern(path: str) -> re.Pattern[str]:
    """Of a path in which `*` stands for one name."""
    return re.compile(re.escape(path).replace(r"\*", r"[^\[\]]*"))


def _known(*paths: str) -> tuple[str, str, str, Mark] | None:
    return next((known for known in KNOWN if any(_matches(path, known[0]) for path in paths)), None)


def _matches(path: str, pattern: str) -> bool:
    return _pattern(pattern).fullmatch(path) is not None
