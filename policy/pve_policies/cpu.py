"""VMs of nested nodes have CPU type `host`: every other type hides vmx or svm from the node (seed 000, F22)."""

from __future__ import annotations

from pulumi_policy import EnforcementLevel, ReportViolation, ResourceValidationArgs, ResourceValidationPolicy

from .resources import DESIGN, NESTED_PVE_NODE, VM

PROVIDER_DEFAULT = "qemu64"


def _check(args: ResourceValidationArgs, report: ReportViolation) -> None:
    if args.resource_type == DESIGN:
        nodes = [(node["name"], node["cpuType"]) for node in args.props["nodes"] if node["kind"] == "nested"]
    elif args.resource_type == VM and _is_nested_node(args):
        cpu = args.props.get("cpu") or {}
        nodes = [(args.props.get("name") or args.name, cpu.get("type") or PROVIDER_DEFAULT)]
    else:
        return
    for name, cpu_type in nodes:
        if cpu_type != "host":
            report(
                f"{args.name}: nested node {name} has CPU type {cpu_type}, which hides vmx and svm from it. "
                f"Set cpuType: host for {name} in nested-pve-ha:nodes, or leave cpuType out.",
                None,
            )


def _is_nested_node(args: ResourceValidationArgs) -> bool:
    """Guests are the same type of resource; only the parent tells them from nodes."""
    parent = args.opts.parent if args.opts else None
    return parent is not None and parent.split("::")[2].split("$")[-1] == NESTED_PVE_NODE


HOST_CPU = ResourceValidationPolicy(
    name="nested-node-cpu-host",
    description="VMs of nested nodes have CPU type host.",
    validate=_check,
    enforcement_level=EnforcementLevel.MANDATORY,
)
