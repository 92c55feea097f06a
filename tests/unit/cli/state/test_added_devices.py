"""Cards and disks that users added to VMs: out of the record, and refused where a run would take them away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cli.drift.kinds import ADDED_CARD, ADDED_DISK, REFUSED
from cli.drift.model import Drift
from cli.looks import devices_at_risk
from cli.run import drifted, engine_runs
from cli.run.loaded import LoadedStack
from cli.state import added_devices
from cluster.errors import AdminError
from components.recorded import BRIDGE_TYPE, VM_TYPE
from config import topology
from config.model import NestedNode

if TYPE_CHECKING:
    from cli.description import Description

URN, GUEST_URN = "urn::proxmox01-vm", "urn::vm01-vm"
THEIRS = {"bridge": "vmbr0", "macAddress": "BC:24:11:00:00:99"}
CARD = Drift(URN, "virtual", "net4 virtio=BC:24:11:00:00:99,bridge=vmbr0", ADDED_CARD)
DISK = Drift(URN, "virtual", "scsi1 local-lvm:vm-101-disk-1,size=4G", ADDED_DISK)


def node_of(dev: Description) -> NestedNode:
    return next(one for one in dev.config.nodes if isinstance(one, NestedNode))


def vm(dev: Description) -> dict[str, Any]:
    """The first node's VM as the program gives it."""
    node = node_of(dev)
    cards = [{"bridge": nic.bridge, "macAddress": nic.mac} for nic in topology.nics(dev.config, node)]
    disks = [{"interface": "scsi0", "datastoreId": "local-lvm", "size": float(node.disk_gib)}]
    given = {
        "vmId": float(node.vmid),
        "name": node.name,
        "nodeName": node.host,
        "networkDevices": cards,
        "disks": disks,
    }
    return {"urn": URN, "type": VM_TYPE, "inputs": given, "outputs": {**given}}


def state(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"deployment": {"resources": list(resources)}}


def test_cards_that_a_refresh_recorded_beside_the_given_ones_are_out_of_the_record_and_nothing_else_is(
    dev: Description,
) -> None:
    plain = vm(dev)
    given = plain["inputs"]["networkDevices"]
    recorded = {**plain["outputs"], "networkDevices": [*given, dict.fromkeys(THEIRS), THEIRS], "cores": 4}
    recorded |= {"macAddresses": [*(one["macAddress"] for one in given), "", THEIRS["macAddress"]]}
    refreshed = {**plain, "outputs": {**recorded, added_devices.DELTA: {"obj": {}}}}
    other = {"urn": "urn::step", "type": "command:local:Command", "inputs": {}, "outputs": {}}
    before = state(refreshed, other)
    wanted = {**recorded, "networkDevices": given, "macAddresses": [one["macAddress"] for one in given]}
    assert added_devices.forgotten(before) == state({**plain, "outputs": wanted}, other)
    assert before["deployment"]["resources"][0] is refreshed
    assert len(refreshed["outputs"]["networkDevices"]) == len(given) + 2
    same = state(plain, other)
    assert added_devices.forgotten(same) == same


def test_a_card_of_ours_that_moved_to_another_number_is_left_to_the_provider(dev: Description) -> None:
    plain = vm(dev)
    *first, last = plain["inputs"]["networkDevices"]
    moved = state({**plain, "outputs": {**plain["outputs"], "networkDevices": [*first, THEIRS, last]}})
    assert added_devices.forgotten(moved) == moved


def test_limits_that_users_gave_described_cards_are_out_of_the_record_and_given_ones_stay(dev: Description) -> None:
    plain = vm(dev)
    first, second, *rest = plain["inputs"]["networkDevices"]
    second["queues"] = 4
    recorded = [{**first, "queues": 2, "rateLimit": 20, "trunks": "5"}, {**second, "rateLimit": 0}, *rest]
    refreshed = state({**plain, "outputs": {**plain["outputs"], "networkDevices": recorded}})
    [kept] = added_devices.forgotten(refreshed)["deployment"]["resources"]
    assert kept["outputs"]["networkDevices"][0] == {**first, "queues": 0, "rateLimit": 0, "trunks": ""}
    assert kept["outputs"]["networkDevices"][1] == {**second, "rateLimit": 0}


@pytest.mark.parametrize(
    ("given", "recorded", "kept"),
    [
        (None, ["eth4"], None),  # the provider plans to take it away, and does not
        (["eth3"], ["eth4"], ["eth4"]),  # this it puts right
        (["eth3"], ["eth3"], ["eth3"]),
        (None, None, None),
    ],
)
def test_ports_of_a_bridge_that_the_provider_only_plans_to_change_are_out_of_the_record(
    given: list[str] | None, recorded: list[str] | None, kept: list[str] | None
) -> None:
    bridge = {
        "urn": "urn::vmbr5",
        "type": BRIDGE_TYPE,
        "inputs": {"name": "vmbr5", **({"ports": given} if given else {})},
    }
    outputs = {"name": "vmbr5", "mtu": 1500, "ports": recorded}
    [found] = added_devices.forgotten(state({**bridge, "outputs": outputs}))["deployment"]["resources"]
    assert found == {**bridge, "outputs": {**outputs, "ports": kept}}


def test_what_users_added_is_in_nobodys_way_while_the_described_devices_stay(dev: Description) -> None:
    devices_at_risk.refuse(dev.config, state(vm(dev)), [CARD, DISK])


def refused(dev: Description, recorded: dict[str, Any], *found: Drift) -> str:
    with pytest.raises(AdminError) as error:
        devices_at_risk.refuse(dev.config, state(recorded), found)
    return error.value.render()


def test_a_network_more_or_less_is_refused_before_the_engine_with_the_commands_that_help(dev: Description) -> None:
    recorded = vm(dev)
    number = len(recorded["inputs"]["networkDevices"])
    del recorded["inputs"]["networkDevices"][-1]
    told = refused(dev, recorded, CARD, DISK)
    assert told.startswith("error[device-not-described]")
    assert "observed: VM 101 (proxmox01): net4 virtio=BC:24:11:00:00:99,bridge=vmbr0\n" in told
    assert "`qm set 101 --delete net4` on virtual" in told
    assert f"`qm set 101 --net{max(4, number)} 'virtio=BC:24:11:00:00:99,bridge=vmbr0'`" in told


def test_a_larger_disk_is_refused_beside_another_disk_until_it_was_grown_by_hand(dev: Description) -> None:
    recorded = vm(dev)
    wanted = recorded["inputs"]["disks"][0]["size"]
    recorded["inputs"]["disks"] = [{"interface": "scsi0", "size": wanted - 1}]
    told = refused(dev, recorded, CARD, DISK)
    assert "net4" not in told
    assert f"`qm disk resize 101 scsi0 {wanted:g}G`" in told
    devices_at_risk.refuse(dev.config, state(recorded), [DISK, Drift(URN, "virtual", "scsi0 is larger", REFUSED)])


def test_a_guest_that_gets_another_bridge_keeps_its_users_card(dev: Description) -> None:
    guest = next(one for one in dev.config.guests if one.kind == "vm")
    given = {
        "vmId": float(guest.vmid),
        "name": guest.name,
        "clone": {"vmId": 9000.0},
        "networkDevices": [{"bridge": "vmbr7"}],
    }
    added = Drift(GUEST_URN, "cluster", "net1 virtio=BC:24:11:00:00:99,bridge=vmbr0", ADDED_CARD)
    recorded = {"urn": GUEST_URN, "type": VM_TYPE, "inputs": given, "outputs": given}
    told = refused(dev, recorded, added)
    assert f"`qm set {guest.vmid} --delete net1` on the node that it is on" in told
    given["networkDevices"] = [{"bridge": "vmbr0"}]
    devices_at_risk.refuse(dev.config, state(recorded), [added])


class Engine:
    """Records what it is asked to do."""

    def __init__(self, recorded: dict[str, Any]) -> None:
        self.recorded = recorded

    def export(self) -> dict[str, Any]:
        return self.recorded

    def replace_state(self, seen: dict[str, Any], new: dict[str, Any]) -> None:
        assert seen == self.recorded
        self.recorded = new


@pytest.mark.parametrize("added", [True, False])
def test_beside_a_users_card_the_refresh_comes_first_and_its_record_is_put_right(
    dev: Description, monkeypatch: pytest.MonkeyPatch, *, added: bool
) -> None:
    plain = vm(dev)
    given = plain["inputs"]["networkDevices"]
    engine: Any = Engine(state({**plain, "outputs": {**plain["outputs"], "networkDevices": [*given, THEIRS]}}))
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(engine_runs, "run", lambda _loaded, *words: ran.append(words))
    loaded, arguments = drifted.refreshed(LoadedStack(dev, engine, state(plain)), [CARD] if added else [DISK])
    assert [words[0] for words in ran] == (["refresh"] if added else [])
    assert arguments == (() if added else engine_runs.REFRESH)
    if added:
        assert loaded.state == engine.recorded == state(plain)
