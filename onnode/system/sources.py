"""APT's source lists, in both of its formats: pure reading, and pure edits that leave everything else as it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

ENTERPRISE = re.compile(r"https?://enterprise\.proxmox\.com(?:[:/]|$)")
OFF = ("no", "false", "0", "off", "without", "disable")  # what apt takes for false
# The one-line format's options whose fields in the other format have names of their own (sources.list(5)).
FIELDS = {"arch": "Architectures", "lang": "Languages", "target": "Targets", "pdiffs": "PDiffs"}
OPTION = re.compile(r"([a-z-]+)[+-]?=(\S*)", re.IGNORECASE)
# "Conflicting values set for option … regarding source": debmetaindex.cc of apt.
MUST_AGREE = (
    *("Signed-By", "Trusted", "Check-Valid-Until", "Valid-Until-Min", "Valid-Until-Max"),
    *("Check-Date", "Date-Max-Future", "Snapshot"),
)
NO_OPTIONS = ("types", "uris", "suites", "components", "enabled", "x-repolib-name")
ONE_LINE = re.compile(r"^(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$")


@dataclass(frozen=True)
class Source:
    """One enabled repository of a source list."""

    uri: str
    suite: str
    components: tuple[str, ...]
    kind: str = "deb"
    options: dict[str, str] = field(default_factory=dict, compare=False)  # field -> value, lines as they are

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


def same_place(one: Source, other: Source) -> bool:
    """Whether apt treats two sources as one: then they may not differ in what concerns their trust."""
    return (_place(one.uri), one.suite) == (_place(other.uri), other.suite)


def _place(uri: str) -> str:
    return uri.replace("https://", "http://", 1)  # apt makes no difference here


def conflict(found: list[Source]) -> bool:
    """Whether apt would refuse sources of one place, in the order in which it reads them.

    A value that comes after none is taken for all; one that differs from an earlier one is refused.
    """
    for name in MUST_AGREE:
        values = [" ".join(one.options.get(name, "").replace(",", " ").split()) for one in found]
        first = next((index for index, value in enumerate(values) if value), len(values))
        if len(set(values[first:])) > 1:
            return True
    return False


def provides(found: Source, wanted: Source) -> bool:
    """Whether a source has what is wanted; over TLS as well as without, but not the other way round."""
    uris = (wanted.uri, wanted.uri.replace("http://", "https://", 1))
    return (
        found.kind == "deb"
        and found.uri in uris
        and found.suite == wanted.suite
        and set(wanted.components) <= set(found.components)
    )


def stanza(source: Source, options: dict[str, str]) -> str:
    """A deb822 file for one repository."""
    return (
        "# Made by nested-pve-ha.\n"
        "Types: deb\n"
        f"URIs: {source.uri}\n"
        f"Suites: {source.suite}\n"
        f"Components: {' '.join(source.components)}\n"
        + "".join(f"{name}:{'' if value[:1] in ('', chr(10)) else ' '}{value}\n" for name, value in options.items())
    )


def _parse_lines(text: str) -> list[Source]:
    found = [ONE_LINE.match(line.partition("#")[0].strip()) for line in text.splitlines()]
    return [
        Source(match[3].rstrip("/"), match[4], tuple(match[5].split()), match[1], _options(match[2] or ""))
        for match in found
        if match
    ]


def _options(text: str) -> dict[str, str]:
    """The one-line format's options as fields; lists are separated by spaces there."""
    found = OPTION.findall(text)
    return {FIELDS.get(name.lower(), name.title()): value.replace(",", " ") for name, value in found}


def _parse_stanzas(text: str) -> list[Source]:
    return [
        Source(
            uri.rstrip("/"),
            suite,
            tuple(fields.get("components", "").split()),
            kind,
            {name.title(): value for name, value in fields.items() if name not in NO_OPTIONS},
        )
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
            fields[key] = f"{fields.get(key, '')}\n{line.rstrip()}"
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
