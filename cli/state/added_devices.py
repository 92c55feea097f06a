"""What a refresh recorded of what users added, taken out of the record again. Pure.

A refresh records all cards of a VM, limits of its cards, and ports of a bridge. Without them in the record the next update
does not touch the cards. Ports of a bridge that was described without any the provider plans to take away, and does not.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from cluster.further_devices import LIMITS, given_cards
from components.recorded import BRIDGE_TYPE, VM_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.contract import Card

    Values = Mapping[str, Any]

# How the provider's own record differs from this one, by the places in its lists; it is made anew with the next record.
DELTA = "__pulumi_raw_state_delta"


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
