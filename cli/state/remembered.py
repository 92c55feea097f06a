"""What a step on the control machine printed when it ran last: its facts. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from components.recorded import ADMIN

if TYPE_CHECKING:
    from collections.abc import Mapping


def facts(state: Mapping[str, Any] | None, step: str) -> dict[str, Any]:
    """The facts of the first resource that runs this step; empty where none is recorded."""
    resources = ((state or {}).get("deployment") or {}).get("resources") or []
    steps = [one for one in resources if (one.get("inputs") or {}).get("create") == f"{ADMIN} {step}"]
    printed = [str(one["outputs"].get("stdout", "")).strip().splitlines() for one in steps if one.get("outputs")]
    found: dict[str, Any] = json.loads(printed[0][-1])["facts"] if printed and printed[0] else {}
    return found
