"""libvirt-network --remove: a network that this stack made is gone, with its bridge; refused while a VM has a card there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnode.contract.libvirt import LibvirtNetwork
from onnode.host import libvirt_network
from onnode.step import Action, Step

if TYPE_CHECKING:
    from onnode.host.libvirt_network import Observed


def decide(observed: Observed, desired: LibvirtNetwork) -> list[Action]:
    """Stop what is ours, and then forget it; somebody else's of that name stays.

    Raises:
        StepError: network-in-use.
    """
    name = desired.bridge.name
    if not _ours(observed, desired):
        return []
    if observed.domains:
        fix = (
            "take what the message names off the network, also of VMs that are off (`virsh detach-interface`, `virsh edit`); then run the "
            "same command again"
        )
        raise libvirt_network.in_use(name, "removed", observed, fix)
    stop = [Action("stop", name)] if observed.live is not None else []
    return [*stop, *([Action("undefine", name)] if observed.defined is not None else [])]


def _ours(observed: Observed, desired: LibvirtNetwork) -> bool:
    found = observed.found
    return found is not None and (found.name, found.stack) == (desired.bridge.name, desired.stack)


def facts(observed: Observed, desired: LibvirtNetwork) -> dict[str, Any]:
    """Which bridge, and whether one of its name is there now."""
    return {"bridge": desired.bridge.name, "left": observed.interface or observed.found is not None}


def unchanged(observed: Observed, desired: LibvirtNetwork) -> str:
    """Say what was found."""
    if observed.found is None and not observed.interface:
        return f"the network {desired.bridge.name} is gone"
    return f"{desired.bridge.name} was not made by this stack, and stays"


STEP = Step(LibvirtNetwork, libvirt_network.observe, decide, libvirt_network.act, facts, unchanged)
