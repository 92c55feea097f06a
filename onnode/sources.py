"""APT's source lists, in both of its formats: pure reading, and pure edits that leave everything else as it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

ENTERPRISE = re.compile(r"https?://enterprise\.proxmox\.com(?:[:/]|$)")
OFF = ("no", "false", "0", "off", "without", "disable")  # what apt takes for false
ONE_LINE = re.compile(r"^(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$")


@dataclass(frozen=True)
class Source:
    """One enabled repository of a source list."""

    uri: str
    suite: str
    components: tuple[str, ...]
    kind: str = "deb"

    @property
    def enterprise(self) -> bool:
        """Whether it needs a subscription."""
        return ENTERPRISE.match(self.uri) is not None


def parse(path: str, text: str) -> list[Source]:
    """The enabled repositories of one file; the name's ending decides the format."""
    return _parse_stanzas(text) if path.endswith(".sources") else _parse_lines(text)


def disable_enterprise(path: str, text: str) -> str:
    """The file's text with all repositories that need a subscription turned off, as Proxmox' own GUI does it."""
    return _disable_stanzas(text) if path.endswith(".sources") else _disable_lines(text)


def stanza(source: Source, keyring: str) -> str:
    """A deb822 file for one repository."""
    return (
        "# Made by nested-pve-ha.\n"
        "Types: deb\n"
        f"URIs: {source.uri}\n"
        f"Suites: {source.suite}\n"
        f"Components: {' '.join(source.components)}\n"
        f"Signed-By: {keyring}\n"
    )


def _parse_lines(text: str) -> list[Source]:
    found = [ONE_LINE.match(line.partition("#")[0].strip()) for line in text.splitlines()]
    return [Source(match[3].rstrip("/"), match[4], tuple(match[5].split()), match[1]) for match in found if match]


def _parse_stanzas(text: str) -> list[Source]:
    return [
        Source(uri.rstrip("/"), suite, tuple(fields.get("components", "").split()), kind)
        for fields in map(_fields, _blocks(text))
        if fields.get("enabled", "yes").lower() not in OFF
        for kind in fields.get("types", "").split()
        for uri in fields.get("uris", "").split()
        for suite in fields.get("suites", "").split()
    ]


def _blocks(text: str) -> list[list[str]]:
    """The stanzas' lines, each with its line end; blank lines between them are blocks of their own."""
    blocks: list[list[str]] = []
    blank = True
    for line in text.splitlines(keepends=True):
        if blank != (not line.strip()) or not blocks:
            blocks.append([])
        blank = not line.strip()
        blocks[-1].append(line)
    return blocks


def _fields(block: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    key = ""
    for line in block:
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[key] = f"{fields.get(key, '')} {line.strip()}".strip()
            continue
        name, _, value = line.partition(":")
        key = name.strip().lower()
        fields[key] = value.strip()
    return fields


def _disable_stanzas(text: str) -> str:
    return "".join(
        "".join(_disabled(block) if any(source.enterprise for source in _parse_stanzas("".join(block))) else block)
        for block in _blocks(text)
    )


def _disabled(block: list[str]) -> list[str]:
    kept = [line for line in block if line.partition(":")[0].strip().lower() != "enabled"]
    return [*kept[:-1], kept[-1].rstrip("\n") + "\n", "Enabled: no\n"]


def _disable_lines(text: str) -> str:
    return "".join(
        f"# {line}" if any(source.enterprise for source in _parse_lines(line)) else line
        for line in text.splitlines(keepends=True)
    )
