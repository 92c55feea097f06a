"""What the steps of a machine would do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LookStep:
    """A step that is asked what it would do, and the name under which it answers."""

    name: str
    step: str
    desired: str  # JSON


@dataclass(frozen=True)
class Look:
    """What the steps of a machine would do now, and which files of the package there are not as they should be."""

    steps: list[LookStep]
    files: dict[str, str] = field(default_factory=dict)  # name -> SHA-256


@dataclass(frozen=True)
class Refusal:
    """Why a step would end with an error."""

    code: str
    what: str
    observed: str = ""
    expected: str = ""
    next: str = ""
    addresses: list[str] = field(default_factory=list, kw_only=True)  # those that it is about


@dataclass(frozen=True)
class StepLook:
    """What one step found: the actions that it would take with what they differ in, or its refusal."""

    name: str
    actions: list[str]
    refusal: Refusal | None = None
    facts: dict[str, Any] | None = None  # of steps without a desired state, which only look


@dataclass(frozen=True)
class LookReport:
    """Step `look`: all steps that were asked, and the files of the package that are gone or altered."""

    steps: list[StepLook]
    altered: list[str]
