"""The policy pack in a run: what it is asked with, and what it said beside its refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin.environment import ROOT
from admin.failures import resource_name

if TYPE_CHECKING:
    from admin.engine import Run

PACK = "policy"


def arguments(stack: str) -> list[str]:
    """The engine's arguments; a stack's own levels and settings are beside its stack file."""
    config = ROOT / f"Pulumi.{stack}.policy.json"
    return ["--policy-pack", PACK, *(["--policy-pack-config", config.name] if config.exists() else [])]


def said(run: Run) -> list[str]:
    """A line for each advice and each remedy, without repetitions."""
    # The engine puts the rule's description above the message, and the message names the resource already.
    advice = [f"advice [{rule}] {text.splitlines()[-1]}" for rule, text in run.advice]
    mended = [f"put right [{rule}] {resource_name(urn)}" for rule, urn in run.remedies]
    return list(dict.fromkeys(advice + mended))
