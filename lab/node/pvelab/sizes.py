"""Sizes as Proxmox writes them: "32G", "528K"."""

from __future__ import annotations

import re

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
GIB = _UNITS["G"]


def parse(text: str) -> int:
    """Bytes of a text such as "32G" or "1.5T"; 0 for one that is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    return int(float(found[1]) * _UNITS[found[2]]) if found else 0


def render(size: int) -> str:
    """The shortest exact text of a number of bytes."""
    for unit in "TGMK":
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)
