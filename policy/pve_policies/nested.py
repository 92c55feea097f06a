"""Nested virtualization: what nodes need of their outer host and of their own VM to run guests with KVM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from .examples import NODES, OUTER_HOST, design, of_nodes
from .resources import DESIGN, HOST_PREP, NESTED_PVE_NODE, VMS
from .rule import Rule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .rule import Props, Subject

PROVIDER_DEFAULT_CPU = "qemu64"
NESTED_FLAG = "nested-virt"


def _designed_hosts(design: Subject) -> Iterator[str]:
    for host in design.props["outerHosts"]:
        yield from _nested_off(host["name"], host)


def _prepared_host(prep: Subject) -> Iterator[str]:
    yield from _nested_off(prep.props["host"], prep.props)


def _nested_off(name: str, host: Props) -> Iterator[str]:
    nested = host.get("nested")
    if nested is not True:
        yield f"outer host {name} has nested: {str(nested).lower()}, so its nodes would have no KVM"


NESTED_ON = Rule(
    id="nested-virtualization-on",
    level=EnforcementLevel.MANDATORY,
    demands="Outer hosts of nested nodes have nested virtualization on.",
    protects="Without it nodes have no /dev/kvm, and guests that want KVM do not start.",
    source="F22",
    fix="Set nested: true for the host in nested-pve-ha:outerHosts.",
    judges={DESIGN: _designed_hosts, HOST_PREP: _prepared_host},
    bad=design(outerHosts=[OUTER_HOST | {"nested": False}]),
    good=design(outerHosts=[OUTER_HOST]),
)


def _designed_nodes(design: Subject) -> Iterator[str]:
    for node in design.props["nodes"]:
        if node["kind"] == "nested":
            yield from _without_virtualization(node["name"], node["cpuType"], ())


NODE_TAGS = {
    "tags": {
        "type": "array",
        "items": {"type": "string"},
        "default": ["nested-pve"],
        "description": "A VM with one of these tags is a nested node, in programs without our components too.",
    }
}


def is_tagged_node(vm: Subject) -> bool:
    """Whether a tag says that this VM is a node; Proxmox VE stores tags in lower case."""
    tags = {tag.lower() for tag in vm.props.get("tags") or ()}
    return bool(tags & {tag.lower() for tag in vm.settings["tags"]})


def _vm(vm: Subject) -> Iterator[str]:
    """Guests are the same type of resource; their parent, or a tag, distinguishes nodes from them."""
    if vm.parent == NESTED_PVE_NODE or is_tagged_node(vm):
        cpu = vm.props.get("cpu") or {}
        cpu_type = cpu.get("type") or PROVIDER_DEFAULT_CPU
        yield from _without_virtualization(vm.props.get("name") or vm.name, cpu_type, cpu.get("flags") or ())


def _without_virtualization(name: str, cpu_type: str, flags: Collection[str]) -> Iterator[str]:
    shown = cpu_type == "host" and f"-{NESTED_FLAG}" not in flags
    if not shown and f"+{NESTED_FLAG}" not in flags:
        yield f"nested node {name} has CPU type {cpu_type}, which hides vmx and svm from it"


HOST_CPU = Rule(
    id="nested-node-cpu-host",
    level=EnforcementLevel.MANDATORY,
    demands="VMs of nested nodes have CPU type host, or the CPU flag +nested-virt.",
    protects="Every other type without that flag hides vmx and svm from the node, even where the module parameter on the outer "
    "host is Y. Proxmox VE has the flag since qemu-server of November 2025.",
    source="F22",
    fix="Set cpuType: host for the node in nested-pve-ha:nodes or leave it out; in a VM of your own, cpu.type: host.",
    judges={DESIGN: _designed_nodes, **dict.fromkeys(VMS, _vm)},
    bad=of_nodes(NODES[0] | {"cpuType": "kvm64"}, *NODES[1:]),
    good=of_nodes(*NODES),
    settings=NODE_TAGS,
)

RULES = (NESTED_ON, HOST_CPU)
