"""Texts that are kept, and compared to the letter. UPDATE_GOLDEN=1 writes them anew; look at the difference then."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def compare(text: str, golden: Path) -> None:
    """The text is what is kept; never rewritten in CI."""
    if os.environ.get("UPDATE_GOLDEN") and not os.environ.get("CI"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text(), f"see {golden}; UPDATE_GOLDEN=1 writes it anew"
