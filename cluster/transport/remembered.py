"""Small files of this checkout in which a look leaves what spares the next one work. Losing one costs that work alone."""

from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read(file: Path) -> dict[str, str]:
    """What is remembered."""
    try:
        found = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def add(file: Path, entries: Mapping[str, str]) -> None:
    """Remember this, too; of two processes that write at once one is forgotten, and looks again."""
    before = read(file)
    if before == (now := {**before, **entries}):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(now, stream, indent=1, sort_keys=True)
    os.replace(name, file)  # noqa: PTH105 - mkstemp gives a text
