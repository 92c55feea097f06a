"""Texts that are kept, and compared to the letter. UPDATE_GOLDEN=1 writes them anew; look at the difference then."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def compare(text: str, golden: Path) -> None:
    """The text is what is kept; never rewritten in CI. What differs is told: another run may not show it again."""
    if os.environ.get("UPDATE_GOLDEN") and not os.environ.get("CI"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    kept = golden.read_text()
    differing = difflib.unified_diff(kept.splitlines(), text.splitlines(), "kept", "now", n=1, lineterm="")
    told = "\n".join(differing) or "line ends only"
    assert text == kept, f"see {golden}; UPDATE_GOLDEN=1 writes it anew\n{told}"
