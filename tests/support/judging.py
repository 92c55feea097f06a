"""What the rules say of all that the program registers, without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi_policy import EnforcementLevel

from policy.pve_policies import RULES, settings
from policy.pve_policies.rule import Example
from tests.support.policy import analyze

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policy.pve_policies import Rule
    from tests.support.program import Recording, Resource

MANDATORY = [rule for rule in RULES if rule.level == EnforcementLevel.MANDATORY]


def judged(recording: Recording) -> set[tuple[str, str]]:
    """Resource and rule of each refusal."""
    return {
        (name, rule.id)
        for rule in MANDATORY
        for name, level in verdicts(rule, recording)
        if level == EnforcementLevel.MANDATORY
    }


def verdicts(
    rule: Rule, recording: Recording, configured: Mapping[str, Any] | None = None
) -> set[tuple[str, EnforcementLevel]]:
    """Resource and level of each finding of a rule.

    Args:
        rule: it.
        recording: the resources.
        configured: levels and settings, as in PulumiPolicy.yaml; without any a disabled rule is asked at the mandatory level.
    """
    given = settings.initial(configured or {}, RULES).get(rule.id)
    own, level = (dict(given), given[settings.LEVEL]) if isinstance(given, dict) else ({}, given)
    own.pop(settings.LEVEL, None)
    return {
        (resource.name, found.level)
        for resource in recording.resources.values()
        if resource.type in rule.judges
        for found in analyze(rule, _as_seen(recording, resource), own, name=resource.name, level=level)
    }


def _as_seen(recording: Recording, resource: Resource) -> Example:
    parent = recording.resources.get(resource.parent)
    provider = recording.resources.get(resource.provider.rpartition("::")[0])
    return Example(
        resource.type,
        resource.inputs,
        parent=parent.type if parent else "",
        protect=resource.protect,
        provider=provider.inputs if provider else {},
    )
