"""The entry of a lost node goes, and nothing else of it; what `pvecm delnode` reports proves nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from onnode.cluster import release_member
from onnode.cluster.corosync import ConfNode
from onnode.contract.removal import ReleaseMember
from onnode.errors import StepError
from onnode.step import Outcome
from tests.support.corosync_conf import corosync_conf
from tests.support.onnode_worlds import run, twice
from tests.unit.onnode.test_removal_steps import quorum

if TYPE_CHECKING:
    from tests.support.fake_machine import FakeMachine

WANTED = ReleaseMember("pve3", 3)
KEPT = "/etc/pve/nodes/pve3/qemu-server/100.conf"


class Cluster:
    """Two members, and one that is lost."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.is_deaf = False
        self.lists(1, 2, 3)
        machine.write("/proc/sys/kernel/hostname", "pve1\n")
        machine.write(KEPT, "name: web\n")
        machine.programs |= {
            "corosync-quorumtool": lambda *_: quorum(1, 2, votes=len(self.listed)),
            "pvecm": self.pvecm,
        }

    def lists(self, *numbers: int) -> None:
        self.listed = numbers
        nodes = [ConfNode(f"pve{number}", number, 1) for number in numbers]
        self.machine.write("/etc/pve/corosync.conf", corosync_conf("home", 3, nodes))

    def pvecm(self, arguments: list[str], _stdin: str) -> str:
        assert arguments == ["delnode", "pve3"]
        if not self.is_deaf:
            self.lists(1, 2)
        return "Could not kill node (error = CS_ERR_NOT_EXIST)\nKilling node 3\n"


def test_it_is_off_the_list_and_its_guests_stay_configured(machine: FakeMachine) -> None:
    Cluster(machine)
    outcome = twice(machine, release_member.STEP, WANTED)
    assert outcome == Outcome(changed=True, facts={"released": "pve3", "nodes": ["pve1", "pve2"]})
    assert machine.read(KEPT) == "name: web\n"


def test_the_next_node_of_that_name_does_not_begin_in_maintenance(machine: FakeMachine) -> None:
    """HA keeps the request for ever, and takes back none for a node that the cluster does not list."""
    cluster = Cluster(machine)
    status = "/etc/pve/ha/manager_status"
    machine.write(status, json.dumps({"node_request": {"pve3": {"maintenance": 1}}}))

    def ha_manager(arguments: list[str], _stdin: str) -> str:
        assert arguments == ["crm-command", "node-maintenance", "disable", "pve3"]
        assert 3 in cluster.listed
        machine.write(status, json.dumps({"node_request": {"pve3": {}}}))
        return ""

    machine.programs["ha-manager"] = ha_manager
    twice(machine, release_member.STEP, WANTED)
    assert json.loads(machine.read(status) or "") == {"node_request": {"pve3": {}}}
    assert cluster.listed == (1, 2)


def test_what_did_not_happen_is_not_taken_for_done(machine: FakeMachine) -> None:
    Cluster(machine).is_deaf = True
    with pytest.raises(StepError) as failed:
        run(machine, release_member.STEP, WANTED)
    assert failed.value.code == "remove-failed"
    assert "Killing node 3" in failed.value.observed
