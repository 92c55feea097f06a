"""What a stack owns on its machines: as the stack file describes it, and as the state records it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.state.interrupted import IDS
from cluster import marks
from components.recorded import BRIDGE_TYPE, FILE_TYPE, GROUP_TYPE, RESOURCE_TYPE, RULE_TYPE, VM_TYPE
from config import topology
from config.model import NestedNode, VmGuest

if TYPE_CHECKING:
    from cli.description import Description

State = dict[str, Any]
CLUSTER = "cluster"
RULES_SINCE = 9
KINDS = {
    VM_TYPE: marks.VM,
    BRIDGE_TYPE: marks.BRIDGE,
    FILE_TYPE: marks.IMAGE,
    RESOURCE_TYPE: marks.RESOURCE,
    RULE_TYPE: marks.RULE,
    GROUP_TYPE: marks.GROUP,
}
_GUESTS = (marks.VM, marks.CONTAINER)


@dataclass(frozen=True)
class Belonging:
    """Something that a stack can own on its machines.

    Attributes:
        place: the outer host's name, or CLUSTER.
        kind: what it is on the machine, as in `cluster.marks`.
        name: its name or number there.
    """

    place: str
    kind: str
    name: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What no two things share."""
        return self.place, numbered_with(self.kind), self.name


@dataclass(frozen=True)
class DescribedThing(Belonging):
    """Something that the stack file describes.

    Attributes:
        type: the engine's type; empty for what a step makes.
        logical: its name in the program.
        code: the refusal, when somebody else has it.
        other: the change of the stack file that avoids the refusal.
    """

    type: str
    logical: str
    code: str
    other: str

    @property
    def of(self) -> str:
        """The guest or template that it belongs to; otherwise the place."""
        if self.code != "guest-foreign":
            return self.place
        return self.logical.removesuffix("-vm") if self.type else self.logical


@dataclass(frozen=True)
class RecordedThing(Belonging):
    """Something that the engine recorded as made.

    Attributes:
        urn: of the resource.
        replaced: a newer resource has its URN, and this one is still to be deleted.
    """

    urn: str
    replaced: bool = False


def numbered_with(kind: str) -> str:
    """The kind whose numbers this kind shares: VMs and containers have one range of numbers."""
    return "guest" if kind in _GUESTS else kind


def described(description: Description) -> list[DescribedThing]:
    """All that the stack file describes, and that somebody else could have made under the same name or number."""
    config = description.config
    found = []
    provided = {host.name for _, host in topology.proxmox_ve_hosts(config)}
    for host in config.outer_hosts:
        by_provider = host.name in provided
        found += [
            _on_host(host.name, marks.BRIDGE, bridge.name, BRIDGE_TYPE * by_provider, f"{host.name}-{bridge.name}")
            for bridge in host.bridges
            if bridge.managed
        ]
        if host.installer.url and by_provider:  # a step replaces its own image, and refuses another's
            image = marks.image_name(description.stack, host.name, host.installer.url)
            found.append(_on_host(host.name, marks.IMAGE, image, FILE_TYPE, f"{host.name}-installer"))
    found += [
        _on_host(node.host, marks.VM, str(node.vmid), VM_TYPE * (node.host in provided), f"{node.name}-vm")
        for node in config.nodes
        if isinstance(node, NestedNode)
    ]
    found += [_guest(marks.VM, template.vmid, template.name, "") for template in config.templates]
    for _, guest in topology.made_guests(config):
        vm = isinstance(guest, VmGuest)
        found.append(_guest(marks.VM if vm else marks.CONTAINER, guest.vmid, guest.name, VM_TYPE if vm else ""))
        found += _registration(
            guest.name, f"{'vm' if vm else 'ct'}:{guest.vmid}", config.pve_major, bool(guest.ha.nodes)
        )
    return found


def _on_host(host: str, kind: str, name: str, type_: str, logical: str) -> DescribedThing:
    code = "foreign-vmid" if kind == marks.VM else "foreign-bridge"
    other = "give the node another vmid" if kind == marks.VM else "choose another name for the bridge"
    return DescribedThing(host, kind, name, type_, logical, code, f"{other} in the stack file")


def _guest(kind: str, vmid: int, name: str, type_: str) -> DescribedThing:
    other = f"give {name} another vmid in the stack file"
    return DescribedThing(CLUSTER, kind, str(vmid), type_, f"{name}-vm" if type_ else name, "guest-foreign", other)


def _registration(guest: str, sid: str, pve_major: int, placed: bool) -> list[DescribedThing]:  # noqa: FBT001 - of this module
    other = f"give {guest} another name or vmid in the stack file, or take the existing one out of HA yourself"
    found = [DescribedThing(CLUSTER, marks.RESOURCE, sid, RESOURCE_TYPE, f"{guest}-ha", "ha-foreign", other)]
    if placed:
        rule = pve_major >= RULES_SINCE
        kind, type_, suffix = (marks.RULE, RULE_TYPE, "rule") if rule else (marks.GROUP, GROUP_TYPE, "group")
        found.append(
            DescribedThing(CLUSTER, kind, f"{guest}-placement", type_, f"{guest}-ha-{suffix}", "ha-foreign", other)
        )
    return found


def recorded(state: State) -> list[RecordedThing]:
    """What the engine recorded as made, of the kinds that machines can be asked for."""
    found = []
    for entry in state.get("deployment", {}).get("resources") or []:
        kind = KINDS.get(entry["type"])
        if kind is None or entry.get("external"):
            continue
        inputs = entry.get("inputs") or {}
        try:
            identity = IDS[entry["type"]](inputs)
        except KeyError:
            continue
        name = {marks.BRIDGE: inputs.get("name"), marks.IMAGE: inputs.get("fileName")}.get(kind, identity)
        found.append(
            RecordedThing(_place(entry.get("provider") or ""), kind, str(name), entry["urn"], bool(entry.get("delete")))
        )
    return found


def _place(provider: str) -> str:
    """The place whose API a provider uses, from its reference `URN::ID`."""
    urn = provider.rpartition("::")[0]
    return urn.rpartition("::")[2].removesuffix("-api")
