"""Which machine is reset, and when: never one that a working member lists."""

from __future__ import annotations

import dataclasses
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli import description, reset
from cli.engine import engine, environment
from cli.run import confirmation
from cluster.contract import Machine
from cluster.errors import AdminError
from cluster.transport import members, shipped
from cluster.transport.nodes import StepResult
from components.recorded import ADMIN
from onnode.cluster.corosync import Quorum, Voter
from onnode.contract.documents import document
from onnode.contract.removal import ResetNode
from tests.unit.cluster.worlds import CLUSTER, joined, stand_alone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cli.description import Description
    from onnode.contract.membership import MembershipReport

LEFT: dict[str, Any] = {"address": "192.168.0.109", "host_key": "ssh-ed25519 AAAA", "housing": None, "links": {}}


def in_another(report: MembershipReport) -> MembershipReport:
    """The same in cluster office."""
    return dataclasses.replace(report, cluster="office")


def state(stdout: str) -> dict[str, Any]:
    other = {"inputs": {"create": "true"}, "outputs": {"stdout": "{}"}}
    removal = {"inputs": {"create": f"{ADMIN} remove-members"}, "outputs": {"stdout": stdout}}
    return {"deployment": {"resources": [other, removal]}}


def printed(**departed: Any) -> str:  # noqa: ANN401 - JSON
    return json.dumps({"changed": True, "facts": {"members": {}, "departed": departed}}) + "\n"


def test_a_machine_that_left_is_remembered(dev: Description) -> None:
    found = reset.machine_of(dev, state(f"progress\n{printed(pve9=LEFT)}"), "pve9")
    assert found == Machine("pve9", "192.168.0.109", "ssh-ed25519 AAAA")


@pytest.mark.parametrize("known", [None, {"deployment": {}}, state(""), state(printed()), state(printed(pve8=LEFT))])
@pytest.mark.parametrize("name", ["pve9", "proxmox01"])  # unknown; nested
def test_any_other_is_refused(dev: Description, known: dict[str, Any] | None, name: str) -> None:
    with pytest.raises(AdminError) as refused:
        reset.machine_of(dev, known, name)
    assert refused.value.code == "node-unknown"


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ([joined(1, 1, 2), joined(2, 1, 2)], None),
        ([joined(1, 1, 2), stand_alone(2)], None),
        ([joined(1, 1, 2, 3)], "still-a-member"),
        # One that is not quorate may know less: what any of them lists counts.
        ([joined(1, 1, 2), joined(2, 1, 2, 3, quorate=False)], "still-a-member"),
        ([joined(1, 1, 2, quorate=False)], "cluster-not-visible"),
        ([stand_alone(1)], "cluster-not-visible"),
        # Members of another cluster do not list it, whatever it is.
        ([in_another(joined(1, 1, 2))], "cluster-not-visible"),
        ([joined(1, 1, 2, quorate=False), in_another(joined(2, 2))], "cluster-not-visible"),
        ([joined(1, 1, 2), in_another(joined(2, 2))], None),
        ([], "cluster-not-visible"),
    ],
)
def test_only_one_that_left_is_reset(seen: list[MembershipReport], code: str | None) -> None:
    reports = {report.node: report for report in seen}
    if code is None:
        reset.refuse_member("proxmox03", CLUSTER, reports)
        return
    with pytest.raises(AdminError) as refused:
        reset.refuse_member("proxmox03", CLUSTER, reports)
    assert refused.value.code == code


class World:
    """Machine proxmox09 of an old cluster, and the nodes that are described; what is asked of people, and what is run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dev: Description) -> None:
        self.machine = dataclasses.replace(joined(9, 9, 1), quorum=None, quorate=False)
        self.asked: list[str] = []
        self.resets: list[ResetNode] = []
        monkeypatch.setattr(environment, "for_engine", dict)
        monkeypatch.setattr(environment, "put_back_state", lambda *_: None)
        monkeypatch.setattr(description, "read", lambda *_: dev)
        monkeypatch.setattr(engine.Engine, "export", lambda _: state(printed(proxmox09=LEFT)))
        monkeypatch.setattr(members, "connections", self.connections)
        monkeypatch.setattr(shipped, "run", self.run)
        monkeypatch.setattr(confirmation, "confirm", self.asked.append)
        monkeypatch.setattr(confirmation, "confirm_by_name", lambda text, name: self.asked.append(f"{text} {name}"))

    def expect_one_vote(self) -> None:
        """Somebody ran `pvecm expected 1` on it."""
        alone = Quorum(quorate=True, expected=1, total=1, needed=1, members=[Voter(9, 1, "10.10.1.193", local=True)])
        self.machine = dataclasses.replace(self.machine, quorum=alone, quorate=True)

    @asynccontextmanager
    async def connections(self, machines: list[Machine], _key: str) -> AsyncIterator[dict[str, Any]]:
        async def run(*_: object, **_more: object) -> None:
            return

        yield {one.name: SimpleNamespace(machine=one, run=run, is_announced=True) for one in machines}

    async def run(self, connection: SimpleNamespace, step: str, wanted: Any, **_: object) -> StepResult:  # noqa: ANN401 - any step's
        if step == "membership":
            name = connection.machine.name
            report = self.machine if name == "proxmox09" else joined(int(name[-1]), 1, 2, 3)
            return StepResult(changed=False, facts=document(report))
        self.resets.append(wanted)
        return StepResult(changed=True, facts={})


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, dev: Description) -> World:
    return World(monkeypatch, dev)


def test_a_node_without_quorum_is_reset_after_a_plain_question(world: World) -> None:
    reset.reset("dev", "proxmox09", yes=False)
    assert world.asked == ["Take proxmox09 out of its cluster's configuration for good? Its own files stay."]
    assert world.resets == [ResetNode(CLUSTER)]


def test_of_a_quorate_node_the_question_says_what_is_lost_and_asks_for_its_name(world: World) -> None:
    world.expect_one_vote()
    reset.reset("dev", "proxmox09", yes=False)
    (asked,) = world.asked
    assert "proxmox09 is quorate: it works as cluster proxmox, which lists proxmox01. Others may use it." in asked
    assert "What only its /etc/pve has" in asked
    assert asked.endswith(" proxmox09")
    assert world.resets == [ResetNode(CLUSTER, apart=[9])]


def test_a_quorate_node_is_not_given_up_beforehand(world: World) -> None:
    world.expect_one_vote()
    reset.reset("dev", "proxmox09", yes=True)
    assert world.asked == []
    assert world.resets == [ResetNode(CLUSTER)]  # which the step refuses: works-alone
