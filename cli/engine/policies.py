"""The policy pack in a run: the arguments that turn it on, and its advice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cli.engine.failures import resource_name
from cluster.errors import AdminError
from config import stack_file
from config.errors import ConfigError
from config.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.engine.engine import Run

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
    """Refuse levels and settings, of the pack or of the stack, that the engine would not understand or would ignore.

    Raises:
        AdminError: policies-invalid.
    """
    pack = f"{PACK}/PulumiPolicy.yaml"
    _check(pack, lambda text: (stack_file.document(text, pack) or {}).get("config") or {})
    _check(settings_file(stack), json.loads)


def _check(name: str, parse: Callable[[str], Any]) -> None:
    file = ROOT / name
    try:
        given = parse(file.read_text()) if file.exists() else {}
        if given != {}:
            from policy.pve_policies import RULES, settings  # noqa: PLC0415 - slow to load, and mostly nothing is set

            settings.initial(given, RULES)
    except (ValueError, AttributeError, TypeError, ConfigError, RecursionError) as error:
        expected = "for each rule a level, or an object of settings"
        raise AdminError("policies-invalid", f"{name} cannot be used", observed=str(error), expected=expected) from None


def verdict_lines(run: Run) -> list[str]:
    """A line for each advice and each remedy, without repetitions. When all rules pass: a line for each pack that ran."""
    # The engine puts the rule's description above the message, and the message names the resource already.
    advice = [f"advice [{rule}] {text.splitlines()[-1]}" for rule, text in run.advice]
    corrected = [f"put right [{rule}] {resource_name(urn)}" for rule, urn in run.remedies]
    passed = (
        []
        if advice or corrected or run.violations
        else [f"policies: every rule of {pack} passes" for pack in _packs(run)]
    )
    return list(dict.fromkeys(advice + corrected)) + passed


def _packs(run: Run) -> list[str]:
    """The packs that the engine names in its summary, which proves that they ran."""
    summaries = [event["summaryEvent"] for event in run.events if "summaryEvent" in event]
    return sorted({pack for summary in summaries for pack in summary.get("PolicyPacks") or {}})
