"""Nested virtualization is on: without it, nodes have no /dev/kvm and their guests do not start (seed 000)."""

from __future__ import annotations

from pulumi_policy import EnforcementLevel, ReportViolation, ResourceValidationArgs, ResourceValidationPolicy

from .resources import DESIGN, HOST_PREP


def _check(args: ResourceValidationArgs, report: ReportViolation) -> None:
    if args.resource_type == DESIGN:
        hosts = [(host["name"], host.get("nested")) for host in args.props["outerHosts"]]
    elif args.resource_type == HOST_PREP:
        hosts = [(args.props["host"], args.props.get("nested"))]
    else:
        return
    for name, nested in hosts:
        if nested is not True:
            report(
                f"{args.name}: outer host {name} has nested: {str(nested).lower()}, so its nodes would have no KVM. "
                f"Set nested: true for {name} in nested-pve-ha:outerHosts.",
                None,
            )


NESTED_ON = ResourceValidationPolicy(
    name="nested-virtualization-on",
    description="Outer hosts of nested nodes have nested virtualization on.",
    validate=_check,
    enforcement_level=EnforcementLevel.MANDATORY,
)
