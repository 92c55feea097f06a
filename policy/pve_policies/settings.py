"""The pack's own configuration: `config` in PulumiPolicy.yaml, which `--policy-pack-config` overrides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi_policy import EnforcementLevel

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ALL = "all"  # the engine's name for every rule


def initial(config: Mapping[str, Any], known: Collection[str]) -> dict[str, EnforcementLevel | dict[str, Any]]:
    """What the SDK wants, of a level or a mapping with `enforcementLevel` and settings for each rule.

    Raises:
        ValueError: it names no rule, or no level; the engine itself would pass over a mistyped rule in silence.
    """
    return {rule: _one(rule, given, known) for rule, given in config.items()}


def _one(rule: str, given: object, known: Collection[str]) -> EnforcementLevel | dict[str, Any]:
    if rule not in (ALL, *known):
        raise ValueError(f"there is no rule {rule}; there are {', '.join(sorted(known))}")
    if not isinstance(given, dict):
        return _level(rule, given)
    level = {"enforcementLevel": _level(rule, given["enforcementLevel"])} if "enforcementLevel" in given else {}
    return {**given, **level}


def _level(rule: str, given: object) -> EnforcementLevel:
    levels = [level.value for level in EnforcementLevel]
    if given not in levels:
        raise ValueError(f"{rule}: {given} is no level; use one of {', '.join(levels)}")
    return EnforcementLevel(given)
