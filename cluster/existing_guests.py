"""Guests that exist already: whether HA can look after them, and what of their HA settings is to be made or changed. Pure.

Only what carries this stack's comment is ever changed or removed. What somebody else has set in HA stays as it is where it is as
described, and is refused by name where it is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluster.errors import AdminError
from onnode.cluster import guest_places
from onnode.system import pve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cluster.contract import ExistingGuest
    from onnode.cluster.guest_places import Place
    from onnode.system.pve import Section

RULES_SINCE = 9  # before that, HA groups say where a guest may run
# Of /etc/pve, as paths below /; the guests' own files are read anyway.
FILES = "etc/pve/storage.cfg etc/pve/replication.cfg"
KINDS = {"qemu-server": "vm", "lxc": "container"}
SHOWN = {"vm": "VM", "container": "CT"}
# What HA takes where resources.cfg says nothing (PVE::HA::Resources).
DEFAULTS = {"state": "started", "max_restart": "1", "max_relocate": "1", "failback": "1"}
RULE, GROUP = "node-affinity", "group"
_GUEST = re.compile(r"etc/pve/nodes/(?P<node>[^/]+)/(?P<kind>qemu-server|lxc)/(?P<vmid>\d+)\.conf")
_LISTED = re.compile(r"[^,;\s]+")


@dataclass(frozen=True)
class Guest:
    """A guest as the cluster's files show it.

    Attributes:
        kind: "vm" or "container".
        place: where HA can start it.
    """

    kind: str
    vmid: int
    node: str
    name: str
    tags: tuple[str, ...]
    template: bool
    place: Place

    @property
    def shown(self) -> str:
        """For people."""
        return f"{SHOWN[self.kind]} {self.vmid} ({self.name or 'without a name'}) on {self.node}"


@dataclass(frozen=True)
class Seen:
    """What the files of a cluster show.

    Attributes:
        guests: by number.
        resources: of HA, by the guest's name there, "vm:200".
        rules: of HA, and the groups of Proxmox VE 8.
    """

    guests: dict[int, Guest] = field(default_factory=dict)
    resources: dict[str, Section] = field(default_factory=dict)
    rules: list[Section] = field(default_factory=list)


@dataclass(frozen=True)
class Act:
    """One call of the API under /cluster/ha.

    Attributes:
        method: "post" | "put" | "delete".
        path: of what is made, changed or removed.
        options: what is set.
        said: what it does, in words.
    """

    method: str
    path: str
    options: dict[str, Any]
    said: str


def read(files: Mapping[str, str]) -> Seen:
    """Read the files of a member, by path without the first slash."""
    settings = guest_places.parse(files.get("etc/pve/storage.cfg", ""), "", "", "")
    replicas = guest_places.replication(files.get("etc/pve/replication.cfg", ""))
    found = (
        _guest(match, text, settings, replicas) for path, text in files.items() if (match := _GUEST.fullmatch(path))
    )
    return under_ha(found, *(files.get(f"etc/pve/ha/{name}.cfg", "") for name in ("resources", "rules", "groups")))


def under_ha(guests: Iterable[Guest], resources: str, rules: str, groups: str) -> Seen:
    """Guests, with what resources.cfg, rules.cfg and groups.cfg of HA say."""
    return Seen(
        {guest.vmid: guest for guest in guests},
        {f"{one.type}:{one.id}": one for one in pve.parse_sections(resources)},
        [*pve.parse_sections(rules), *pve.parse_sections(groups)],
    )


def _guest(
    match: re.Match[str], text: str, settings: guest_places.Settings, replicas: Mapping[int, Sequence[str]]
) -> Guest:
    node, vmid = match["node"], int(match["vmid"])
    config = pve.parse_guest_config(text)
    copies = [node, *replicas[vmid]] if vmid in replicas else []
    place = guest_places.following(text, settings, copies)
    template = config.values.get("template") == "1"
    return Guest(KINDS[match["kind"]], vmid, node, place.name, tuple(config.tags), template, place)


def names(name: str, vmid: int) -> tuple[str, str]:
    """The names that a stack file may give a guest that Proxmox VE calls so; the second one where the first is taken."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "guest"
    ending = f"-{vmid}"
    return plain[:63].rstrip("-"), plain[: 63 - len(ending)].rstrip("-") + ending


def acts(wanted: ExistingGuest, seen: Seen) -> list[Act]:
    """What is to be done, in order; nothing where all is as described.

    Raises:
        AdminError: guest-missing, guest-changed, guest-foreign, guest-tied, ha-foreign.
    """
    guest = _fitting(wanted, seen)
    if differing := list(_foreign(wanted, seen)):
        raise _not_ours(wanted, guest, seen, differing)
    if wanted.pve_major >= RULES_SINCE:
        resource = _resource(wanted, seen, {})
        return [*resource, *_rule(wanted, seen)]
    group, leaves = _group(wanted, seen)
    return [*group, *_resource(wanted, seen, {"group": _group_name(wanted, seen)}), *leaves]


def leaving(wanted: ExistingGuest, seen: Seen) -> list[Act]:
    """What is to be done when it is described no more: what carries this stack's comment goes, and all else stays."""
    found, placement = [], _placement(wanted, seen)
    ours = placement is not None and _carries(placement, wanted)
    if placement is not None and ours and placement.type == RULE:
        found.append(_without(placement, [sid for sid in _listed(placement, "resources") if sid != wanted.sid]))
    if wanted.sid in seen.resources and _carries(seen.resources[wanted.sid], wanted):
        # `purge` would take the guest out of rules of others, too.
        options = {"purge": 0} if wanted.pve_major >= RULES_SINCE else {}
        said = f"HA resource {wanted.sid} is removed; the guest goes on as it is"
        found.append(Act("delete", f"resources/{wanted.sid}", options, said))
    # One that a killed run made is not in use yet.
    group = placement or next((one for one in seen.rules if one.id == f"{wanted.name}-placement"), None)
    if group is not None and group.type == GROUP and _carries(group, wanted) and not _users(group, seen, wanted.sid):
        found.append(_group_goes(group))
    return found


def _without(rule: Section, others: list[str]) -> Act:
    if others:
        options = {"type": RULE, "resources": ",".join(others)}
        return Act("put", f"rules/{rule.id}", options, f"HA rule {rule.id} is about {', '.join(others)} only")
    return Act("delete", f"rules/{rule.id}", {}, f"HA rule {rule.id} is removed")


def _users(group: Section, seen: Seen, besides: str) -> list[str]:
    return [sid for sid, one in seen.resources.items() if one.values.get("group") == group.id and sid != besides]


# -- the guest itself --------------------------------------------------------------------------------------------------


def _fitting(wanted: ExistingGuest, seen: Seen) -> Guest:
    described = f"{SHOWN[wanted.type]} {wanted.vmid} ({wanted.name})"
    guest = seen.guests.get(wanted.vmid)
    wrong = "none of that number" if guest is None else guest.shown
    if guest is None or guest.kind != wanted.type or wanted.name not in names(guest.name, guest.vmid):
        raise _missing(described, wrong, "correct type, vmid and name in the stack file, or leave it out")
    if guest.template:
        fix = "leave it out of the stack file: HA runs no templates"
        raise _missing(described, f"{wrong}, which is a template", fix)
    if wanted.stack_tag in guest.tags:
        raise other_origin(wanted.name, f"{guest.shown}, tags: {', '.join(guest.tags)}", made=True)
    if pve.TAG in guest.tags:
        raise AdminError(
            "guest-foreign",
            "a guest that another stack made is described as one that exists",
            observed=f"{guest.shown}, tags: {', '.join(guest.tags)}",
            expected="a guest that no stack of this program made",
            fix=f"leave {wanted.name} out of the stack file; or let the other stack give it up, with keep: true",
        )
    _refuse_tied(wanted, guest)
    return guest


def other_origin(name: str, observed: str, *, made: bool) -> AdminError:
    """The refusal of a guest that the stack made and that is described as existing, or the other way round."""
    if made:
        return AdminError(
            "guest-changed",
            "a guest that this stack made is described as one that exists",
            observed=f"{name} is {observed}",
            expected="the kind that it was made with, or a guest that is not this stack's any more",
            fix=f"describe {name} as before, with keep: true, and `make up`; leave it out, and `make up`; then describe it as existing",
        )
    return AdminError(
        "guest-changed",
        "a guest that existed is described as one that this stack makes",
        observed=f"{name} is {observed}",
        expected="kind: existing",
        fix=f"put back the kind of {name}; for a guest that this stack makes, choose another name and vmid",
    )


def another(name: str, was: str, now: str) -> AdminError:
    """The refusal of another guest under the name of one that this stack looks after: nobody would take that one out of HA."""
    return AdminError(
        "guest-changed",
        "another guest is described under the name of an existing one that this stack looks after",
        observed=f"{name} is {was}, and described as {now}",
        expected=f"{was}, or another name",
        fix=f"put {was} back; to end with it, leave {name} out and `make up`, then describe the other one",
    )


def _missing(described: str, observed: str, fix: str) -> AdminError:
    what = "a guest that is described as existing is not there, or is another one"
    return AdminError("guest-missing", what, observed=observed, expected=described, fix=fix)


def _refuse_tied(wanted: ExistingGuest, guest: Guest) -> None:
    """Refuse a guest that HA could not start on another node."""
    candidates = sorted(wanted.nodes) if wanted.strict else [member.name for member in wanted.members]
    allowed = candidates if guest.place.nodes is None else guest.place.nodes
    lacking = [name for name in candidates if name not in allowed]
    tied = [*guest.place.obstacles, *([f"{', '.join(lacking)} cannot read its disks"] if lacking else [])]
    if not tied:
        return
    only = (
        f"; or name only {', '.join(allowed)} in its ha.nodes, with strict: true"
        if len(allowed) > 1 and lacking
        else ""
    )
    raise AdminError(
        "guest-tied",
        "a guest that is described as existing cannot follow its HA to another node",
        observed=f"{guest.shown}: {'; '.join(tied)}",
        expected="disks on shared storage, or replicated, for every node that may run it; no devices of a node",
        fix=f"move what is named to a shared storage (`qm disk move`, `pct move-volume`), or replicate it (`pvesr`){only}",
    )


# -- HA ----------------------------------------------------------------------------------------------------------------


def _carries(section: Section, wanted: ExistingGuest) -> bool:
    return section.values.get("comment", "").strip().lower() == wanted.stack_tag


def _listed(section: Section, key: str) -> list[str]:
    return _LISTED.findall(section.values.get(key, ""))


def _options(wanted: ExistingGuest) -> dict[str, str]:
    """Of the resource, as Proxmox VE writes them."""
    options = {
        "state": wanted.state,
        "max_restart": str(wanted.max_restart),
        "max_relocate": str(wanted.max_relocate),
    }
    return options | ({"failback": str(int(wanted.failback))} if wanted.pve_major >= RULES_SINCE else {})


def value(section: Section, key: str) -> str:
    """An option of an HA resource, where nothing is written its default."""
    found = section.values.get(key, DEFAULTS.get(key, ""))
    return "started" if (key, found) == ("state", "enabled") else found


def priorities(section: Section) -> dict[str, int]:
    """The nodes of a rule or group with their priorities, the highest first; none counts as 0."""
    pairs = [one.partition(":") for one in _listed(section, "nodes")]
    return {name: int(number) if number.isdigit() else 0 for name, _, number in pairs}


def ranks(nodes: Mapping[str, int]) -> dict[str, int]:
    """The same order in the lowest numbers: only the order counts."""
    order = sorted(set(nodes.values()))
    return {name: order.index(number) for name, number in nodes.items()}


def placement_of(sid: str, seen: Seen) -> Section | None:
    """The rule that is in force, or the group, that says where a guest may run."""
    return next((one for one in _about(sid, seen) if not _is_off(one)), None)


def _about(sid: str, seen: Seen) -> list[Section]:
    group = seen.resources[sid].values.get("group") if sid in seen.resources else None
    return [
        one
        for one in seen.rules
        if (one.type == RULE and sid in _listed(one, "resources")) or (one.type == GROUP and one.id == group)
    ]


def _is_off(section: Section) -> bool:
    return section.values.get("disable", "0") != "0"


def _placement(wanted: ExistingGuest, seen: Seen) -> Section | None:
    """The rule or group that counts: one that is in force, otherwise ours that somebody has switched off."""
    ours = (one for one in _about(wanted.sid, seen) if _carries(one, wanted))
    return placement_of(wanted.sid, seen) or next(ours, None)


def is_strict(section: Section) -> bool:
    """Whether a rule or group allows its nodes only."""
    return section.values.get("strict" if section.type == RULE else "restricted", "0") == "1"


def _placed(wanted: ExistingGuest, section: Section) -> Iterator[str]:
    """What a rule or group says otherwise than described, in words."""
    if ranks(priorities(section)) != ranks(wanted.nodes):
        yield f"nodes {section.values.get('nodes', 'none')}"
    if _is_off(section):
        yield "switched off"
    if is_strict(section) != wanted.strict:
        yield f"strict {'on' if is_strict(section) else 'off'}"
    if section.type == GROUP and (section.values.get("nofailback", "0") == "1") == wanted.failback:
        yield f"failback {'off' if wanted.failback else 'on'}"


def _foreign(wanted: ExistingGuest, seen: Seen) -> Iterator[str]:
    """What somebody else has set in HA, and otherwise than described, in words."""
    resource, placement = seen.resources.get(wanted.sid), _placement(wanted, seen)
    theirs = resource is not None and not _carries(resource, wanted)
    if resource is not None and theirs:
        for key, described in _options(wanted).items():
            if value(resource, key) != described:
                yield f"{key} of the HA resource is {value(resource, key)}, described: {described}"
    if placement is not None and not _carries(placement, wanted):
        differing = list(_placed(wanted, placement)) if wanted.nodes else ["it says where the guest may run"]
        if differing:
            yield f"HA {'rule' if placement.type == RULE else 'group'} {placement.id}: {', '.join(differing)}; described: {_described(wanted)}"
    if placement is None and wanted.nodes:
        if theirs and wanted.pve_major < RULES_SINCE:
            yield f"the HA resource is in no group; described: {_described(wanted)}"
        name = f"{wanted.name}-placement"
        if any(one.id == name and not (one.type == GROUP and _carries(one, wanted)) for one in seen.rules):
            yield f"{name} exists, and is about others"


def _described(wanted: ExistingGuest) -> str:
    if not wanted.nodes:
        return "any node"
    nodes = ",".join(f"{name}:{number}" for name, number in sorted(wanted.nodes.items()))
    return f"nodes {nodes}{', strict' if wanted.strict else ''}"


def _not_ours(wanted: ExistingGuest, guest: Guest, seen: Seen, differing: Sequence[str]) -> AdminError:
    resource, placement = seen.resources.get(wanted.sid), _placement(wanted, seen)
    commands = [f"set {wanted.sid}"] if resource is not None and not _carries(resource, wanted) else []
    if placement is not None and not _carries(placement, wanted):
        commands.append(f"rules set {RULE} {placement.id}" if placement.type == RULE else f"groupset {placement.id}")
    over = ", ".join(f"`ha-manager {command} --comment {wanted.stack_tag}`" for command in commands)
    takes = (
        f"; or hand it over to this stack, which then changes it, and takes it away in the end: {over}" if over else ""
    )
    return AdminError(
        "ha-foreign",
        "the HA settings of an existing guest are somebody else's, and not as described",
        observed=f"{guest.shown}: {'; '.join(differing)}",
        expected="HA settings as described, or none, or those with this stack's comment",
        fix=f"describe {wanted.name} as it is, or change it yourself{takes}",
    )


def _resource(wanted: ExistingGuest, seen: Seen, more: Mapping[str, str]) -> Iterator[Act]:
    """The resource is made, or ours is changed."""
    resource, options = seen.resources.get(wanted.sid), {**_options(wanted), **more}
    given = {key: one for key, one in options.items() if one}
    if resource is None:
        made = {"sid": wanted.sid, **given, "comment": wanted.stack_tag}
        yield Act("post", "resources", made, f"{wanted.sid} is put under HA")
    elif _carries(resource, wanted):
        differing = {key: one for key, one in options.items() if value(resource, key) != one}
        if differing:
            gone = [key for key, one in differing.items() if not one]
            changed = {key: one for key, one in differing.items() if one} | ({"delete": ",".join(gone)} if gone else {})
            yield Act("put", f"resources/{wanted.sid}", changed, f"HA resource {wanted.sid}: {_listing(differing)}")


def _listing(options: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {one or 'none'}" for key, one in sorted(options.items()))


def _rule(wanted: ExistingGuest, seen: Seen) -> Iterator[Act]:
    rule = _placement(wanted, seen)
    options = {
        "nodes": ",".join(f"{name}:{number}" for name, number in sorted(wanted.nodes.items())),
        "strict": int(wanted.strict),
    }
    if rule is None and wanted.nodes:
        name = f"{wanted.name}-placement"
        own = {"rule": name, "type": RULE, "resources": wanted.sid, **options, "comment": wanted.stack_tag}
        yield Act("post", "rules", own, f"HA rule {name}: {_described(wanted)}")
    elif rule is not None and _carries(rule, wanted):
        if not wanted.nodes:
            yield _without(rule, [sid for sid in _listed(rule, "resources") if sid != wanted.sid])
        elif any(_placed(wanted, rule)):
            said = f"HA rule {rule.id}: {_described(wanted)}"
            on = {"delete": "disable"} if _is_off(rule) else {}
            yield Act("put", f"rules/{rule.id}", {"type": RULE, **options, **on}, said)


def _group_name(wanted: ExistingGuest, seen: Seen) -> str:
    """The group that the resource is to be in: the one that it is in, if there is one; empty: in none."""
    placement = _placement(wanted, seen)
    if placement is not None and (wanted.nodes or not _carries(placement, wanted)):
        return placement.id
    return f"{wanted.name}-placement" if wanted.nodes else ""


def _group(wanted: ExistingGuest, seen: Seen) -> tuple[list[Act], list[Act]]:
    """What is done with the group before the resource, and after it."""
    placement = _placement(wanted, seen)
    if placement is not None and not _carries(placement, wanted):
        return [], []
    if not wanted.nodes:
        return [], [_group_goes(placement)] if placement is not None and not _users(placement, seen, wanted.sid) else []
    name = _group_name(wanted, seen)
    options = {
        "nodes": ",".join(f"{node}:{number}" for node, number in sorted(wanted.nodes.items())),
        "restricted": int(wanted.strict),
        "nofailback": int(not wanted.failback),
    }
    said = f"HA group {name}: {_described(wanted)}"
    group = next((one for one in seen.rules if one.id == name), None)
    if group is None:
        return [Act("post", "groups", {"group": name, **options, "comment": wanted.stack_tag}, said)], []
    return ([Act("put", f"groups/{name}", options, said)] if any(_placed(wanted, group)) else []), []


def _group_goes(group: Section) -> Act:
    return Act("delete", f"groups/{group.id}", {}, f"HA group {group.id} is removed")


def refused(wanted: Iterable[ExistingGuest], seen: Seen) -> AdminError | None:
    """The refusal of guests, of one kind all at once; None where all can be put under HA as described."""
    found = [error for one in wanted if (error := _refusal(one, seen))]
    if not found:
        return None
    same = [one for one in found if one.code == found[0].code]
    found[0].observed = "; ".join(one.observed for one in same)
    found[0].expected = "; ".join(dict.fromkeys(one.expected for one in same))
    found[0].fix = "; ".join(dict.fromkeys(one.fix for one in same))
    return found[0]


def _refusal(wanted: ExistingGuest, seen: Seen) -> AdminError | None:
    try:
        acts(wanted, seen)
    except AdminError as error:
        return error
    return None
