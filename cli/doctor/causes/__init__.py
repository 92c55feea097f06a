"""What can be the cause, a module for each part of a cluster. Pure.

A rule is given the world and the symptoms that nothing has explained yet. It returns its causes, each with the symptoms
that come of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cli.doctor.model import Cause, Symptom

    Found = tuple[Cause, Collection[Symptom]]
    Symptoms = Mapping[Symptom, str]


def names(given: Collection[str]) -> str:
    """Several names, for a sentence."""
    listed = list(given)
    return " and ".join(", ".join(part) for part in (listed[:-1], listed[-1:]) if part)
