"""The CD that a nested node is installed from: its VM is given it as a CD, boots from it once, and loses it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnode.host import install_node
from tests.support.onnode_worlds import run
from tests.unit.onnode.test_node import INSTALL, ISO, OuterHost

if TYPE_CHECKING:
    from tests.support.fake_machine import FakeMachine

VOLUME = f"local:iso/{ISO.rpartition('/')[2]}"


def test_it_is_a_cd_and_no_disk(machine: FakeMachine) -> None:
    """Without that word Proxmox VE attaches it as a hard disk."""
    OuterHost(machine)
    run(machine, install_node.STEP, INSTALL)
    assert machine.ran("qm set 101")[0] == f"qm set 101 --ide2 {VOLUME},media=cdrom --boot order=scsi0;ide2"


def test_the_vm_starts_with_it_and_it_goes_when_the_node_answers(machine: FakeMachine) -> None:
    OuterHost(machine)
    run(machine, install_node.STEP, INSTALL)
    changes = [command for command in machine.commands if command.startswith(("qm set", "qm stop", "qm start"))]
    assert changes == [
        f"qm set 101 --ide2 {VOLUME},media=cdrom --boot order=scsi0;ide2",
        "qm stop 101",
        "qm start 101",
        "qm set 101 --delete ide2 --boot order=scsi0",
    ]
