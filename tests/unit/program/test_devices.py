"""Which devices an update of a VM would take away from somebody."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from admin import members
from admin.desired import FurtherDisks, Machine, Secrets
from admin.errors import AdminError
from admin.ssh import Completed
from admin.step import Call
from admin.steps import further_disks
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
        return Completed(0, self.files[command.removeprefix("cat ")], "")


NONE: dict[str, Any] = {"enabled": False}


def card(mac: str, bridge: str = "vmbr0") -> dict[str, Any]:
    return {"bridge": bridge, "macAddress": mac}


def vm(*cards: dict[str, Any], disks: tuple[dict[str, Any], ...] = (DISK,)) -> dict[str, Any]:
    return {"vmId": 101, "name": "proxmox01", "networkDevices": list(cards), "disks": list(disks)}


NODE = (card(MANAGEMENT), card(LINK, "vmbr1"))
GUEST = ({"bridge": "vmbr0", "model": "virtio"},)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "nothing is new": (vm(*NODE), vm(*NODE), []),
    "a further card": (vm(*NODE), vm(*NODE, card(THEIRS)), ["net2"]),
    "a further card after a gap": (vm(*NODE), vm(*NODE, NONE, card(THEIRS)), ["net3"]),
    "two, in the order of their numbers": (vm(*NODE), vm(*NODE, card(THEIRS), card(THEIRS[:-1])), ["net2", "net3"]),
    "a described card takes the place": (vm(*NODE, card(OWN, "vmbr2")), vm(*NODE, card(THEIRS)), ["net2"]),
    "a network that is no longer described": (vm(*NODE), vm(*NODE, card(OWN, "vmbr2")), []),
    "ours with another address is put right": (vm(*NODE), vm(NODE[0], card(THEIRS, "vmbr1")), []),
    "ours on another bridge is put right": (vm(*NODE), vm(NODE[0], card(LINK.lower(), "vmbr7")), []),
    "ours is gone": (vm(*NODE), vm(NODE[0]), []),
    "a guest's only card, whose address Proxmox VE chose": (vm(*GUEST), vm(card(THEIRS, "vmbr7")), []),
    "a guest's second card": (vm(*GUEST), vm(card(LINK), card(THEIRS)), ["net1"]),
    "nothing is known": ({"vmId": 101}, {}, []),
}


@pytest.mark.parametrize("case", CASES)
def test_what_an_update_would_take_away(case: str) -> None:
    new, old, lost = CASES[case]
    assert list(devices.cards_taken_away(new, old, lambda _bridge, mac: mac == OWN)) == lost


def test_the_refusal_names_the_cards_and_the_way_out() -> None:
    lost = devices.cards_taken_away(vm(*NODE), vm(*NODE, card(THEIRS)), lambda _bridge, _mac: False)
    told = devices.refusal(vm(*NODE), lost, "virtual").render()
    assert told.startswith("error[device-not-described]: the change of VM 101 (proxmox01) would take away")
    assert f"observed: net2 {THEIRS} on vmbr0\n" in told
    assert re.search(r"next: describe the card .*`qm set 101 --delete net2` on virtual", told)


@pytest.mark.parametrize("changed", [{"size": 40.0}, {"datastoreId": "fast"}])
def test_only_where_a_described_disk_changes_are_others_looked_for(changed: dict[str, Any]) -> None:
    assert devices.disks_that_change(vm(), vm()) == {}
    new = {**DISK, **changed}
    assert devices.disks_that_change(vm(disks=(new,)), vm()) == {"scsi0": new["size"]}


def test_the_look_at_the_disks_reads_the_vms_file_on_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {CONFIG: "scsi0: a:1,size=32G\n"}

    @asynccontextmanager
    async def connections(machines: list[Machine], *_: object) -> AsyncIterator[dict[str, Host]]:
        await asyncio.sleep(0)
        yield {machine.name: Host(machine, files) for machine in machines}

    monkeypatch.setattr(members, "connections", connections)
    wanted = FurtherDisks(Machine("virtual", "192.168.0.180", "ssh-ed25519 AAAA"), 101, {"scsi0": 40.0})
    assert not asyncio.run(further_disks.bring_about(wanted, Call(Secrets("key")))).changed
    files[CONFIG] += "virtio1: b:2,size=4G\n"
    with pytest.raises(AdminError) as refused:
        asyncio.run(further_disks.bring_about(wanted, Call(Secrets("key"))))
    assert refused.value.observed == "virtio1 b:2,size=4G"


def test_a_disk_that_a_user_added_is_named_before_the_described_one_changes() -> None:
    wanted = FurtherDisks(Machine("virtual", "192.168.0.180", "ssh-ed25519 AAAA"), 101, {"scsi0": 40.0})
    ours = (
        "name: proxmox01\nscsihw: virtio-scsi-single\nscsi0: local-lvm:vm-101-disk-0,size=32G\nide2: none,media=cdrom\n"
    )
    further_disks.refuse_further(wanted, ours)
    with pytest.raises(AdminError) as refused:
        further_disks.refuse_further(wanted, ours + "scsi1: tank:vm-101-disk-1,size=4G\n")
    told = refused.value.render()
    assert "error[device-not-described]: the change of a disk of VM 101 would take away disks" in told
    assert "observed: scsi1 tank:vm-101-disk-1,size=4G\n" in told
    assert "by hand on virtual, `qm disk resize 101 scsi0 40G`, then run the same command again" in told
