"""The policy pack. Its constructor serves the engine until the engine ends it, so nothing else is in this file."""

import gc
from pathlib import Path

# Imports make much that stays; looking through it again and again for garbage slows the start.
gc.set_threshold(100_000)

from pulumi_policy import EnforcementLevel, PolicyPack
from pve_policies import RULES, reading, settings  # type: ignore[import-not-found] # the engine starts it in its own directory

try:
    document = reading.read((Path(__file__).parent / "PulumiPolicy.yaml").read_text())
    configured = settings.initial(document.get("config") or {}, RULES)
except ValueError as error:
    raise SystemExit(f"PulumiPolicy.yaml: config: {error}") from None

PolicyPack(
    name="nested-pve-ha",
    policies=[rule.policy() for rule in RULES],
    enforcement_level=EnforcementLevel.MANDATORY,
    initial_config=configured,
)
