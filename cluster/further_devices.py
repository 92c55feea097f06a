"""Network cards and disks that users add to a VM of ours, and limits of its cards: they stay. Pure.

The provider takes away each card that it is not given as soon as its list of cards differs from the recorded one. Where
the described cards change, nothing keeps it from taking the others away; that is refused.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Any

from cluster.contract import Card
from cluster.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    Values = Mapping[str, Any]

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
    """The cards of a VM's file that users added, by name.

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


def moved(given: Sequence[Card], live: Mapping[str, str]) -> dict[str, int]:
    """The cards that the change would give another number: "net2" -> 1. Proxmox VE takes each out of the running VM, and puts it back."""
    numbers = {card.mac: number for number, card in enumerate(given) if card.mac}
    found = {key: card_parts(value)["mac"] for key, value in live.items() if CARD.fullmatch(key)}
    return {key: numbers[mac] for key, mac in sorted(found.items()) if mac in numbers and key != f"net{numbers[mac]}"}


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


def refusal(lost: Iterable[str], ways_out: Iterable[str]) -> AdminError:
    """The refusal, with what would be lost and what to do for each."""
    return AdminError(
        "device-not-described",
        "a change of the VM's described cards or disk would remove what a user added; nothing was changed",
        observed="; ".join(lost),
        expected="no added cards or disks while a described one changes",
        fix="; ".join(ways_out),
    )


def card_away(vmid: int, key: str, value: str, where: str, described: int) -> str:
    """How a card is out of the way while the described ones change."""
    found = CARD.fullmatch(key)
    number = int(found[1]) if found else 0
    back = number if number >= described else next(count(described))
    return (
        f"`qm set {vmid} --delete {key}` on {where}, then run the same command again, and put the card back: "
        f"`qm set {vmid} --net{back} '{value}'`"
    )


def grown_by_hand(vmid: int, where: str, sizes: Mapping[str, float]) -> str:
    """How a disk grows without a change by the provider."""
    commands = "; ".join(f"`qm disk resize {vmid} {name} {size:g}G`" for name, size in sizes.items())
    return f"enlarge the described disk by hand on {where}, {commands}, then run the same command again"
