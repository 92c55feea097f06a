"""Resources and rules as kept below /etc/pve/ha."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab import cfs, sections
from pvelab.guests.registry import guests
from pvelab.ha.model import Request, Resource
from pvelab.ha.placement import Affinities, NodeAffinity, ResourceAffinity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pvelab.sections import Section

RESOURCES = "ha/resources.cfg"
RULES = "ha/rules.cfg"


def read(relative: str) -> dict[str, Section]:
    """The sections of a file by id; of resources.cfg by sid."""
    found = sections.parse(cfs.read(relative))
    return {f"{section.type}:{name}": section for name, section in found.items()} if relative == RESOURCES else found


def write(relative: str, found: Mapping[str, Section]) -> None:
    """Replace a file."""
    cfs.write(relative, sections.render({section.id: section for section in found.values()}))


def resources() -> dict[str, Resource]:
    """The configured resources whose guest exists."""
    sections_by_sid = read(RESOURCES)
    # Asked for in every round of every CRM, and guests take longer to find than all the rest.
    where = guests() if sections_by_sid else {}
    found = {}
    for sid, section in sections_by_sid.items():
        guest = where.get(int(section.id)) if section.id.isdigit() else None
        if guest is not None and guest.ha_sid == sid:
            found[sid] = _resource(sid, guest.node, section)
    return found


def _resource(sid: str, node: str, section: Section) -> Resource:
    options = section.options
    state = options.get("state", "started")
    return Resource(
        sid=sid,
        node=node,
        state=Request("started" if state == "enabled" else state),
        max_restart=int(options.get("max_restart", 1)),
        max_relocate=int(options.get("max_relocate", 1)),
        failback=options.get("failback", "1") == "1",
        comment=options.get("comment"),
    )


def affinities() -> Affinities:
    """The rules in force."""
    return from_rules(read(RULES).values())


def from_rules(rules: Iterable[Section]) -> Affinities:
    """What the sections of rules.cfg amount to."""
    nodes: dict[str, NodeAffinity] = {}
    together = []
    for section in rules:
        options = section.options
        if options.get("disable") == "1":
            continue
        sids = [sid for sid in options.get("resources", "").split(",") if sid]
        if section.type == "node-affinity":
            affinity = NodeAffinity(parse_nodes(options.get("nodes", "")), strict=options.get("strict") == "1")
            nodes |= dict.fromkeys(sids, affinity)
        else:
            together.append(ResourceAffinity(frozenset(sids), together=options.get("affinity") == "positive"))
    return Affinities(nodes, tuple(together))


def parse_nodes(text: str) -> dict[str, int]:
    """Priorities by node from `n1:2,n2`."""
    found = {}
    for entry in text.replace(";", ",").replace(" ", ",").split(","):
        if entry:
            name, _, priority = entry.partition(":")
            found[name] = int(priority or 0)
    return found
