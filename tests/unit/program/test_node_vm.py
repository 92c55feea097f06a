"""The cards of a nested node's VM, as the program asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.program import run, stack_file

if TYPE_CHECKING:
    from pathlib import Path

NODES = ("proxmox01-vm", "proxmox02-vm", "proxmox03-vm")


def test_no_card_of_a_node_has_proxmox_ves_firewall(tmp_path: Path) -> None:
    """It lets only the VM's own MAC address pass, and the guests inside send with others."""
    recording = run(stack_file("dev"), tmp_path)
    cards = [card for name in NODES for card in recording[name].inputs["networkDevices"]]
    assert [card["bridge"] for card in cards] == ["vmbr0", "vmbr1", "vmbr2", "vmbr3"] * 3
    assert [card["firewall"] for card in cards] == [False] * len(cards)
    assert {card["model"] for card in cards} == {"virtio"}
