"""Rules that are not as shipped: levels and settings of a stack, and which of them a change sets. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config import stack_file
from config.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Level:
    """The setting of one rule. `before` is empty if nothing was set, and None if that is not known."""

    rule: str
    now: str
    before: str | None

    @property
    def is_changed(self) -> bool:
        """Whether this change sets it."""
        return self.before is not None and self.before != self.now


def levels(now: Mapping[str, str], before: Mapping[str, str] | None) -> list[Level]:
    """Every rule for which something is set, or was.

    Args:
        now: what is set, by rule.
        before: what was set; None when that is not known.
    """
    rules = sorted({*now, *(before or {})})
    return [Level(rule, now.get(rule, ""), None if before is None else before.get(rule, "")) for rule in rules]


def parsed(pack: str | None, stack: str | None) -> dict[str, str]:
    """What is set, by rule, in one line each; a stack's own setting wins.

    Args:
        pack: text of the pack's PulumiPolicy.yaml; None when there is none.
        stack: text of the stack's policy file; None when there is none.

    Raises:
        ValueError: one of them cannot be read.
    """
    try:
        shipped = (stack_file.document(pack, "PulumiPolicy.yaml") or {}).get("config") or {} if pack else {}
        own = json.loads(stack) if stack else {}
        return {rule: _line(value) for rule, value in {**shipped, **own}.items()}
    except (ConfigError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _line(value: Any) -> str:  # noqa: ANN401 - a level, or an object of settings
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
