"""Which stacks a change touches. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# What every stack is made of; a path ends with /* for all below it.
PROGRAM = (
    "Pulumi.yaml",
    "__main__.py",
    "requirements.txt",
    "admin/*",
    "components/*",
    "onnode/*",
    "policy/*",
    "toolchain/*",
)


def touched(stacks: Iterable[str], changed: Collection[str]) -> list[str]:
    """The stacks one of whose inputs is among the changed files; all of them when the program is."""
    if any(fnmatchcase(path, pattern) for path in changed for pattern in PROGRAM):
        return sorted(stacks)
    return sorted(stack for stack in stacks if {f"Pulumi.{stack}.yaml", f"Pulumi.{stack}.policy.json"} & {*changed})
