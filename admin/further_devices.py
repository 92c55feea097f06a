"""Network cards and disks that users add to a VM of ours, limits of its cards, and ports of a bridge: they stay. Pure.

The provider takes away each card that it is not given as soon as its list of cards differs from the recorded one, and
its refresh records all cards. So what a refresh recorded beside the described ones is taken out of the record again:
then the next update does not touch the cards. Where the described cards change, nothing keeps the provider from taking
the others away; that is refused.
Ports of a bridge that was described without any the provider plans to take away, and does not.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from admin.belongings import BRIDGE_TYPE
from admin.desired import Card
from admin.outer_vms import VM_TYPE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    Values = Mapping[str, Any]

# How the provider's own record differs from this one, by the places in its lists; it is made anew with the next record.
DELTA = "__pulumi_raw_state_delta"
CARD = re.compile(r"net(\d+)")
# What users may set on a described card, with what the provider records where it is not set.
LIMITS: dict[str, tuple[str, Any]] = {"queues": ("queues", 0), "rate": ("rateLimit", 0), "trunks": ("trunks", "")}
DISK = re.compile(r"(ide|sata|scsi|virtio)\d+")


def card_parts(value: str) -> dict[str, str]:
    """A network card in Proxmox VE's file, `virtio=BC:24:11:…,bridge=vmbr0,firewall=1`; the first part is its model."""
    model, *rest = value.split(",")
    name, _, mac = model.partition("=")
    return {"model": name, "mac": mac.upper(), **dict(part.split("=", 1) for part in rest if "=" in part)}


def given_cards(inputs: Values) -> list[Card]:
    """The cards that a VM's inputs give."""
    devices = inputs.get("networkDevices") or []
    return [Card(each.get("bridge"), str(each.get("macAddress") or "").upper() or None) for each in devices]


def cards(given: Sequence[Card], live: Mapping[str, str], ours: Collection[str] = ()) -> dict[str, str]:
    """The cards of a VM's file that are nobody's but the users', by name.

    Args:
        given: the described ones, in the order of their numbers.
        live: the VM's file.
        ours: MAC addresses of cards that were described before.
    """
    macs = {card.mac for card in given} | set(ours)
    return {
        key: value
        for key, value in sorted(live.items(), key=_number)
        if (found := CARD.fullmatch(key)) and not _described(int(found[1]), card_parts(value), given, macs)
    }


def _described(number: int, parts: Mapping[str, str], given: Sequence[Card], macs: Collection[str | None]) -> bool:
    if parts["mac"] in macs:
        return True
    # One of ours whose address or bridge a hand changed stands in its place still, and is put right.
    return number < len(given) and (given[number].mac is None or given[number].bridge == parts.get("bridge"))


def _number(item: tuple[str, str]) -> int:
    found = CARD.fullmatch(item[0])
    return int(found[1]) if found else -1


def limits(inputs: Values, live: Mapping[str, str]) -> dict[str, str]:
    """What users have set on described cards, by the card's name."""
    found: dict[str, str] = {}
    for number, device in enumerate(inputs.get("networkDevices") or []):
        parts = card_parts(live.get(f"net{number}", ""))
        users = [
            f"{key}={parts[key]}" for key, (name, _) in LIMITS.items() if key in parts and device.get(name) is None
        ]
        if users:
            found[f"net{number}"] = ",".join(users)
    return found


def disks(given: Collection[str], live: Mapping[str, str]) -> dict[str, str]:
    """The disks of a VM's file beside the described ones."""
    return {
        key: value
        for key, value in sorted(live.items())
        if DISK.fullmatch(key) and "media=cdrom" not in value and key not in given
    }


def forgotten(state: dict[str, Any]) -> dict[str, Any]:
    """The state in which no VM has cards beside those that the program gave, and these no limits that it did not give.

    And no bridge has ports where the program gave none.
    """
    changed = copy.deepcopy(state)
    for resource in changed["deployment"].get("resources") or []:
        if resource["type"] == VM_TYPE and (resource.get("inputs") or {}).get("networkDevices"):
            _forget(given_cards(resource["inputs"]), resource.get("outputs") or {})
            _forget_limits(resource["inputs"], resource.get("outputs") or {})
        if resource["type"] == BRIDGE_TYPE:
            _forget_ports(resource.get("inputs") or {}, resource.get("outputs") or {})
    return changed


def _forget_ports(inputs: Values, outputs: dict[str, Any]) -> None:
    if outputs.get("ports") and not inputs.get("ports"):
        outputs["ports"] = None
        outputs.pop(DELTA, None)


def _forget(given: Sequence[Card], outputs: dict[str, Any]) -> None:
    recorded = outputs.get("networkDevices") or []
    macs = {card.mac for card in given}
    kept = len(given)
    for number, device in enumerate(recorded):
        if str(device.get("macAddress") or "").upper() in macs - {None}:
            kept = max(kept, number + 1)
    if kept < len(recorded):
        for name in ("networkDevices", "macAddresses"):
            if isinstance(outputs.get(name), list):
                outputs[name] = outputs[name][:kept]
        outputs.pop(DELTA, None)


def _forget_limits(inputs: Values, outputs: Values) -> None:
    for given, recorded in zip(inputs["networkDevices"], outputs.get("networkDevices") or [], strict=False):
        for name, unset in LIMITS.values():
            if given.get(name) is None and recorded.get(name):
                recorded[name] = unset
