"""Members may know different lists of nodes: the newest one counts, and that of the quorate side before any other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cluster import formation
from cluster.errors import AdminError
from tests.unit.cluster.worlds import CLUSTER, KEY, joined, listed, member, members, quorum, stand_alone

if TYPE_CHECKING:
    from onnode.contract.membership import MembershipReport

# The first was cut off while the cluster changed, and does not know it yet.
OLD = joined(1, 1, 2, config_version=2)
NEW = joined(2, 1, 2, 3, config_version=3)


def test_the_newest_list_tells_who_is_adopted() -> None:
    answers = {"proxmox01": OLD, "proxmox02": NEW, "proxmox03": stand_alone(3)}
    assert formation.cluster_to_adopt(CLUSTER, "proxmox01", members(3), answers) == "proxmox02"


def test_an_id_that_only_the_newest_list_has_twice_is_not_overlooked() -> None:
    new = joined(2, 1, 2, 9, nodes=[listed(1), listed(2), replace(listed(9), id=2)], config_version=3)
    with pytest.raises(AdminError) as refused:
        formation.cluster_to_adopt(CLUSTER, "proxmox01", members(3), {"proxmox01": OLD, "proxmox02": new})
    assert (refused.value.code, refused.value.observed) == ("node-id-twice", "id 2: proxmox02 and proxmox09")


def test_the_list_of_the_quorate_side_counts_before_a_newer_one() -> None:
    """Who is not quorate may have been thrown out, and hold a list that nobody else ever saw."""
    apart = joined(2, 1, 2, 3, config_version=9, quorate=False, quorum=quorum([2], expected=3))
    there = joined(1, 1, 2, 3, config_version=3)
    assert (
        formation.cluster_to_adopt(CLUSTER, "proxmox01", members(3), {"proxmox01": there, "proxmox02": apart})
        == "proxmox01"
    )
    apart_first = {"proxmox02": apart, "proxmox01": there}
    assert formation.cluster_to_adopt(CLUSTER, "proxmox01", members(3), apart_first) == "proxmox01"


@pytest.mark.parametrize("order", [(OLD, NEW), (NEW, OLD)])
def test_a_joiner_that_only_the_newest_list_has_is_taken_for_listed(
    order: tuple[MembershipReport, ...],
) -> None:
    """Without `--force` Proxmox VE refuses it."""
    present = {look.node: look for look in order}
    plan = formation.plan_join(CLUSTER, [*members(2), member(3)], stand_alone(3), _not_voting(present), [KEY])
    assert plan.listed


def _not_voting(present: dict[str, MembershipReport]) -> dict[str, MembershipReport]:
    """The joiner is listed, and has no vote."""
    holds = quorum([1, 2], expected=3)
    return {name: replace(look, quorum=holds) for name, look in present.items()}


def test_who_is_missing_is_told_by_the_newest_list() -> None:
    lost = {"quorate": False, "quorum": quorum([1, 2], expected=4)}
    old = joined(1, 1, 2, config_version=2, **lost)
    new = joined(2, 1, 2, 3, config_version=3, **lost)
    for seen in ({"proxmox01": old, "proxmox02": new}, {"proxmox02": new, "proxmox01": old}):
        assert formation.bring_back(seen, {}) == "power on proxmox03; then run the same command again"


def test_who_is_missing_is_told_by_the_quorate_side() -> None:
    apart = joined(2, 1, 2, 3, config_version=9, quorate=False, quorum=None)
    there = joined(1, 1, 2, config_version=2)
    for seen in ({"proxmox01": there, "proxmox02": apart}, {"proxmox02": apart, "proxmox01": there}):
        said = formation.bring_back(seen, {})
        assert said == "on proxmox02: systemctl start corosync; then run the same command again"


def test_two_sides_with_a_quorum_are_refused_whatever_their_versions() -> None:
    smaller = joined(3, 3, config_version=9)
    formation.refuse_two_quorate([OLD, NEW])
    formation.refuse_two_quorate([OLD, NEW, replace(smaller, quorate=False)])
    formation.refuse_two_quorate([stand_alone(1)])
    for seen in ([joined(1, 1, 2), smaller], [smaller, joined(1, 1, 2, config_version=10)]):
        with pytest.raises(AdminError) as refused:
            formation.refuse_two_quorate(seen)
        assert refused.value.code == "clusters-split"
