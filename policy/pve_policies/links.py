"""A cluster has two Corosync links that cannot fail together: different subnets, different bridges (seed 003, F19)."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import combinations
from typing import TYPE_CHECKING, Any

from pulumi_policy import EnforcementLevel, ReportViolation, ResourceValidationArgs, ResourceValidationPolicy

from .resources import COROSYNC_CLUSTER, DESIGN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LINKS_MIN = 2


def _check(args: ResourceValidationArgs, report: ReportViolation) -> None:
    if args.resource_type == DESIGN:
        cluster = args.props["cluster"]
    elif args.resource_type == COROSYNC_CLUSTER:
        cluster = args.props
    else:
        return
    for problem in _problems(list(cluster["links"])):
        report(f"{args.name}: cluster {cluster['name']} {problem}", None)


def _problems(links: list[Mapping[str, Any]]) -> Iterator[str]:
    if len(links) < LINKS_MIN:
        yield (
            f"has {len(links)} Corosync link; when its network fails, every node loses the quorum. "
            "Add a second entry, on another network, to links in nested-pve-ha:cluster."
        )
    for one, two in combinations(links, 2):
        pair = f"links {int(one['number'])} and {int(two['number'])}"
        if ip_network(one["subnet"]).overlaps(ip_network(two["subnet"])):
            yield (
                f"has {pair} in one network ({one['subnet']} and {two['subnet']}), so they fail together. "
                "Give each of links in nested-pve-ha:cluster a subnet of its own."
            )
        for host in sorted(set(one["bridges"]) & set(two["bridges"])):
            if one["bridges"][host] == two["bridges"][host]:
                yield (
                    f"has {pair} on bridge {one['bridges'][host]} of {host}, so they fail together. "
                    f"Give each link a bridge of its own on {host} in nested-pve-ha:outerHosts."
                )


TWO_LINKS = ResourceValidationPolicy(
    name="two-independent-links",
    description="A cluster has two Corosync links on different subnets and bridges.",
    validate=_check,
    enforcement_level=EnforcementLevel.MANDATORY,
)
