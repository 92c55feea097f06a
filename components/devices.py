"""Disks and network cards that users add to a VM: an update that would take one away is refused.

The provider removes each card and disk that it is not given, as soon as a described one changes. What is there is asked
of the machine: the record knows no further disks, and further cards only after a refresh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi

from cluster.contract import FurtherDevices
from cluster.further_devices import given_cards
from components import hook_steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.contract import Machine
    from components.site import Site

    Values = Mapping[str, Any]

SETTINGS = ("datastoreId", "size")  # of a disk; with others unchanged, the provider leaves all disks as they are
# What the provider takes where a card is given without it. Its address stays as it is.
CARD = {"bridge": "vmbr0", "model": "virtio", "mtu": 0, "vlanId": 0, "queues": 0, "rateLimit": 0, "trunks": ""}
CARD |= {"firewall": False, "disconnected": False, "enabled": True}


def stay(logical: str, site: Site, machines: Sequence[Machine], where: str, *, disks: bool) -> pulumi.ResourceHook:
    """The look, on a machine that knows the VM, at what an update would take away.

    Args:
        logical: the VM's name in the program.
        site: the stack.
        machines: any of them can answer.
        where: on which machine its devices are changed by hand.
        disks: whether its disks are described.
    """

    async def refuse(args: pulumi.ResourceHookArgs) -> None:
        new, before, old = args.new_inputs or {}, args.old_inputs or {}, args.old_outputs or {}
        changed = disks_that_change(new, old) if disks else {}
        cards = given_cards(new) if cards_change(new, old) else None
        if not changed and cards is None:
            return
        ours = [card.mac for card in given_cards(before) if card.mac]
        wanted = FurtherDevices(list(machines), where, int(new["vmId"]), cards, ours, changed)
        await hook_steps.run("further-devices", wanted, site)

    return pulumi.ResourceHook(f"{logical}-devices", refuse)


def cards_change(new: Values, old: Values) -> bool:
    """Whether an update writes the network cards: the provider then takes away all others; pure."""
    given, there = new.get("networkDevices") or [], old.get("networkDevices") or []
    return len(given) != len(there) or any(_differs(*pair) for pair in zip(given, there, strict=True))


def _differs(given: Values, there: Values) -> bool:
    mac = str(given.get("macAddress") or "").upper()
    return bool(mac and mac != str(there.get("macAddress") or "").upper()) or any(
        (default if given.get(key) is None else given[key]) != (default if there.get(key) is None else there[key])
        for key, default in CARD.items()
    )


def disks_that_change(new: Values, old: Values) -> dict[str, float]:
    """The described disks with their sizes, where one changes: else the provider leaves all as they are; pure."""
    there = {str(disk["interface"]): disk for disk in old.get("disks") or []}
    given = {str(disk["interface"]): disk for disk in new.get("disks") or []}
    if all(_same(disk, there.get(name)) for name, disk in given.items()):
        return {}
    return {name: float(disk["size"]) for name, disk in given.items()}


def _same(given: Values, there: Values | None) -> bool:
    return there is not None and all(given.get(key) in (None, there.get(key)) for key in SETTINGS)
