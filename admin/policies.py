"""The policy pack in a run: what it is asked with, and what it said beside its refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from admin.environment import ROOT
from admin.errors import AdminError
from admin.failures import resource_name

if TYPE_CHECKING:
    from admin.engine import Run

PACK = "policy"


def settings_file(stack: str) -> str:
    """Where a stack has its own levels and settings, beside its stack file."""
    return f"Pulumi.{stack}.policy.json"


def arguments(stack: str) -> list[str]:
    """The engine's arguments.

    Raises:
        AdminError: policies-invalid.
    """
    check(stack)
    name = settings_file(stack)
    return ["--policy-pack", PACK, *(["--policy-pack-config", name] if (ROOT / name).exists() else [])]


def check(stack: str) -> None:
    """Refuse a stack's own settings that the engine would not understand, or pass over in silence.

    Raises:
        AdminError: policies-invalid.
    """
    file = ROOT / settings_file(stack)
    if not file.exists():
        return
    from policy.pve_policies import RULES, settings  # noqa: PLC0415 - slow to load, and most stacks have no such file

    try:
        settings.initial(json.loads(file.read_text()), RULES)
    except (ValueError, AttributeError) as error:
        expected = "a JSON object: a level, or an object of settings, for each rule"
        raise AdminError(
            "policies-invalid", f"{file.name} cannot be used", observed=str(error), expected=expected
        ) from None


def said(run: Run) -> list[str]:
    """A line for each advice and each remedy, without repetitions."""
    # The engine puts the rule's description above the message, and the message names the resource already.
    advice = [f"advice [{rule}] {text.splitlines()[-1]}" for rule, text in run.advice]
    mended = [f"put right [{rule}] {resource_name(urn)}" for rule, urn in run.remedies]
    return list(dict.fromkeys(advice + mended))
