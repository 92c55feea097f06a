"""Members as described and as they report themselves, for the tests of decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cluster.contract import Member
from onnode.cluster.corosync import ConfNode, PeerLink, Quorum, Voter
from onnode.contract.links import ClusterLink
from onnode.contract.membership import MembershipReport

if TYPE_CHECKING:
    from collections.abc import Sequence

CLUSTER = "proxmox"
KEY = "SHA256:administrator"


def member(number: int) -> Member:
    """Described member `proxmox0N`."""
    links = [ClusterLink(0, f"10.10.1.{184 + number}", 20), ClusterLink(1, f"10.20.1.{184 + number}", 10)]
    return Member(f"proxmox0{number}", f"192.168.0.{184 + number}", "ssh-ed25519 AAAA", number, 1, links)


def members(count: int) -> list[Member]:
    return [member(number) for number in range(1, count + 1)]


def listed(number: int) -> ConfNode:
    """The same, as a cluster's configuration lists it."""
    return ConfNode(f"proxmox0{number}", number, 1, {0: f"10.10.1.{184 + number}", 1: f"10.20.1.{184 + number}"})


def up(peer: int, link: int) -> PeerLink:
    return PeerLink(peer, link, connected=True)


def cut(peer: int, link: int) -> PeerLink:
    return PeerLink(peer, link, connected=False)


def quorum(voting: Sequence[int], *, expected: int) -> Quorum:
    """With one vote each."""
    needed = expected // 2 + 1
    voters = [Voter(number, 1, f"10.10.1.{184 + number}") for number in voting]
    return Quorum(quorate=len(voters) >= needed, expected=expected, total=len(voters), needed=needed, members=voters)


def stand_alone(number: int, **changes: Any) -> MembershipReport:  # noqa: ANN401 - fields as they are
    report = MembershipReport(
        f"proxmox0{number}",
        "absent",
        api_fingerprint=f"AA:0{number}",
        pve_version="9.1.1",
        time=1000.0,
        authorized_keys=[KEY],
    )
    return replace(report, **changes)


def joined(number: int, *numbers: int, **changes: Any) -> MembershipReport:  # noqa: ANN401 - fields as they are
    """A healthy member of a cluster of the nodes with those numbers."""
    report = replace(
        stand_alone(number),
        state="member",
        cluster=CLUSTER,
        config_version=len(numbers),
        nodes=[listed(other) for other in numbers],
        priorities={0: 20, 1: 10},
        quorate=True,
        quorum=quorum(numbers, expected=len(numbers)),
        links=[up(other, link) for other in numbers if other != number for link in (0, 1)],
    )
    return replace(report, **changes)
