"""The policy pack. Its constructor serves the engine until the engine ends it, so nothing else is in this file."""

from pulumi_policy import EnforcementLevel, PolicyPack
from pve_policies import POLICIES  # type: ignore[import-not-found] # the engine starts the pack in its own directory

PolicyPack(name="nested-pve-ha", policies=list(POLICIES), enforcement_level=EnforcementLevel.MANDATORY)
