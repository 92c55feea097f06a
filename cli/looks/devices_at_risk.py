"""Cards and disks that users added to a VM, and that a run would take away with its own change of cards or disks. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.drift.kinds import ADDED_CARD, ADDED_DISK, REFUSED
from cluster.contract import Card
from cluster.further_devices import CARD, card_away, given_cards, grown_by_hand, refusal
from components.recorded import VM_TYPE
from config import topology
from config.model import NestedNode, VmGuest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cli.drift.model import Drift
    from config.model import Config

    Values = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """What a run would do to the cards and the disks of a VM.

    Attributes:
        cards: the new ones; None when they stay as they are.
        disks: sizes in GiB by name, when one of them changes.
    """

    cards: Sequence[Card] | None = None
    disks: Mapping[str, float] = field(default_factory=dict)


def refuse(config: Config, state: Mapping[str, Any], found: Iterable[Drift]) -> None:
    """Refuse a run that would take away what a user added to a VM.

    Args:
        config: what the VMs are to be.
        state: what is recorded of them.
        found: what the machines show, with what users added.

    Raises:
        AdminError: device-not-described.
    """
    resources = state["deployment"].get("resources") or []
    vms = {one["urn"]: one["inputs"] for one in resources if one["type"] == VM_TYPE}
    drifted = list(found)
    by_hand = {one.urn for one in drifted if one.kind == REFUSED}  # a disk that was grown by hand is not changed
    lost: list[tuple[Values, str, str, Change]] = []
    for one in drifted:
        if one.kind not in (ADDED_CARD, ADDED_DISK) or one.urn not in vms:
            continue
        change = change_of(config, vms[one.urn])
        if change.cards is not None if one.kind == ADDED_CARD else change.disks and one.urn not in by_hand:
            lost.append((vms[one.urn], one.where, one.what, change))
    if lost:
        raise refusal([_shown(vm, what) for vm, _, what, _ in lost], [_way_out(*one) for one in lost])


def change_of(config: Config, recorded: Values) -> Change:
    """How the stack file changes a recorded VM's cards and disks; empty if the VM is replaced or removed."""
    vmid, name, clone = int(recorded["vmId"]), recorded.get("name"), bool(recorded.get("clone"))
    if clone:
        guest = next((one for one in config.guests if isinstance(one, VmGuest) and one.vmid == vmid), None)
        cards = [Card(guest.bridge, None)] if guest is not None else None
        return Change(None if cards == given_cards(recorded) else cards)
    nodes = (one for one in config.nodes if isinstance(one, NestedNode) and (one.vmid, one.name) == (vmid, name))
    node = next(nodes, None)
    if node is None or node.host != recorded.get("nodeName"):
        return Change()
    cards = [Card(nic.bridge, nic.mac) for nic in topology.nics(config, node)]
    sizes = {str(disk["interface"]): float(disk["size"]) for disk in recorded.get("disks") or []}
    grown = dict.fromkeys(sizes, float(node.disk_gib))
    return Change(None if cards == given_cards(recorded) else cards, {} if grown == sizes else grown)


def _shown(vm: Values, what: str) -> str:
    return f"VM {int(vm['vmId'])} ({vm.get('name')}): {what}"


def _way_out(vm: Values, where: str, what: str, change: Change) -> str:
    key, _, value = what.partition(" ")
    place = where if not vm.get("clone") else "the node that it is on"
    if CARD.fullmatch(key):
        return card_away(int(vm["vmId"]), key, value, place, len(change.cards or []))
    return grown_by_hand(int(vm["vmId"]), place, change.disks)
