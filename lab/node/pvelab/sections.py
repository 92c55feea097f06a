"""Proxmox's section files, such as storage.cfg: "type: id" and indented "key value" lines."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

_HEADER = re.compile(r"(\S+):\s*(\S+)\s*")


@dataclass
class Section:
    """One section; the options are texts, a key without a value stands for "1"."""

    type: str
    id: str
    options: dict[str, str] = field(default_factory=dict)


def parse(text: str) -> dict[str, Section]:
    """The sections of a file by id, in their order; lines that make no sense are skipped."""
    sections: dict[str, Section] = {}
    current: Section | None = None
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if not line[0].isspace():
            found = _HEADER.fullmatch(line)
            current = Section(found[1], found[2]) if found else None
            if current:
                sections[current.id] = current
        elif current:
            key, _, value = line.strip().partition(" ")
            current.options[key] = value.strip() or "1"
    return sections


def render(sections: dict[str, Section]) -> str:
    """The text of a section file."""
    blocks = []
    for section in sections.values():
        lines = [f"{section.type}: {section.id}", *(f"\t{key} {value}" for key, value in section.options.items())]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def digest(text: str) -> str:
    """What Proxmox calls a file's digest."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
