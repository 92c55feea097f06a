"""Disks and network cards that users add to a VM: a change that would take one away is refused.

The provider removes each card that it is not given, and each disk, as soon as a described one changes. The engine's
refresh shows further cards, but no further disks: those are looked for on the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi

from admin.desired import FurtherDisks
from admin.errors import AdminError
from components import hook_steps
from components.hook_steps import HookError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from components.config.model import OuterHost
    from components.site import Site

    Values = Mapping[str, Any]
    Ours = Callable[[str, str], bool]  # by bridge and MAC address

SETTINGS = ("datastoreId", "size")  # of a disk; with others unchanged, the provider leaves all disks as they are


def cards_stay(logical: str, where: str, ours: Ours) -> pulumi.ResourceHook:
    """The look at the cards that an update would take away.

    Args:
        logical: the VM's name in the program.
        where: on which machine its cards are changed by hand.
        ours: whether a card was made by this stack; such a one may go when its network is no longer described.
    """

    def refuse(args: pulumi.ResourceHookArgs) -> None:
        new, old = args.new_inputs or {}, args.old_outputs or {}
        if lost := cards_taken_away(new, old, ours):
            raise HookError("\n" + refusal(new, lost, where).render())

    return pulumi.ResourceHook(f"{logical}-cards", refuse)


def disks_stay(logical: str, site: Site, host: OuterHost) -> pulumi.ResourceHook:
    """The look, on its host, at the disks that an update of a described disk would take away."""

    async def refuse(args: pulumi.ResourceHookArgs) -> None:
        new, old = args.new_inputs or {}, args.old_outputs or {}
        if disks := disks_that_change(new, old):
            await hook_steps.run("further-disks", FurtherDisks(site.machine(host), int(new["vmId"]), disks), site)

    return pulumi.ResourceHook(f"{logical}-disks", refuse)


def cards_taken_away(new: Values, old: Values, ours: Ours) -> dict[str, str]:
    """The cards of somebody else's that an update would remove or put another in place of, by name; pure."""
    return _cards(new.get("networkDevices") or [], old.get("networkDevices") or [], ours)


def disks_that_change(new: Values, old: Values) -> dict[str, float]:
    """The described disks with their sizes, where one changes: else the provider leaves all as they are; pure."""
    there = {str(disk["interface"]): disk for disk in old.get("disks") or []}
    given = {str(disk["interface"]): disk for disk in new.get("disks") or []}
    if all(_same(disk, there.get(name)) for name, disk in given.items()):
        return {}
    return {name: float(disk["size"]) for name, disk in given.items()}


def _cards(new: Sequence[Values], old: Sequence[Values], ours: Ours) -> dict[str, str]:
    given = {mac for card in new if (mac := _mac(card))}
    lost: dict[str, str] = {}
    # The provider counts as Proxmox VE does; where a card is missing, none has a MAC.
    for number, card in enumerate(old):
        mac, bridge = _mac(card), str(card.get("bridge") or "")
        # One of ours whose address or bridge a hand changed stands in its place still, and is put right.
        corrected = number < len(new) and (not _mac(new[number]) or bridge == new[number].get("bridge"))
        if mac and mac not in given and not corrected and not ours(bridge, mac):
            lost[f"net{number}"] = f"net{number} {mac} on {bridge}"
    return lost


def _mac(card: Values) -> str:
    return str(card.get("macAddress") or "").upper()


def _same(given: Values, there: Values | None) -> bool:
    return there is not None and all(given.get(key) in (None, there.get(key)) for key in SETTINGS)


def refusal(vm: Values, lost: Mapping[str, str], where: str) -> AdminError:
    """What the change would take away, and what to do; pure."""
    vmid = int(vm["vmId"])
    return AdminError(
        "device-not-described",
        f"the change of VM {vmid} ({vm.get('name')}) would take away what this program did not make; nothing is changed",
        observed="; ".join(lost.values()),
        expected="no network cards beside the described ones",
        fix="describe the card in the stack file, or take it away by hand: "
        f"`qm set {vmid} --delete {','.join(lost)}` on {where}",
    )
