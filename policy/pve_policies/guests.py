"""Guests under HA: what another node needs to take them over, and how they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from .examples import GUEST, NODES, SHARED, TEMPLATE, design, vm
from .resources import DESIGN, HA_GROUPS, HA_RULES, NESTED_PVE_NODE, VM
from .rule import Rule, given

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rule import Props, Subject

CANDIDATES_MIN = 2
EMPTY_DRIVE, PHYSICAL_DRIVE = "none", "cdrom"


def _not_shared(design: Subject) -> Iterator[str]:
    shared = {storage["name"] for storage in design.props["storages"] if storage["shared"]}
    for guest in design.props["guests"]:
        # Of an existing one, the disks are looked at where it is.
        if not guest.get("existing") and guest["storage"] not in shared:
            yield f"guest {guest['name']} has its disk on {guest['storage']}, which no other node can read"


SHARED_STORAGE = Rule(
    id="ha-guest-storage-shared",
    level=EnforcementLevel.MANDATORY,
    demands="Guests under HA have their disks on storage that every node sees.",
    protects="After its node died, HA starts the guest elsewhere, finds no disk, and leaves it in the error state.",
    source="Proxmox VE HA manager, requirements",
    fix="Use a shared storage, or describe it in nested-pve-ha:storages.",
    judges={DESIGN: _not_shared},
    bad=design(guests=[GUEST | {"storage": "local-lvm"}]),
    good=design(guests=[GUEST]),
)


def _on_a_member(design: Subject) -> Iterator[str]:
    members = {
        address: node["name"] for node in design.props["nodes"] for address in (node["address"], *node["networks"])
    }
    for link in design.props["cluster"]["links"]:
        members |= {address: name for name, address in link["addresses"].items()}
    for storage in design.props["storages"]:
        if storage.get("server") in members:
            server = storage["server"]
            yield f"storage {storage['name']} is on {server}, which is node {members[server]}: guests on all nodes fail with it"


STORAGE_OUTSIDE = Rule(
    id="storage-outside-the-cluster",
    level=EnforcementLevel.MANDATORY,
    demands="Shared storage is on no member of the cluster.",
    protects="When that one node dies, the disks of all guests are gone with it, and HA starts none of them.",
    source="Proxmox VE HA manager, requirements",
    fix="Use a server that is no member of the cluster.",
    judges={DESIGN: _on_a_member},
    bad=design(storages=[SHARED | {"server": NODES[0]["networks"][0]}]),
    good=design(storages=[SHARED]),
)


def _one_candidate(design: Subject) -> Iterator[str]:
    for guest in design.props["guests"]:
        if guest["ha"]["strict"]:
            yield from _too_few(f"guest {guest['name']}", guest["ha"]["nodes"])


def _strict_rule(rule: Subject) -> Iterator[str]:
    binds = rule.props.get("strict") and not rule.props.get("disable")
    if binds and rule.props["type"] == "node-affinity":
        yield from _too_few(f"HA rule {rule.props['rule']}", rule.props["nodes"])


def _restricted_group(group: Subject) -> Iterator[str]:
    if group.props.get("restricted"):
        yield from _too_few(f"HA group {group.props['group']}", group.props["nodes"])


def _too_few(who: str, nodes: object) -> Iterator[str]:
    names = sorted(nodes)  # type: ignore[call-overload] # a list of names, or priorities by name
    if len(names) < CANDIDATES_MIN:
        where = f"{', '.join(names)} only" if names else "no node at all"
        yield f"{who} may run on {where}, so HA has nowhere to move it"


CANDIDATES = Rule(
    id="ha-two-candidates",
    level=EnforcementLevel.MANDATORY,
    demands="A guest under HA may run on at least two nodes.",
    protects="A guest that is bound to one node is not highly available, whatever the HA manager shows.",
    source="Proxmox VE HA manager, node affinity rules (PVE 9) and groups (PVE 8)",
    fix="Name a second node in the guest's ha.nodes, or in nodes of the rule or group; or leave strict or restricted out.",
    judges={
        DESIGN: _one_candidate,
        **dict.fromkeys(HA_RULES, _strict_rule),
        **dict.fromkeys(HA_GROUPS, _restricted_group),
    },
    bad=design(guests=[GUEST | {"ha": GUEST["ha"] | {"strict": True, "nodes": ["proxmox01"]}}]),
    good=design(guests=[GUEST | {"ha": GUEST["ha"] | {"strict": True, "nodes": ["proxmox01", "proxmox02"]}}]),
)


def _no_agent(vm: Subject) -> Iterator[str]:
    if _agent_missing(vm):
        yield f"VM {vm.props.get('name') or vm.name} has the guest agent off"


def _agent_on(vm: Subject) -> Props:
    """The provider would wait for the agent's answer, and reboot a running VM for the new device; both are turned off."""
    if not _agent_missing(vm):
        return {}
    waits = given(vm.props.get("agent") or {}, "waitForIp")
    reboots = given(vm.props, "rebootAfterUpdate")
    return {
        "agent": {"enabled": True, **({} if waits else {"waitForIp": {"disabled": True}})},
        **({} if reboots else {"rebootAfterUpdate": False}),
    }


def _agent_missing(vm: Subject) -> bool:
    return _is_guest(vm) and not (vm.props.get("agent") or {}).get("enabled")


def _is_guest(vm: Subject) -> bool:
    return vm.parent != NESTED_PVE_NODE and not vm.props.get("template")


GUEST_AGENT = Rule(
    id="guest-agent-on",
    level=EnforcementLevel.REMEDIATE,
    demands="VMs have the guest agent on.",
    protects="Without it a shutdown is an ACPI event that may be ignored, and backups freeze no file system. A running VM "
    "gets it at its next start. Unless the program sets them, the remedy adds agent.waitForIp.disabled: true and "
    "rebootAfterUpdate: false, so that nothing waits for the agent's answer and the provider reboots nothing.",
    source="Proxmox VE, QEMU guest agent",
    fix="Set agent.enabled: true and install qemu-guest-agent in the guest: a shutdown waits for the agent's answer. "
    "As shipped, the pack sets the flag by itself.",
    judges={VM: _no_agent},
    bad=vm(agent={"enabled": False}),
    good=vm(agent={"enabled": True}),
    remedy=_agent_on,
)


def _kvm_on(design: Subject) -> Iterator[str]:
    if not any(node["kind"] == "nested" for node in design.props["nodes"]):
        return
    for template in design.props["templates"]:
        if template["kvm"]:
            yield f"template {template['name']} has KVM on, and its guests run in nested nodes"


KVM_OFF = Rule(
    id="guest-kvm-off",
    level=EnforcementLevel.DISABLED,
    demands="Guests in nested nodes run without KVM.",
    protects="Where the outer host's CPU or hypervisor nests badly, guests with KVM hang or crash; without it they are slow.",
    source="Proxmox VE, the option kvm of a VM",
    fix="Set kvm: false in nested-pve-ha:templates. Turn the rule on if your hosts need it.",
    judges={DESIGN: _kvm_on},
    bad=design(templates=[TEMPLATE | {"kvm": True}]),
    good=design(templates=[TEMPLATE]),
)


def _template_with_cd(vm: Subject) -> Iterator[str]:
    """To the provider a drive without a file is the host's own; where there is none, its bridge declares such a one."""
    cdrom = vm.props.get("cdrom")
    if cdrom is None or not vm.props.get("template"):
        return
    file = cdrom.get("fileId") or PHYSICAL_DRIVE
    if file != EMPTY_DRIVE:
        what = "the host's own CD drive" if file == PHYSICAL_DRIVE else f"{file} in its CD drive"
        yield f"template {vm.props.get('name') or vm.name} has {what}"


TEMPLATE_CD = Rule(
    id="template-without-cd",
    level=EnforcementLevel.MANDATORY,
    demands="Templates have nothing in the CD drive.",
    protects="Each clone keeps what is attached. It boots the installer, and cannot migrate to a node without the image, or "
    "with the host's own drive. To the provider, a CD drive without fileId, or no drive in the program, is the host's own.",
    source="pulumi-proxmoxve#563, #396",
    fix="Set cdrom.fileId: none in the template.",
    judges={VM: _template_with_cd},
    bad=vm(template=True, cdrom={"fileId": "local:iso/debian.iso"}),
    good=vm(template=True, cdrom={"fileId": "none"}),
)

RULES = (SHARED_STORAGE, STORAGE_OUTSIDE, CANDIDATES, GUEST_AGENT, KVM_OFF, TEMPLATE_CD)
