"""What somebody changed in corosync.conf by hand is named, and its step runs again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cli.drift import configuration, record
from cli.drift.kinds import CONFIGURATION
from cluster.contract import ClusterChange
from onnode.cluster.corosync import Device
from tests.unit.cluster.worlds import CLUSTER, joined, listed, members

if TYPE_CHECKING:
    from onnode.contract.membership import Membership

WANTED = ClusterChange(CLUSTER, "dev", members(3), {}, {"token": "3000"}, 60)
# Two resources run this step; the first comes before the joins.
ASKED = {
    "urn::identity": ("identity", WANTED),
    "urn::change": ("change-cluster", WANTED),
    "urn::settings": ("change-cluster", WANTED),
}
SETTINGS = {"token": "3000", "version": "2"}


def world() -> dict[str, Membership]:
    return {f"proxmox0{number}": joined(number, 1, 2, 3, totem=SETTINGS) for number in (1, 2, 3)}


def said(reports: dict[str, Membership]) -> list[str]:
    found = list(configuration.differs(ASKED, reports))
    assert {(one.urn, one.where, one.kind) for one in found} <= {("urn::change", "cluster", CONFIGURATION)}
    return [one.what.removeprefix("corosync.conf is not as described: ") for one in found]


def edited(**changes: object) -> dict[str, Membership]:
    """One member has a newer configuration than the others have taken yet."""
    reports = world()
    reports["proxmox02"] = replace(reports["proxmox02"], config_version=9, **changes)  # type: ignore[arg-type]
    return reports


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"priorities": {0: 20, 1: 30}}, "link 1 gets priority 10"),
        ({"totem": {"token": "9000"}}, "other settings of corosync: token 3000"),
        ({"nodes": [listed(1), listed(2), replace(listed(3), votes=2)]}, "other votes: proxmox03 1"),
        (
            {"nodes": [listed(1), listed(2), replace(listed(3), links={0: "10.10.1.187", 1: "10.20.1.9"})]},
            "link 1 gets another address on proxmox03, and is out of use until then",
        ),
    ],
    ids=["priority", "totem", "votes", "address"],
)
def test_a_change_by_hand_is_named_by_what_puts_it_back(changes: dict[str, object], words: str) -> None:
    assert said(world()) == []
    assert said(edited(**changes)) == [words]


def test_settings_that_nobody_described_are_nobodys_drift() -> None:
    assert said(edited(totem={**SETTINGS, "token_retransmits_before_loss_const": "10"})) == []


def test_no_cluster_or_no_such_step_is_no_drift() -> None:
    assert list(configuration.differs({}, edited(priorities={0: 1, 1: 1}))) == []
    assert said({name: replace(one, cluster=None, nodes=[]) for name, one in world().items()}) == []


def test_what_the_step_would_refuse_is_left_to_other_findings() -> None:
    """A stranger in the cluster: `member-unknown`."""
    stranger = replace(listed(3), name="stranger", id=9, links={0: "10.10.1.99", 1: "10.20.1.99"})
    assert said(edited(nodes=[listed(1), listed(2), listed(3), stranger], priorities={0: 1, 1: 1})) == []


def test_its_step_runs_again() -> None:
    resources = [{"urn": "urn::change", "inputs": {"create": "x"}, "outputs": {"create": "x"}}]
    state = {"deployment": {"resources": resources}}
    marked = record.marked(state, configuration.differs(ASKED, edited(priorities={0: 20, 1: 30})))
    assert "link 1 gets priority 10" in marked["deployment"]["resources"][0]["inputs"]["update"]
    unmarked = record.marked(state, configuration.differs(ASKED, world()))
    assert "update" not in unmarked["deployment"]["resources"][0]["inputs"]


WITNESS = replace(WANTED, witness="192.168.0.106", members=members(2))
WITNESSED = {"urn::change": ("change-cluster", WITNESS), "urn::qdevice": ("set-qdevice", None)}


def two(**changes: object) -> dict[str, Membership]:
    both = {f"proxmox0{number}": joined(number, 1, 2, totem=SETTINGS) for number in (1, 2)}
    return {name: replace(one, **changes) for name, one in both.items()}  # type: ignore[arg-type]


def test_a_qdevice_that_somebody_removed_is_set_up_again() -> None:
    found = configuration.differs(WITNESSED, two())
    assert [(one.urn, one.what) for one in found] == [
        ("urn::qdevice", "corosync.conf is not as described: the QDevice on 192.168.0.106 gets a vote")
    ]
    there = Device("192.168.0.106", tls="on")
    assert list(configuration.differs(WITNESSED, two(device=there))) == []


def test_nothing_runs_by_itself_that_would_remove_a_qdevice() -> None:
    """It may be somebody else's; and who is asked on the way is the step that plans all of it."""
    other = Device("192.168.0.99", tls="on")
    assert list(configuration.differs(WITNESSED, two(device=other, priorities={0: 1, 1: 1}))) == []
    assert list(configuration.differs(WITNESSED, two(priorities={0: 1, 1: 1}))) != []
