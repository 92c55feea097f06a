"""The step that removes members, on nodes that answer: in which order it acts, what it refuses, how it goes on."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from cluster import marks, proxmox_ve, removal
from cluster.call import Call
from cluster.contract import ClusterChange, Housing, Machine
from cluster.errors import AdminError
from cluster.marks import Look, Thing
from cluster.motion import Motion
from cluster.planning import known
from cluster.steps import remove_members
from cluster.transport.ssh import Completed
from onnode.contract.removal import KeepMembers
from onnode.errors import StepError
from tests.unit.cluster.live_nodes import CALL, DOWN
from tests.unit.cluster.worlds import CLUSTER, joined, listed, member, members, quorum

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnode.step import Outcome
    from tests.unit.cluster.live_nodes import LiveNodes

HOST = Machine("virtual", "192.168.0.180", "ssh-ed25519 AAAA")
HOUSING = {f"proxmox0{n}": Housing(HOST, 100 + n) for n in (1, 2, 3, 4)}
THREE = ClusterChange(CLUSTER, "dev", members(3), {name: HOUSING[name] for name in list(HOUSING)[:3]}, {}, 0)
FOUR = ClusterChange(CLUSTER, "dev", members(4), HOUSING, {}, 0)
BEFORE = known.facts(FOUR, None, [])
VM = Thing(marks.VM, "104", "virtual", ours=True, shown="VM 104 (proxmox04)")
DONE = Completed(0, "", "")
LOOKS = ["proxmox01", "proxmox02", "proxmox03"]


class World:
    """Four members, of which three are described; the VM of the fourth on its host."""

    def __init__(self, nodes: LiveNodes) -> None:
        self.nodes = nodes
        self.status = "running"
        self.is_deaf = False  # does not shut down
        self.vm: Thing | None = VM
        self.motion = Motion()  # what goes on in the cluster
        self.asked: list[str] = []  # about that
        nodes.form(1, 2, 3, 4)
        nodes.facts |= {"evacuate-node": {"node": "proxmox04", "named_by": []}, "node-gone": {"seen": []}}
        nodes.commands |= {
            "systemctl poweroff": self.shut_down,
            "cat /etc/corosync/corosync.conf": lambda _node: DONE,
            "pvesh get /nodes/virtual/qemu/104": lambda _node: Completed(0, json.dumps({"status": self.status}), ""),
            "pvesh create /nodes/virtual/qemu/104/status/stop": self.stop,
        }

    def shut_down(self, node: str) -> Completed:
        assert node == "proxmox04"
        self.status = self.status if self.is_deaf else "stopped"
        return DONE

    def stop(self, _node: str) -> Completed:
        self.status = "stopped"
        return DONE

    async def look(self, connection: Any, stack: str) -> Look:  # noqa: ANN401 - a double
        assert stack == "dev"
        name = connection.machine.name
        if name != "virtual":
            self.asked.append(name)
            return Look(name, name, quorate=True, things=(), cluster=CLUSTER, motion=self.motion)
        return Look("virtual", "virtual", quorate=True, things=(self.vm,) if self.vm else ())


@pytest.fixture
def world(nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch) -> World:
    found = World(nodes)
    monkeypatch.setattr(proxmox_ve, "look", found.look)
    for limit in ("SHUTDOWN_S", "STOP_S", "GONE_S", "POLL_S"):
        monkeypatch.setattr(removal, limit, 0.01)
    return found


def bring_about(
    desired: ClusterChange = THREE,
    previous: dict[str, Any] | None = BEFORE,
    identity: dict[str, Any] | None = None,
) -> Outcome:
    call = Call(CALL.secrets, previous, identity)
    return asyncio.run(remove_members.bring_about(desired, call))


@pytest.mark.usefixtures("world")
def test_one_that_stays_after_all_gets_guests_again_when_it_has_joined(nodes: LiveNodes) -> None:
    assert not bring_about(FOUR).changed
    nodes.is_leaving = True
    assert bring_about(FOUR).changed
    assert nodes.staying[-1] == KeepMembers(["proxmox01", "proxmox02", "proxmox03", "proxmox04"], "stack-dev")


def test_guests_go_first_then_the_power_then_the_entry(nodes: LiveNodes, world: World) -> None:
    assert world.status == "running"
    outcome = bring_about()
    assert outcome.changed
    assert list(outcome.facts["members"]) == ["proxmox01", "proxmox02", "proxmox03"]
    order = [(node, what.partition(" --output")[0]) for node, what in nodes.done]
    assert order == [
        ("proxmox01", "evacuate-node"),
        ("proxmox04", "systemctl poweroff"),
        ("virtual", "pvesh get /nodes/virtual/qemu/104/status/current"),
        *((name, "node-gone") for name in LOOKS),
        ("proxmox01", "remove-member"),
    ]
    wanted = {act.what: act.wanted for act in nodes.acts}
    assert (wanted["evacuate-node"].targets, wanted["evacuate-node"].stack_tag) == (LOOKS, "stack-dev")
    assert wanted["node-gone"].addresses == ["10.10.1.188", "10.20.1.188", "192.168.0.188"]
    assert wanted["remove-member"].addresses == ["10.10.1.188", "10.20.1.188", "192.168.0.188"]
    nodes.acts.clear()
    assert not bring_about(previous=outcome.facts).changed
    assert nodes.acts == []


def test_nothing_is_done_while_all_members_are_described(nodes: LiveNodes, world: World) -> None:
    assert not bring_about(FOUR).changed
    assert (nodes.acts, world.status) == ([], "running")


def test_what_others_made_is_named_and_left(nodes: LiveNodes, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    nodes.facts["evacuate-node"]["named_by"] = ["HA rule theirs"]
    assert world.vm is VM
    bring_about()
    assert "HA rule theirs names proxmox04, was not made by this stack, and stays as it is" in capsys.readouterr().err


def test_a_vm_that_does_not_shut_down_is_switched_off(nodes: LiveNodes, world: World) -> None:
    world.is_deaf = True
    bring_about()
    assert ("virtual", "pvesh create /nodes/virtual/qemu/104/status/stop") in nodes.done
    assert world.status == "stopped"


def test_a_node_that_is_off_already_is_removed_all_the_same(nodes: LiveNodes, world: World) -> None:
    nodes.silent["proxmox04"] = DOWN
    world.status = "stopped"
    assert bring_about().changed
    assert "systemctl poweroff" not in {what for _, what in nodes.done}


def test_a_vm_that_is_gone_already_is_no_obstacle(nodes: LiveNodes, world: World) -> None:
    nodes.silent["proxmox04"] = DOWN
    world.vm = None
    assert bring_about().changed
    assert not [what for _, what in nodes.done if what.startswith("pvesh")]


def test_the_node_that_leaves_is_asked_what_it_runs_too(nodes: LiveNodes, world: World) -> None:
    bring_about()
    assert sorted(world.asked) == sorted(nodes.reports)


def test_what_a_node_that_is_off_still_has_under_ha_holds_up_nothing(nodes: LiveNodes, world: World) -> None:
    """HA recovers it when the node is removed, and that is waited for."""
    nodes.silent["proxmox04"] = DOWN
    world.status = "stopped"
    services = {"vm:200": {"state": "recovery", "node": "proxmox04"}}
    world.motion = Motion(offline=frozenset({"proxmox04"}), services=services)
    assert bring_about().changed
    world.motion = dataclasses.replace(world.motion, offline=frozenset())
    nodes.form(1, 2, 3, 4)
    with pytest.raises(AdminError) as refused:
        bring_about()
    assert refused.value.code == "cluster-busy"


def test_a_vm_whose_number_is_another_nodes_by_now_is_left_alone(nodes: LiveNodes, world: World) -> None:
    nodes.silent["proxmox04"] = DOWN
    others = dataclasses.replace(THREE, housing={**THREE.housing, "proxmox03": HOUSING["proxmox04"]})
    assert bring_about(others).changed
    assert world.status == "running"
    assert "virtual" not in {node for node, _ in nodes.done}
    nodes.form(1, 2, 3, 4)
    assert bring_about().changed
    assert world.status == "stopped", "its own"


@pytest.mark.parametrize(
    ("numbers", "changes", "code"),
    [
        # Quorate, with a higher version, and of another cluster: it knows nothing of the node that leaves.
        ((3,), {"cluster": "other", "config_version": 12}, "other-cluster"),
        ((3,), {"cluster": "other", "config_version": 1}, "other-cluster"),
        # The smaller side of a split deleted the others.
        ((3,), {"config_version": 12}, "clusters-split"),
        ((1, 2, 3, 4), {"config_version": 12}, None),
    ],
)
def test_who_is_removed_is_not_told_by_another_cluster_or_side(
    nodes: LiveNodes, world: World, numbers: tuple[int, ...], changes: dict[str, Any], code: str | None
) -> None:
    nodes.change(3, nodes=[listed(number) for number in numbers], **changes)
    if code is None:
        bring_about()
        return
    with pytest.raises(AdminError) as refused:
        bring_about()
    assert refused.value.code == code
    assert (nodes.acts, world.status) == ([], "running")


NO_KEYS = AdminError("ssh-auth-failed", "it has no /etc/pve, and so no keys")


def test_the_vm_of_a_node_without_keys_is_switched_off(nodes: LiveNodes, world: World) -> None:
    nodes.silent["proxmox04"] = NO_KEYS
    assert bring_about().changed
    assert ("virtual", "pvesh create /nodes/virtual/qemu/104/status/stop") in nodes.done
    assert world.status == "stopped"


def test_an_existing_machine_without_keys_cannot_be_powered_off(nodes: LiveNodes, world: World) -> None:
    nodes.silent["proxmox04"] = NO_KEYS
    three, four = (dataclasses.replace(one, housing={}) for one in (THREE, FOUR))
    with pytest.raises(AdminError) as refused:
        bring_about(three, known.facts(four, None, []))
    assert refused.value.code == "ssh-auth-failed"
    assert world.status == "running"
    assert nodes.reports["proxmox01"].listed("proxmox04")


def test_an_existing_machine_is_powered_off(nodes: LiveNodes, world: World) -> None:
    three, four = (dataclasses.replace(one, housing={}) for one in (THREE, FOUR))
    assert bring_about(three, known.facts(four, None, [])).changed
    assert world.status == "stopped"
    assert "virtual" not in {node for node, _ in nodes.done}


def busy(_nodes: LiveNodes, world: World) -> None:
    world.motion = Motion(backups=frozenset({"a backup runs on proxmox04"}))


def foreign_vm(_nodes: LiveNodes, world: World) -> None:
    world.vm = dataclasses.replace(VM, ours=False)


def still_there(nodes: LiveNodes, _world: World) -> None:
    nodes.facts["node-gone"] = {"seen": ["it votes", "10.10.1.188 answers ping"]}


def one_that_stays_is_silent(nodes: LiveNodes, _world: World) -> None:
    nodes.silent["proxmox02"] = DOWN


def guest_stuck(nodes: LiveNodes, _world: World) -> None:
    nodes.errors["evacuate-node"] = StepError("guest-cannot-leave", "nothing was moved", observed="vm:100")


def key_refused(nodes: LiveNodes, _world: World) -> None:
    """As after a new installation."""
    nodes.silent["proxmox04"] = AdminError("host-key-mismatch", "it is another machine", observed="another key")


def vm_runs_on(nodes: LiveNodes, world: World) -> None:
    world.is_deaf = True
    nodes.commands["pvesh create /nodes/virtual/qemu/104/status/stop"] = lambda _node: DONE


@pytest.mark.parametrize(
    ("spoil", "code", "observed"),
    [
        (busy, "cluster-busy", "a backup runs on proxmox04"),
        (foreign_vm, "foreign-vmid", "VM 104 (proxmox04)"),
        (still_there, "node-still-there", "proxmox01: it votes, 10.10.1.188 answers ping; proxmox02: it votes"),
        (one_that_stays_is_silent, "host-unreachable", "no answer"),
        (guest_stuck, "guest-cannot-leave", ""),
        (key_refused, "node-still-there", "another key"),
        (vm_runs_on, "node-still-there", "VM 104 on virtual: running"),
    ],
)
def test_what_is_not_proven_off_stays_on_the_list(
    nodes: LiveNodes, world: World, spoil: Callable[[LiveNodes, World], None], code: str, observed: str
) -> None:
    spoil(nodes, world)
    with pytest.raises(StepError) as refused:
        bring_about()
    assert refused.value.code == code
    assert observed in refused.value.observed
    assert "remove-member" not in {what for _, what in nodes.done}
    assert nodes.reports["proxmox01"].listed("proxmox04")


@pytest.mark.parametrize("spoil", [one_that_stays_is_silent, guest_stuck, busy])
def test_before_its_guests_have_left_a_node_keeps_its_power(
    nodes: LiveNodes, world: World, spoil: Callable[[LiveNodes, World], None]
) -> None:
    spoil(nodes, world)
    with pytest.raises(StepError):
        bring_about()
    assert world.status == "running"


def test_a_node_that_was_described_by_an_earlier_version_only_is_refused(nodes: LiveNodes, world: World) -> None:
    old = {"members": {"proxmox04": {"node_id": 4, "votes": 1, "links": {"0": "10.10.1.188"}}}}
    with pytest.raises(AdminError) as refused:
        bring_about(previous=old)
    assert refused.value.code == "member-forgotten"
    assert (nodes.acts, world.status) == ([], "running")


NEVER_MET = known.facts(THREE, None, [])


@pytest.mark.parametrize("own", [NEVER_MET, None])
def test_a_node_that_joined_in_a_run_which_then_failed_is_known_to_the_first_step(
    nodes: LiveNodes, world: World, own: dict[str, Any] | None
) -> None:
    """So it is to a step that runs for the first time, in a stack that an earlier version made."""
    with pytest.raises(AdminError) as refused:
        bring_about(previous=own)
    assert (refused.value.code, refused.value.observed) == ("member-unknown", "proxmox04")
    assert (nodes.acts, world.status) == ([], "running")
    outcome = bring_about(previous=own, identity=BEFORE)
    assert nodes.reports["proxmox01"].listed("proxmox04") is None
    assert list(outcome.facts["members"]) == ["proxmox01", "proxmox02", "proxmox03"]


def test_what_is_left_of_a_node_goes_that_only_the_first_step_met(nodes: LiveNodes, world: World) -> None:
    """It was off, and its entry was released before any node was touched."""
    nodes.form(1, 2, 3)
    nodes.silent["proxmox04"] = DOWN
    bring_about(previous=NEVER_MET)
    assert nodes.done == []
    bring_about(previous=NEVER_MET, identity=BEFORE)
    assert nodes.done == [("proxmox01", "remove-member")]
    assert world.status == "running"


def test_an_existing_machine_that_only_the_first_step_met_can_be_reset(nodes: LiveNodes, world: World) -> None:
    three, four = (dataclasses.replace(one, housing={}) for one in (THREE, FOUR))
    outcome = bring_about(three, known.facts(three, None, []), known.facts(four, None, []))
    assert world.status == "stopped"
    assert list(outcome.facts["departed"]) == ["proxmox04"]
    assert nodes.reports["proxmox01"].listed("proxmox04") is None


def test_what_is_left_of_a_node_that_is_off_the_list_goes(nodes: LiveNodes, world: World) -> None:
    """As after a run that was killed between the two."""
    nodes.form(1, 2, 3)
    nodes.silent["proxmox04"] = DOWN
    nodes.facts["remove-member"] = {"removed": "proxmox04", "nodes": []}
    outcome = bring_about()
    assert outcome.changed
    assert list(outcome.facts["members"]) == ["proxmox01", "proxmox02", "proxmox03"]
    assert nodes.done == [("proxmox01", "remove-member")]
    assert world.status == "running", "nobody was asked about it"


def conf(cluster: str) -> Completed:
    node = "nodelist {\n  node {\n    name: proxmox04\n    nodeid: 4\n    ring0_addr: 10.10.1.188\n  }\n}\n"
    return Completed(0, f"{node}totem {{\n  cluster_name: {cluster}\n  config_version: 3\n}}\n", "")


def test_a_node_that_was_taken_off_the_list_by_hand_while_it_was_on_is_powered_off(
    nodes: LiveNodes, world: World
) -> None:
    nodes.form(1, 2, 3)
    nodes.commands["cat /etc/corosync/corosync.conf"] = lambda _node: conf(CLUSTER)
    bring_about()
    assert world.status == "stopped"
    assert [what for _, what in nodes.done][-4:] == ["node-gone"] * 3 + ["remove-member"]


@pytest.mark.parametrize("found", [DONE, conf("other")])
def test_one_that_left_and_was_reset_by_hand_keeps_its_power(nodes: LiveNodes, world: World, found: Completed) -> None:
    nodes.form(1, 2, 3)
    nodes.commands["cat /etc/corosync/corosync.conf"] = lambda _node: found
    bring_about()
    assert world.status == "running"
    assert nodes.done[-1] == ("proxmox01", "remove-member")


def test_a_cluster_that_is_not_well_afterwards_is_told(nodes: LiveNodes, world: World) -> None:
    def unwell(_looks: int) -> None:
        if "remove-member" in {what for _, what in nodes.done}:
            nodes.reports["proxmox02"] = joined(2, 1, 2, 3, quorum=quorum([1, 2, 3], expected=4))

    nodes.after = unwell
    assert world.status == "running"
    with pytest.raises(AdminError) as refused:
        bring_about()
    assert refused.value.code == "cluster-not-as-described"
    assert "proxmox02 expects 4 votes, not 3" in refused.value.observed


def test_addresses_of_a_node_are_remembered() -> None:
    remembered = known.known(BEFORE)["proxmox04"]
    assert remembered.machine == Machine("proxmox04", member(4).address, member(4).host_key)
    assert remembered.addresses == ("10.10.1.188", "10.20.1.188", "192.168.0.188")
    assert remembered.housing == HOUSING["proxmox04"]
