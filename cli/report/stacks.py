"""Which stacks a change touches. Pure."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# Files of the program, an input of every stack; `/*` stands for all files below.
PROGRAM = (
    "Pulumi.yaml",
    "__main__.py",
    "requirements.txt",
    "config/*",
    "cluster/*",
    "cli/*",
    "components/*",
    "onnode/*",
    "policy/*",
    "toolchain/*",
)


def has_program(changed: Iterable[str]) -> bool:
    """Whether one of the files belongs to the program itself."""
    return any(fnmatchcase(path, pattern) for path in changed for pattern in PROGRAM)


def gone(changed: Iterable[str], there: Collection[str]) -> list[str]:
    """The stacks whose stack files were deleted by the change."""
    named = (re.fullmatch(r"Pulumi\.(.+)\.yaml", path) for path in changed)
    return sorted({found[1] for found in named if found} - set(there))


def touched(stacks: Iterable[str], changed: Collection[str]) -> list[str]:
    """The stacks that have an input among the changed files; all stacks, if the program changed."""
    if has_program(changed):
        return sorted(stacks)
    return sorted(stack for stack in stacks if {f"Pulumi.{stack}.yaml", f"Pulumi.{stack}.policy.json"} & {*changed})
