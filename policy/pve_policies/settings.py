"""The pack's own configuration: `config` in PulumiPolicy.yaml, which `--policy-pack-config` overrides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi_policy import EnforcementLevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .rule import Rule

ALL = "all"  # the engine's name for every rule
LEVEL = "enforcementLevel"


def initial(config: Mapping[str, Any], rules: Iterable[Rule]) -> dict[str, EnforcementLevel | dict[str, Any]]:
    """What the SDK wants, of a level or a mapping with `enforcementLevel` and settings for each rule.

    Raises:
        ValueError: it names no rule, no level, or no setting of the rule; the engine itself would pass over a mistyped
            rule in silence.
    """
    known = {rule.id: rule for rule in rules}
    for name in config:
        if name not in (ALL, *known):
            raise ValueError(f"there is no rule {name}; there are {', '.join(sorted(known))}")
    for_all = config.get(ALL)
    return {name: _one(name, given, known.get(name), for_all) for name, given in config.items()}


def _one(name: str, given: object, rule: Rule | None, for_all: object) -> EnforcementLevel | dict[str, Any]:
    if rule is None or not isinstance(given, dict):
        return _level(name, given)
    for setting in given.keys() - {LEVEL, *rule.settings}:
        raise ValueError(f"{name} has no setting {setting}; it has {', '.join(rule.settings) or 'none'}")
    # Where none is given, the engine would take it for advisory.
    return {**given, LEVEL: _level(name, given.get(LEVEL, for_all or rule.level.value))}


def _level(rule: str, given: object) -> EnforcementLevel:
    levels = [level.value for level in EnforcementLevel]
    if given not in levels:
        raise ValueError(f"{rule}: {given} is no level; use one of {', '.join(levels)}")
    return EnforcementLevel(given)
