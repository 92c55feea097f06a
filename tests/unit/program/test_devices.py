"""Which devices an update of a VM would take away from somebody."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from cluster.call import Call
from cluster.contract import Card, FurtherDevices, Machine, Secrets
from cluster.errors import AdminError
from cluster.steps import further_devices
from cluster.transport import members
from cluster.transport.ssh import Completed
from components import devices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONFIG = "/etc/pve/nodes/*/qemu-server/101.conf"
MANAGEMENT, LINK, OWN, THEIRS = (f"BC:24:11:00:00:{number}" for number in ("01", "02", "03", "99"))
DISK = {"interface": "scsi0", "datastoreId": "local-lvm", "size": 32}


@dataclass
class Host:
    """A machine with files."""

    machine: Machine
    files: dict[str, str]

    async def run(self, command: str, *, timeout_s: float) -> Completed:
        del timeout_s
        text = self.files.get(command.removeprefix("cat "))
        return (
            Completed(0, text, "") if text is not None else Completed(1, "", "cat: Transport endpoint is not connected")
        )


def card(mac: str | None, bridge: str = "vmbr0", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    return {"bridge": bridge, "model": "virtio", **({"macAddress": mac} if mac else {}), **more}


def live(*cards: str) -> str:
    return "name: proxmox01\nscsi0: local-lvm:vm-101-disk-0,size=32G\nide2: none,media=cdrom\n" + "".join(
        f"{text}\n" for text in cards
    )


def wanted(*cards: tuple[str | None, str], ours: tuple[str, ...] = (), **more: Any) -> FurtherDevices:  # noqa: ANN401
    there = [Machine("virtual", "192.168.0.180", "ssh-ed25519 AAAA")]
    return FurtherDevices(there, "virtual", 101, [Card(bridge, mac) for mac, bridge in cards], list(ours), **more)


NET0, NET1 = f"net0: virtio={MANAGEMENT},bridge=vmbr0", f"net1: virtio={LINK},bridge=vmbr1,mtu=1"
NODE = ((MANAGEMENT, "vmbr0"), (LINK, "vmbr1"))
GUEST = ((None, "vmbr0"),)
OF_USER = f"virtio={THEIRS},bridge=vmbr0,tag=30"
# The cards that an update gives, the addresses that were described before it, the VM's file, and what would be lost.
CASES: dict[str, tuple[tuple[tuple[str | None, str], ...], tuple[str, ...], str, list[str]]] = {
    "nothing is new": (NODE, (), live(NET0, NET1), []),
    "a further card": (NODE, (), live(NET0, NET1, f"net2: {OF_USER}"), ["net2"]),
    "a further card after a gap": (NODE, (), live(NET0, NET1, f"net10: {OF_USER}"), ["net10"]),
    "two, in the order of their numbers": (
        NODE,
        (),
        live(NET0, NET1, f"net10: {OF_USER}", f"net2: {OF_USER}"),
        ["net2", "net10"],
    ),
    "a described card takes the place": ((*NODE, (OWN, "vmbr2")), (), live(NET0, NET1, f"net2: {OF_USER}"), ["net2"]),
    "a network that is no longer described": (NODE, (OWN,), live(NET0, NET1, f"net2: virtio={OWN},bridge=vmbr2"), []),
    "ours with another address is put right": (NODE, (), live(NET0, f"net1: virtio={THEIRS},bridge=vmbr1"), []),
    "ours on another bridge is put right": (NODE, (), live(NET0, f"net1: virtio={LINK.lower()},bridge=vmbr7"), []),
    "ours is gone": (NODE, (), live(NET0), []),
    "a guest's only card, whose address Proxmox VE chose": (GUEST, (), live(f"net0: virtio={THEIRS},bridge=vmbr7"), []),
    "a guest's second card": (GUEST, (), live(NET0, f"net1: {OF_USER}"), ["net1"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_an_update_of_the_cards_would_take_away(case: str) -> None:
    cards, ours, config, lost = CASES[case]
    if not lost:
        further_devices.refuse_further(wanted(*cards, ours=ours, disks={}), config)
        return
    with pytest.raises(AdminError) as refused:
        further_devices.refuse_further(wanted(*cards, ours=ours, disks={}), config)
    assert [part.split()[2] for part in str(refused.value.observed).split("; ")] == lost


def test_no_card_of_a_running_node_changes_its_place() -> None:
    """Proxmox VE would take it out for that, with the storage or a link behind it."""
    there = live(NET0, NET1)
    further_devices.refuse_further(wanted(*NODE, (OWN, "vmbr2"), disks={}), there)
    with pytest.raises(AdminError) as refused:
        further_devices.refuse_further(wanted(NODE[0], (OWN, "vmbr2"), NODE[1], disks={}), there)
    assert refused.value.code == "cards-moved"
    assert refused.value.observed == "net1 would become net2"


def test_the_refusal_names_the_card_and_the_commands_that_take_it_away_and_put_it_back() -> None:
    with pytest.raises(AdminError) as refused:
        further_devices.refuse_further(wanted(*NODE, (OWN, "vmbr2"), disks={}), live(NET0, NET1, f"net2: {OF_USER}"))
    told = refused.value.render()
    assert told.startswith("error[device-not-described]: a change of the VM's described cards or disk would remove")
    assert f"observed: VM 101: net2 {OF_USER}\n" in told
    assert (
        f"`qm set 101 --delete net2` on virtual, then run the same command again, and put the card back: `qm set 101 --net3 '{OF_USER}'`"
        in told
    )


def inputs(*cards: dict[str, Any], disks: tuple[dict[str, Any], ...] = (DISK,)) -> dict[str, Any]:
    return {"vmId": 101.0, "name": "proxmox01", "networkDevices": list(cards), "disks": list(disks)}


RECORDED = card(MANAGEMENT, firewall=False, enabled=True, mtu=0, queues=0, rateLimit=0, trunks="", vlanId=0)
NO_CARD = dict.fromkeys(RECORDED)


@pytest.mark.parametrize(
    ("given", "there", "change"),
    [
        ([card(MANAGEMENT.lower())], [RECORDED], False),
        ([card(None)], [RECORDED], False),
        ([card(LINK)], [RECORDED], True),
        ([card(MANAGEMENT, "vmbr1")], [RECORDED], True),
        ([card(MANAGEMENT, mtu=1.0)], [RECORDED], True),
        ([card(MANAGEMENT)], [{**RECORDED, "vlanId": 5}], True),
        ([card(MANAGEMENT)], [RECORDED, NO_CARD, RECORDED], True),
        ([card(MANAGEMENT), card(LINK)], [RECORDED], True),
    ],
)
def test_only_where_the_cards_are_written_others_are_looked_for(
    given: list[dict[str, Any]], there: list[dict[str, Any]], *, change: bool
) -> None:
    assert devices.cards_change(inputs(*given), inputs(*there)) is change


@pytest.mark.parametrize("changed", [{"size": 40.0}, {"datastoreId": "fast"}])
def test_only_where_a_described_disk_changes_are_others_looked_for(changed: dict[str, Any]) -> None:
    assert devices.disks_that_change(inputs(), inputs()) == {}
    new = {**DISK, **changed}
    assert devices.disks_that_change(inputs(disks=(new,)), inputs()) == {"scsi0": new["size"]}


def test_the_look_reads_the_vms_file_on_a_machine_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {CONFIG: live(NET0, NET1)}

    @asynccontextmanager
    async def connections(machines: list[Machine], *_: object) -> AsyncIterator[dict[str, Host]]:
        await asyncio.sleep(0)
        yield {machine.name: Host(machine, files) for machine in machines}

    monkeypatch.setattr(members, "connections", connections)
    asked = wanted(*NODE, disks={"scsi0": 40.0})
    assert not asyncio.run(further_devices.bring_about(asked, Call(Secrets("key")))).changed
    files[CONFIG] += f"virtio1: b:2,size=4G\nnet2: {OF_USER}\n"
    with pytest.raises(AdminError) as refused:
        asyncio.run(further_devices.bring_about(asked, Call(Secrets("key"))))
    assert refused.value.observed == f"VM 101: net2 {OF_USER}; VM 101: virtio1 b:2,size=4G"
    assert "by hand on virtual, `qm disk resize 101 scsi0 40G`, then run" in refused.value.fix
    untouched = replace(asked, cards=None, disks={})
    assert not asyncio.run(further_devices.bring_about(untouched, Call(Secrets("key")))).changed
    del files[CONFIG]
    with pytest.raises(AdminError) as unread:
        asyncio.run(further_devices.bring_about(asked, Call(Secrets("key"))))
    assert (unread.value.code, unread.value.observed) == ("command-failed", "cat: Transport endpoint is not connected")
    assert "VM 101" in unread.value.what
