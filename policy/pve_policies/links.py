"""Corosync's links: at least two, which cannot fail together and are not starved by other traffic."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import combinations
from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from .examples import CLUSTER, LINKS, design, link, on_cards
from .resources import COROSYNC_CLUSTER, DESIGN
from .rule import Props, Rule, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from .rule import Judge, Subject

LINKS_MIN = 2
LAN_MS = 5


def _clusters(check: Callable[[Props], Iterator[str]]) -> dict[str, Judge]:
    """The same check for the cluster within the Design and for the component that forms it."""
    return {
        DESIGN: lambda design: check(design.props["cluster"]),
        COROSYNC_CLUSTER: lambda cluster: check(cluster.props),
    }


def _too_few(cluster: Props) -> Iterator[str]:
    count = len(cluster["links"])
    if count < LINKS_MIN:
        yield f"cluster {cluster['name']} has {count} Corosync link; when its network fails, every node loses the quorum"


TWO_LINKS = Rule(
    id="corosync-two-links",
    level=EnforcementLevel.MANDATORY,
    demands="A cluster has at least two Corosync links.",
    protects="With one link, one switch port, cable or bridge ends the quorum, and HA fences every node that lost it.",
    source="F19",
    fix="Add a second entry, on another network, to links in nested-pve-ha:cluster.",
    judges=_clusters(_too_few),
    bad=design(cluster=CLUSTER | {"links": LINKS[:1]}),
    good=design(cluster=CLUSTER),
)


def _together(cluster: Props) -> Iterator[str]:
    for one, two in combinations(cluster["links"], 2):
        pair = f"cluster {cluster['name']} has links {number(one['number'])} and {number(two['number'])}"
        if ip_network(one["subnet"]).overlaps(ip_network(two["subnet"])):
            yield f"{pair} in one network ({one['subnet']} and {two['subnet']}), so they fail together"
        for machine in sorted(set(one["cards"]) & set(two["cards"])):
            for card in sorted(set(one["cards"][machine]) & set(two["cards"][machine])):
                yield f"{pair} on {card} of {machine}, so they fail together"


INDEPENDENT_LINKS = Rule(
    id="corosync-links-independent",
    level=EnforcementLevel.MANDATORY,
    demands="Corosync links are on different networks and different network cards.",
    protects="Two links over one card are one link, also as VLANs of it: they fail at the same moment. A bond is one card.",
    source="F19",
    fix="Give each of links in nested-pve-ha:cluster a subnet of its own, and a network card or bond of its own: an existing node's "
    "interface, or a bridge's ports in nested-pve-ha:outerHosts.",
    judges=_clusters(_together),
    bad=on_cards("bond0", "bond0"),
    good=on_cards("eth1", "eth2"),
)


def _ambiguous(cluster: Props) -> Iterator[str]:
    """Without any priority Corosync takes the link with the lowest number, which is an order too."""
    given = [(number(one["number"]), one.get("priority")) for one in cluster["links"]]
    if all(priority is None for _, priority in given):
        return
    for one, priority in given:
        if priority is None:
            yield f"link {one} of cluster {cluster['name']} has no priority, and others have one"
    for (one, first), (two, second) in combinations(given, 2):
        if first is not None and first == second:
            yield f"links {one} and {two} of cluster {cluster['name']} have the same priority, {number(first)}"


LINK_PRIORITIES = Rule(
    id="corosync-link-priorities",
    level=EnforcementLevel.MANDATORY,
    demands="Corosync links have different priorities, or none at all.",
    protects="Among links of equal priority Corosync uses the one with the lowest number, even if its network is busy. The "
    "highest priority belongs to the quiet network.",
    source="corosync.conf(5), pvecm(1): the connected link with the highest priority is used",
    fix="Give each of links in nested-pve-ha:cluster a priority of its own.",
    judges=_clusters(_ambiguous),
    bad=design(cluster=CLUSTER | {"links": [LINKS[0], LINKS[1] | {"priority": 20}]}),
    good=design(cluster=CLUSTER),
)


def _shared_with_others(design: Subject) -> Iterator[str]:
    active = ip_network(_active(design.props["cluster"]["links"])["subnet"])
    who = f"cluster {design.props['cluster']['name']} has its first link on {active}, which"
    for traffic, sharing in _traffic(design.props, active):
        if traffic not in design.settings["allowed"]:
            yield f"{who} {sharing}"


def _active(links: Sequence[Props]) -> Props:
    """The link that carries the traffic while all are up."""
    return max(links, key=lambda one: (one.get("priority") or 0, -one["number"]))


def _traffic(design: Props, active: IPv4Network | IPv6Network) -> Iterator[tuple[str, str]]:
    """Live migrations go where migrationNetwork says, and else to the address of the node's name: the management network."""
    management, migration = ip_network(design["managementNetwork"]["subnet"]), design["cluster"].get("migrationNetwork")
    if design["guests"] and active.overlaps(management):
        which = "is" if active == management else "overlaps"
        yield "guests", f"{which} the management network, where guests send as well"
    if migration and active.overlaps(ip_network(migration)):
        yield "migration", "also carries the live migrations"
    for storage in design["storages"]:
        if storage.get("server") and ip_address(storage["server"]) in active:
            yield "storage", f"also carries storage {storage['name']} ({storage['server']})"


QUIET_LINK = Rule(
    id="corosync-link-quiet",
    level=EnforcementLevel.MANDATORY,
    demands="The Corosync link with the highest priority carries no guests, migrations or storage.",
    protects="Under load the token comes late, and healthy nodes are fenced. Links of lower priority may share their network.",
    source="F19; Proxmox VE cluster manager, network requirements",
    fix="Give the highest priority to a link on a network of its own, or allow the traffic in the rule's settings.",
    judges={DESIGN: _shared_with_others},
    bad=design(cluster=CLUSTER | {"links": [link(0, "192.168.0.0/24", 20), LINKS[1]]}),
    good=design(cluster=CLUSTER | {"links": [link(0, "192.168.0.0/24", 5), LINKS[1]]}),
    settings={
        "allowed": {
            "type": "array",
            "items": {"type": "string", "enum": ["guests", "migration", "storage"]},
            "default": [],
            "description": "Traffic that may share the link.",
        }
    },
)


def _slow(cluster: Props) -> Iterator[str]:
    allowed = cluster.get("latencyMaxMs") or 0
    if allowed > LAN_MS:
        yield f"cluster {cluster['name']} takes links of up to {number(allowed)} ms, more than the {LAN_MS} ms of a LAN"


LAN_LATENCY = Rule(
    id="corosync-link-latency",
    level=EnforcementLevel.ADVISORY,
    demands="Corosync links must have the latency of a LAN.",
    protects="Between 5 and 10 ms the token comes late under load: that works with few nodes, and gets worse with each further one.",
    source="Proxmox VE cluster manager, network requirements: latencies under 5 ms",
    fix="Lower latencyMaxMs of nested-pve-ha:cluster to 5, or keep the cluster small.",
    judges=_clusters(_slow),
    bad=design(cluster=CLUSTER | {"latencyMaxMs": 8}),
    good=design(cluster=CLUSTER),
)

RULES = (TWO_LINKS, INDEPENDENT_LINKS, LINK_PRIORITIES, QUIET_LINK, LAN_LATENCY)
