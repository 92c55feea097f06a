"""What the mandatory rules say of all that the program registers, without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from policy.pve_policies import RULES
from policy.pve_policies.rule import Example
from tests.support.policy import analyze

if TYPE_CHECKING:
    from tests.support.program import Recording

MANDATORY = [rule for rule in RULES if rule.level == EnforcementLevel.MANDATORY]


def judged(recording: Recording) -> set[tuple[str, str]]:
    """Resource and rule of each refusal."""
    return {
        (resource.name, rule.id)
        for resource in recording.resources.values()
        for rule in MANDATORY
        if resource.type in rule.judges
        for found in analyze(rule, Example(resource.type, resource.inputs, parent=_parent(recording, resource.parent)))
        if found.level == EnforcementLevel.MANDATORY
    }


def _parent(recording: Recording, urn: str) -> str:
    return recording.resources[urn].type if urn in recording.resources else ""
