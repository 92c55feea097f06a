"""Takes out of the state what a refresh recorded of things that users added. Pure.

A refresh records all cards of a VM, all limits of its cards, and all ports of a bridge. The next update would take the cards away.
It would also plan to remove the ports of a bridge that is described without any, which the provider does not do.
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

# A difference to the provider's own record, by places in lists; the provider writes it again with its next record.
DELTA = "__pulumi_raw_state_delta"


def forgotten(state: dict[str, Any]) -> dict[str, Any]:
    """The state without cards of VMs, limits of cards, and ports of bridges that the program did not give."""
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
