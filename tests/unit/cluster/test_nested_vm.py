"""The VM of a nested node is found by its mark, and switched off only when it is the stack's."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from cluster import marks, nested_vm, proxmox_ve
from cluster.contract import Machine
from cluster.errors import AdminError
from cluster.marks import Look, Thing
from cluster.motion import Motion
from cluster.transport.ssh import Completed, Connection

VM = Thing(marks.VM, "101", "virtual", ours=True, shown="VM 101 (proxmox01) on virtual")
SEEN = Look("virtual", "virtual", quorate=True, things=(VM,))


class Host(Connection):
    """An outer host with one VM."""

    def __init__(self, status: str = "running", *, refuses: str = "", ignores: bool = False) -> None:
        self.machine = Machine("virtual", "192.168.0.180", "ssh-ed25519 AAAA")
        self.status, self.refuses, self.ignores = status, refuses, ignores
        self.did: list[str] = []

    async def run(self, command: str, **_: Any) -> Completed:  # noqa: ANN401 - options as they are
        if command == proxmox_ve.vm_status(VM):
            return Completed(0, json.dumps({"status": self.status}), "")
        self.did.append(command)
        if self.refuses:
            return Completed(255, "", self.refuses)
        self.status = self.status if self.ignores else "stopped"
        return Completed(0, "", "")


def test_it_is_switched_off_and_seen_to_be() -> None:
    host = Host()
    asyncio.run(nested_vm.stop(host, VM))
    assert host.did == [proxmox_ve.stop_vm(VM)]
    assert host.status == "stopped"


@pytest.mark.parametrize(
    ("host", "observed"),
    [(Host(refuses="VM is locked (backup)"), "VM is locked (backup)"), (Host(ignores=True), "status running")],
)
def test_one_that_stays_on_is_named(monkeypatch: pytest.MonkeyPatch, host: Host, observed: str) -> None:
    """Proxmox VE's tools may exit 0 and have done nothing."""
    monkeypatch.setattr(nested_vm, "STOP_S", 0.05)
    monkeypatch.setattr(nested_vm, "POLL_S", 0.01)
    with pytest.raises(AdminError) as error:
        asyncio.run(nested_vm.stop(host, VM))
    assert (error.value.code, error.value.observed) == ("command-failed", observed)


@pytest.mark.parametrize(
    ("things", "code"),
    [
        ((), "vm-moved"),
        ((replace(VM, node="other"),), "vm-moved"),
        ((replace(VM, ours=False),), "foreign-vmid"),
        ((replace(VM, kind=marks.CONTAINER, ours=False),), "foreign-vmid"),
    ],
)
def test_what_is_not_the_nodes_vm_is_refused(things: tuple[Thing, ...], code: str) -> None:
    with pytest.raises(AdminError) as error:
        nested_vm.own(replace(SEEN, things=things), "proxmox01", 101, "dev")
    assert error.value.code == code
    assert nested_vm.own(SEEN, "proxmox01", 101, "dev") == VM


def test_a_host_that_makes_a_backup_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    backups, things = frozenset[str](), SEEN.things

    async def look(_host: object, _stack: str) -> Look:
        return replace(SEEN, things=things, motion=Motion(backups=backups))

    monkeypatch.setattr(proxmox_ve, "look", look)
    assert asyncio.run(nested_vm.look(Host(), "proxmox01", 101, "dev")) == VM
    assert not asyncio.run(nested_vm.is_off(Host(), "proxmox01", 101, "dev"))
    assert asyncio.run(nested_vm.is_off(Host("stopped"), "proxmox01", 101, "dev"))
    backups = frozenset({"a backup of guest 101 runs on virtual"})
    with pytest.raises(AdminError, match="a backup runs") as error:
        asyncio.run(nested_vm.look(Host(), "proxmox01", 101, "dev"))
    assert error.value.code == "not-settled"
    things = ()
    assert not asyncio.run(nested_vm.is_off(Host("stopped"), "proxmox01", 101, "dev")), (
        "one that is gone cannot be started"
    )
