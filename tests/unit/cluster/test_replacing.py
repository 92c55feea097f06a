"""Lost members: seen by their host or by what answers under their name, proven by all others, released one after another."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from cluster import marks, proxmox_ve, replacing
from cluster.call import Call
from cluster.contract import Housing, Machine
from cluster.errors import AdminError
from cluster.marks import Look, Thing
from cluster.planning import known
from cluster.steps import identity
from cluster.transport import shipped
from cluster.transport.nodes import StepResult
from cluster.transport.ssh import Completed
from onnode.contract.documents import document
from onnode.contract.health import Ha, HaService, Health
from onnode.contract.removal import NodeGone, ReleaseMember
from onnode.errors import StepError
from tests.unit.cluster.live_nodes import CALL, DOWN, fresh
from tests.unit.cluster.test_identity_step import FACTS, IDENTITY, conf, tools
from tests.unit.cluster.worlds import member, members, quorum

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.transport.ssh import Connection
    from onnode.step import Outcome
    from tests.unit.cluster.live_nodes import LiveNodes

HOST = Machine("virtual", "192.168.0.180", "ssh-ed25519 AAAA")
NESTED = dataclasses.replace(IDENTITY, housing={f"proxmox0{n}": Housing(HOST, 100 + n) for n in (1, 2, 3)})
KNOWN_VMS = known.facts(NESTED, None, [])
NOTHING_LEFT = "ls: cannot access\n"


class Others:
    """The outer host, and what the members do and see.

    Attributes:
        vms: the numbers of the host's VMs.
        quorate: whether the host can list them.
        seen: what a member still sees of a lost node, by its name.
        services: what HA has, at each look; the last stays.
        done: each step with the member that was asked, and its input.
    """

    def __init__(self, nodes: LiveNodes) -> None:
        self.nodes = nodes
        self.vms = {101, 103}
        self.quorate = True
        self.seen: dict[str, list[str]] = {}
        self.services: list[dict[str, HaService]] = [{}]
        self.done: list[tuple[str, str, Any]] = []

    async def look(self, connection: Connection, stack: str) -> Look:
        await asyncio.sleep(0)
        assert (connection.machine, stack) == (HOST, "dev")
        things = tuple(Thing(marks.VM, str(vmid), "virtual", ours=True, shown=f"VM {vmid}") for vmid in self.vms)
        return Look("virtual", "virtual", self.quorate, things)

    async def run(self, connection: Connection, step: str, wanted: object, **_more: object) -> StepResult:
        await asyncio.sleep(0)
        name = connection.machine.name
        self.done.append((name, step, wanted))
        if step == "node-gone":
            return StepResult(changed=False, facts={"seen": self.seen.get(name, [])})
        if step == "cluster-health":
            services = self.services.pop(0) if len(self.services) > 1 else self.services[0]
            return StepResult(changed=False, facts=document(Health(name, "member", ha=Ha(services=services))))
        return StepResult(changed=True, facts={})

    def released(self) -> list[ReleaseMember]:
        return [wanted for _, step, wanted in self.done if step == "release-member"]


@pytest.fixture
def others(nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch) -> Others:
    """Three members, of which the second is silent and does not vote; its VM is gone."""
    nodes.commands["hostname"] = lambda node: Completed(
        0, f"{node}\n{conf(nodes.reports[node])}#quorum\n{tools(nodes.reports[node])}", ""
    )
    nodes.commands["ls /etc/pve/nodes/proxmox02"] = lambda _node: Completed(2, "", NOTHING_LEFT)
    nodes.form(1, 2, 3)
    for number in (1, 3):
        nodes.change(number, quorum=quorum([1, 3], expected=3))
    nodes.silent["proxmox02"] = DOWN
    found = Others(nodes)
    monkeypatch.setattr(proxmox_ve, "look", found.look)
    monkeypatch.setattr(shipped, "run", found.run)
    monkeypatch.setattr(replacing, "RECOVERY_POLL_S", 0.01)
    return found


def bring_about(previous: dict[str, Any] = KNOWN_VMS, **changes: Any) -> Outcome:  # noqa: ANN401 - fields as they are
    return asyncio.run(identity.bring_about(dataclasses.replace(NESTED, **changes), Call(CALL.secrets, previous)))


def test_a_member_without_its_vm_is_released_when_all_others_see_nothing_of_it(
    others: Others, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = bring_about()
    gone = NodeGone("proxmox02", 2, ["10.10.1.186", "10.20.1.186", "192.168.0.186"])
    assert [one for one in others.done if one[1] != "cluster-health"] == [
        ("proxmox01", "node-gone", gone),
        ("proxmox03", "node-gone", gone),
        ("proxmox01", "release-member", ReleaseMember("proxmox02", 2)),
    ]
    assert outcome.changed
    assert set(outcome.facts["members"]) == {"proxmox01", "proxmox02", "proxmox03"}
    assert "proxmox02 is lost" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("housing", "observed", "expected"),
    [
        ({"proxmox03": Housing(HOST, 113)}, "proxmox03 is VM 113 in the stack file", "proxmox03 is VM 103"),
        ({"proxmox02": Housing(HOST, 112)}, "proxmox02 is VM 112 in the stack file", "proxmox02 is VM 102"),
        ({"proxmox03": None}, "proxmox03 is an existing machine in the stack file", "proxmox03 is VM 103"),
    ],
    ids=["a member", "one that is lost", "another kind"],
)
def test_a_listed_node_keeps_its_vm(
    others: Others, housing: dict[str, Housing | None], observed: str, expected: str
) -> None:
    """The engine would make another one, and destroy the member."""
    described = {name: one for name, one in {**NESTED.housing, **housing}.items() if one}
    with pytest.raises(AdminError) as refused:
        bring_about(housing=described)
    assert (refused.value.code, refused.value.observed, refused.value.expected) == ("vm-changed", observed, expected)
    assert others.done == []
    assert bring_about().changed, "as it was"


def test_a_node_that_has_yet_to_join_may_get_another_vm(others: Others) -> None:
    four = dataclasses.replace(NESTED, members=members(4), housing={**NESTED.housing, "proxmox04": Housing(HOST, 104)})
    others.nodes.silent["proxmox04"] = DOWN
    housing = {**NESTED.housing, "proxmox04": Housing(HOST, 114)}
    assert bring_about(known.facts(four, None, []), members=members(4), housing=housing).changed


def test_a_vm_that_is_not_on_another_host_by_now_is_not_lost(others: Others) -> None:
    """Somebody may be about to migrate it."""
    elsewhere = Housing(dataclasses.replace(HOST, name="virtual2"), 102)
    moved = {**NESTED.housing, "proxmox02": elsewhere}
    assert not bring_about(housing=moved).changed
    assert others.done == []


def its_vm_is_there(others: Others) -> None:
    others.vms.add(102)


def the_host_cannot_tell(others: Others) -> None:
    others.quorate = False


def the_host_is_silent(others: Others) -> None:
    others.nodes.silent["virtual"] = DOWN


def it_votes(others: Others) -> None:
    for number in (1, 3):
        others.nodes.change(number, quorum=quorum([1, 2, 3], expected=3))


def there_is_no_quorum(others: Others) -> None:
    others.nodes.silent["proxmox03"] = DOWN
    others.nodes.change(1, quorate=False, quorum=quorum([1], expected=3))


@pytest.mark.parametrize(
    "world", [its_vm_is_there, the_host_cannot_tell, the_host_is_silent, it_votes, there_is_no_quorum]
)
def test_a_silent_member_that_is_not_known_to_be_lost_stays(others: Others, world: Callable[[Others], None]) -> None:
    world(others)
    assert not bring_about().changed
    assert others.done == []


def test_an_existing_machine_that_is_silent_stays(others: Others) -> None:
    assert not bring_about(FACTS, housing={}).changed
    assert others.done == []


def test_a_member_that_others_still_see_is_not_released(others: Others) -> None:
    others.seen["proxmox03"] = ["10.10.1.186 answers ping"]
    with pytest.raises(AdminError) as refused:
        bring_about()
    assert (refused.value.code, refused.value.observed) == (
        "node-still-there",
        "proxmox03: 10.10.1.186 answers ping",
    )
    assert others.released() == []


def test_a_member_with_a_vote_that_does_not_answer_keeps_all_from_being_released(others: Others) -> None:
    others.nodes.silent["proxmox03"] = DOWN
    with pytest.raises(StepError) as refused:
        bring_about()
    assert refused.value.code == "host-unreachable"
    assert others.released() == []


def test_a_machine_that_was_installed_anew_is_no_trace_of_the_lost_one(others: Others) -> None:
    del others.nodes.silent["proxmox02"]
    others.nodes.reports["proxmox02"] = fresh(2)
    others.vms.add(102)
    assert bring_about().changed
    assert [one for one in others.done if one[1] == "node-gone"] == [
        (name, "node-gone", NodeGone("proxmox02", 2, [])) for name in ("proxmox01", "proxmox03")
    ]
    assert others.released() == [ReleaseMember("proxmox02", 2)]


def test_a_member_whose_configuration_is_empty_was_not_installed_anew(others: Others) -> None:
    """Its disk was full, or the power went: it has the cluster's key still, and finds its way back."""
    del others.nodes.silent["proxmox02"]
    others.nodes.reports["proxmox02"] = fresh(2)
    others.vms.add(102)
    answer = others.nodes.commands["hostname"]

    def empty(node: str) -> Completed:
        return Completed(0, f"{node}\n\n#authkey\n#quorum\n#links\n", "") if node == "proxmox02" else answer(node)

    others.nodes.commands["hostname"] = empty
    assert not bring_about().changed
    assert others.done == []
    others.nodes.commands["hostname"] = answer
    assert bring_about().changed, "one that has no key is another one"


def test_two_of_five_are_released_one_after_another(others: Others) -> None:
    nodes = others.nodes
    nodes.form(1, 2, 3, 4, 5)
    for number in (1, 3, 5):
        nodes.change(number, quorum=quorum([1, 3, 5], expected=5))
    nodes.silent["proxmox04"] = DOWN
    nodes.commands["ls /etc/pve/nodes/proxmox04"] = lambda _node: Completed(2, "", NOTHING_LEFT)
    housing = {f"proxmox0{n}": Housing(HOST, 100 + n) for n in range(1, 6)}
    others.vms = {101, 103, 105}
    assert bring_about(members=members(5), housing=housing).changed
    assert others.released() == [ReleaseMember("proxmox02", 2), ReleaseMember("proxmox04", 4)]


def test_a_node_that_is_off_and_described_no_more_is_released_before_others_join(
    others: Others, capsys: pytest.CaptureFixture[str]
) -> None:
    others.nodes.silent["proxmox04"] = DOWN
    assert bring_about(members=[member(1), member(3), member(4)]).changed
    assert others.released() == [ReleaseMember("proxmox02", 2)]
    assert [wanted.addresses for _, step, wanted in others.done if step == "node-gone"] == [
        ["10.10.1.186", "10.20.1.186", "192.168.0.186"]
    ] * 2
    assert "proxmox02 is off" in capsys.readouterr().err


def it_is_on(others: Others) -> None:
    others.seen["proxmox03"] = ["10.10.1.186 answers ping"]


def it_has_guests(others: Others) -> None:
    others.nodes.commands["ls /etc/pve/nodes/proxmox02"] = lambda _node: Completed(0, "900.conf\n", "")


@pytest.mark.parametrize("world", [it_is_on, it_has_guests])
def test_one_that_is_on_or_has_guests_is_left_to_the_step_that_removes_members(
    others: Others, world: Callable[[Others], None]
) -> None:
    world(others)
    others.nodes.silent["proxmox04"] = DOWN
    assert not bring_about(members=[member(1), member(3), member(4)]).changed
    assert others.released() == []


def test_ha_takes_the_guests_elsewhere_before(others: Others, capsys: pytest.CaptureFixture[str]) -> None:
    """What it leaves there, and what it does not know, is named."""
    fenced = HaService("proxmox02", "fence")
    kept = HaService("proxmox02", "recovery")
    elsewhere = HaService("proxmox03", "started")
    others.services = [
        {"vm:200": fenced, "ct:300": kept, "vm:201": elsewhere},
        {"vm:200": fenced, "ct:300": kept},
        {"vm:200": elsewhere, "ct:300": kept},
    ]
    others.nodes.commands["ls /etc/pve/nodes/proxmox02"] = lambda _node: Completed(
        0, "/etc/pve/nodes/proxmox02/lxc:\n300.conf\n\n/etc/pve/nodes/proxmox02/qemu-server:\n900.conf\n", ""
    )
    bring_about()
    steps = [step for _, step, _ in others.done]
    assert steps == ["cluster-health"] * 3 + ["node-gone"] * 2 + ["release-member"]
    said = capsys.readouterr().err
    assert "waiting until HA takes vm:200 from proxmox02" in said
    assert "guests 300, 900 stay configured on proxmox02" in said


def test_the_wait_for_ha_ends(others: Others, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that may run nowhere else waits for the node itself."""
    monkeypatch.setattr(replacing, "RECOVERY_S", 0.05)
    others.services = [{"vm:200": HaService("proxmox02", "fence")}]
    assert bring_about().changed
