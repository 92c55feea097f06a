"""What the failures that people report leave behind (F1 to F25), each seen by a look, and mended or answered with advice.

The others leave nothing behind: they end a run, or are refused before it (F8, F9, F13, F17, F20, F21, F23, F24).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from cli.drift import judge, provided, questions
from cli.drift.kinds import MEMBERSHIP, PROVIDED, STEP
from cli.drift.look import Answer
from cli.status.verdict import behind_ones_back, findings
from components.recorded import VM_TYPE
from onnode.contract.health import HaService, Watchdog
from onnode.contract.membership import Membership
from tests.unit.cli.drift.test_drift import (
    FILES,
    MEMBERS,
    STATE,
    VM_FILE,
    WORKING,
    here,
    planned,
    provided_resource,
    said,
)
from tests.unit.cli.status.test_status import (
    CUT,
    HA,
    RUNNING,
    WANTED,
    absent,
    everywhere,
    ha,
    node,
    without,
    world,
)
from tests.unit.cluster.worlds import listed, quorum

if TYPE_CHECKING:
    from cli.status.look import NodeStatus, NodeStatuses

UP = "make up"


def half(number: int, *, mounted: bool = True) -> NodeStatus:
    look = absent(number)
    return replace(look, health=replace(look.health, state="half", pve_mounted=mounted))


def one_link(number: int) -> Any:  # noqa: ANN401 - as worlds.listed
    whole = listed(number)
    return replace(whole, links={0: whole.links[0]})


@dataclass(frozen=True)
class Left:
    """What is seen of it, and what comes next: `make up`, or one line of advice."""

    seen: NodeStatuses
    where: str
    what: str
    next: str


LEFT = {
    "F1: a seed without quorum": Left(
        world(proxmox01=node(1, quorate=False, pve_writable=False)),
        "proxmox01",
        "is not quorate",
        "corosync-cfgtool -n",
    ),
    "F2: half joined": Left(world(proxmox03=half(3)), "proxmox03", "half", UP),
    "F3: joined, as the tool said, and no member": Left(
        everywhere(nodes=[listed(1), listed(2)]), "cluster", "proxmox03 is not a member", UP
    ),
    "F4: joined without its second link": Left(
        everywhere(nodes=[listed(1), listed(2), one_link(3)]), "cluster", "the stack file has", "into the stack file"
    ),
    "F5, F11, F25: another certificate is shown": Left(
        world(proxmox02=node(2, api=False)), "proxmox02", "its API", "systemctl restart pveproxy"
    ),
    "F6: a member was installed anew": Left(world(proxmox01=absent(1)), "proxmox01", "stand-alone", UP),
    "F7: Corosync did not start after a reboot": Left(
        world(proxmox02=node(2, services=without("corosync"))), "proxmox02", "corosync", "systemctl restart corosync"
    ),
    "F10: /etc/pve is not mounted": Left(
        world(proxmox02=half(2, mounted=False)), "proxmox02", "/etc/pve", "systemctl restart pve-cluster"
    ),
    "F12: a storage is not there": Left(
        world(proxmox02=node(2, storages={"shared": False})), "proxmox02", "storage shared", "pvesm status"
    ),
    "F15: a guest fell out of HA": Left(
        everywhere(ha=ha(services={"ct:300": HA.services["ct:300"]})), "vm01", "not under HA", UP
    ),
    "F18: no watchdog": Left(
        world(proxmox02=node(2, watchdog=Watchdog(device=True, socket=False))),
        *("proxmox02", "no working watchdog", "systemctl restart watchdog-mux"),
    ),
    "F19: a link is lost": Left(world(proxmox02=node(2, links=CUT)), "proxmox02", "has lost link 0", "cable of link 0"),
    "F2: votes that nobody holds": Left(
        everywhere(quorum=quorum([1, 2, 3], expected=1)), "cluster", "expected votes are 1", "pvecm"
    ),
}


@pytest.mark.parametrize("fault", LEFT)
def test_what_a_failure_leaves_is_seen_and_what_comes_next_fits(fault: str) -> None:
    left = LEFT[fault]
    found = [one for one in findings(WANTED, left.seen) if one.where == left.where and left.what in one.what]
    assert found, findings(WANTED, left.seen)
    assert left.next in found[0].next


@pytest.mark.parametrize("state", ["half", "absent"])
def test_a_node_that_is_no_member_makes_its_join_run_again(state: str) -> None:
    """F2, F6: what a message promises of `make up`, it does."""
    answers = {"proxmox02": Answer(membership=Membership("proxmox02", state))}
    found = judge.drift(planned(), answers, None, ["virtual"])
    assert [(one.name, one.kind) for one in found] == [("cluster-join", MEMBERSHIP)]


@pytest.mark.parametrize(
    ("quorate", "expected"),
    [(True, [("cluster-join", "proxmox02"), ("identity", "proxmox02")]), (False, [("cluster-join", "proxmox02")])],
)
def test_a_node_that_was_installed_anew_is_told_apart_from_a_join_that_was_cut_off(
    quorate: bool,  # noqa: FBT001 - a case
    expected: list[tuple[str, str]],
) -> None:
    """A cluster that works without it lets go of the old entry; without quorum only a join by force brings it back."""
    change = {"cluster": "c", "stack": "dev", "members": MEMBERS, "housing": {}, "totem": {}, "timeout_s": 9}
    resources = [*STATE["deployment"]["resources"], here("identity", "identity", change)]
    asked = questions.of({"deployment": {"resources": resources}}, ["proxmox01", "proxmox02"], "secret")
    lists = Membership("proxmox01", "member", quorate=quorate, nodes=[listed(1), listed(2)])
    answers = {
        "proxmox01": Answer(membership=lists),
        "proxmox02": Answer(membership=Membership("proxmox02", "absent")),
    }
    found = judge.drift(asked, answers, None, ["virtual"])
    assert [(one.name, one.where) for one in found if one.kind == MEMBERSHIP] == expected


def test_what_a_step_would_do_about_a_leftover_is_told_and_done_by_up() -> None:
    """F12, F22: contents of a storage, nesting of the module: the steps' own observe says so."""
    of_cluster = Answer([said("cluster-storage-shared", "set contents")], membership=WORKING)
    answers = {"proxmox01": of_cluster, "virtual": Answer([said("virtual-dhcp", "start")])}
    found = [one for one in judge.drift(planned(), answers, "proxmox01", ["virtual"]) if one.kind == STEP]
    told = behind_ones_back("dev", found, [])
    assert {one.next for one in told} == {UP}
    assert {f"not as described, to do: {action}" for action in ("set contents", "start")} <= {one.what for one in told}


def test_a_processor_without_virtualization_is_seen_on_the_vm_itself() -> None:
    """F22: the refresh puts it right; that it takes a full stop and start, the node's own verification says."""
    files = {**FILES, VM_FILE: FILES[VM_FILE].replace("cpu: host", "cpu: x86-64-v2-AES")}
    found = provided.differs(provided_resource(VM_TYPE), files)
    assert found is not None
    assert (found.kind, "cpu x86-64-v2-AES, not host" in found.what) == (PROVIDED, True)


def test_a_guest_that_ha_moved_is_no_drift() -> None:
    """F16: the control of all of the above."""
    services = {**HA.services, "vm:200": HaService("proxmox02", "started")}
    seen: NodeStatuses = {
        f"proxmox0{n}": node(n, ha=ha(services=services), running_guests=RUNNING[1] + RUNNING[2] if n == 2 else [])
        for n in (1, 2, 3)
    }
    assert findings(WANTED, seen) == []
    moved = {path.replace("/nodes/a/", "/nodes/b/"): text for path, text in FILES.items()}
    assert provided.differs(provided_resource("guest"), moved) is None
