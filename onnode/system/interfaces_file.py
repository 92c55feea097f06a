"""/etc/network/interfaces as ifupdown2 reads it: taken apart without loss, changed by the described value only.

Whatever else is in a stanza stays: further addresses, gateways, ports, hooks, comments, options nobody here knows.
A stanza that stands in an included file is changed there.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from onnode.system.machine import ThisMachine

FILE = "/etc/network/interfaces"
KEYWORDS = ("iface", "auto", "source", "source-directory", "mapping", "vlan", "no-auto-down", "no-scripts", "rename")
MTU_DEFAULT = 1500
METHODS = ("static", "manual", "")  # those under which an address of ours can stand
WITH_METHOD = 4  # words: iface NAME FAMILY METHOD
NO_PORTS = ("none", "regex", "glob", "all")
DEPTH_MAX = 5


@dataclass(frozen=True)
class Stanza:
    """What one stanza says about an interface."""

    name: str
    method: str = "static"
    addresses: list[str] = field(default_factory=list)  # IPv4 with prefix
    mtu: int | None = None
    family: str = "inet"
    ports: list[str] = field(default_factory=list)  # of a bridge or bond


@dataclass(frozen=True)
class _Block:
    """Where a stanza stands: the numbers of its lines."""

    name: str
    family: str
    method: str
    header: int
    options: list[int]


def files(machine: ThisMachine) -> dict[str, str]:
    """The file and all that it includes, by path."""
    found: dict[str, str] = {}
    _include(machine, [FILE], found, DEPTH_MAX)
    return found


def _include(machine: ThisMachine, paths: Iterable[str], found: dict[str, str], depth: int) -> None:
    for path in paths:
        text = None if path in found or not depth else machine.read(path)
        if text is not None:
            found[path] = text
            _include(machine, _included(machine, text), found, depth - 1)


def _included(machine: ThisMachine, text: str) -> Iterator[str]:
    for line in _lines(text):
        words = _words(line)
        for pattern in words[1:] if words[:1] in (["source"], ["source-directory"]) else ():
            whole = pattern if words[0] == "source" else f"{pattern.rstrip('/')}/*"
            directory, _, name = whole.rpartition("/")
            yield from (f"{directory}/{entry}" for entry in machine.names(directory) if fnmatch.fnmatch(entry, name))


def parse_stanzas(text: str) -> list[Stanza]:
    """Every stanza of a file."""
    lines = _lines(text)
    return [_stanza(lines, block) for block in _blocks(lines)]


def stanzas(texts: dict[str, str]) -> list[Stanza]:
    """Every stanza of these files."""
    return [stanza for text in texts.values() for stanza in parse_stanzas(text)]


def ensure_static(texts: dict[str, str], name: str, address: str, mtu: int, ours: str | None = None) -> dict[str, str]:
    """The files in which that interface comes up with that address and MTU.

    Args:
        texts: the files as they are, by path.
        name: the interface.
        address: with prefix.
        mtu: in bytes.
        ours: an address that was written here earlier, and gives way.
    """
    path = _place(texts, name, (address, ours))
    wanted = {**texts, path: _with_address(texts.get(path, ""), name, address, ours)}
    placed = _with_mtu(wanted, path, name, address, mtu)
    if not comes_up(placed, name):
        placed[path] = _brought_up(placed[path], name)
    return placed


def without_address(texts: dict[str, str], name: str, address: str) -> dict[str, str]:
    """The files without that address of that interface; a stanza that has no other one is `manual` then."""
    return {path: _without_address(text, name, address) for path, text in texts.items()}


def _without_address(text: str, name: str, address: str) -> str:
    lines = _lines(text)
    gone: set[int] = set()
    for block in (block for block in _blocks(lines) if _is(block, name)):
        mask = _mask(lines, block)
        options = _options(lines, block, "address")
        own = {at for at in options if _cidr(_words(lines[at])[1], mask) == address}
        gone |= own
        if own and len(own) == len(options):
            lines[block.header] = re.sub(r"\bstatic\b", "manual", lines[block.header])
    return "".join(line for at, line in enumerate(lines) if at not in gone)


def comes_up(texts: dict[str, str], name: str) -> bool:
    """Whether the interface comes up at boot."""
    return any(_brings_up(line, name) for text in texts.values() for line in _lines(text))


def _place(texts: dict[str, str], name: str, addresses: tuple[str | None, ...]) -> str:
    """The file to change: where the address stands already, else the interface's first stanza."""
    own = [(path, found) for path, text in texts.items() for found in parse_stanzas(text) if _is(found, name)]
    there = [path for path, found in own if set(addresses) & set(found.addresses)]
    return next(iter([*there, *(path for path, _ in own)]), FILE)


def _is(found: Stanza | _Block, name: str) -> bool:
    return found.name == name and found.family == "inet"


def _with_address(text: str, name: str, address: str, ours: str | None) -> str:
    lines = _lines(text)
    blocks = [block for block in _blocks(lines) if _is(block, name)]
    if not blocks:
        gap = [] if not lines else ["\n"] if text.endswith("\n") else ["\n", "\n"]
        return "".join([*lines, *gap, f"iface {name} inet static\n", f"\taddress {address}\n"])
    if any(address in _stanza(lines, block).addresses for block in blocks):
        return text
    block, old = _value(lines, blocks, address, ours)
    if block.method == "manual":
        lines[block.header] = re.sub(r"\bmanual\b", "static", lines[block.header])
    if old is None:
        return "".join(_inserted(lines, block, f"address {address}"))
    lines[old] = re.sub(r"^(\s*address\s+)[^\s]+", rf"\g<1>{address}", lines[old])
    masks = [at for at in block.options if _words(lines[at])[0] == "netmask"]
    needed = any("/" not in _words(lines[at])[1] for at in _options(lines, block, "address"))
    return "".join(line for at, line in enumerate(lines) if needed or at not in masks)


def _value(lines: list[str], blocks: list[_Block], address: str, ours: str | None) -> tuple[_Block, int | None]:
    """The described value's line: the same address with another prefix, or the one written here earlier."""
    bare = address.partition("/")[0]
    for block in blocks:
        mask = _mask(lines, block)
        for at in _options(lines, block, "address"):
            written = _words(lines[at])[1]
            if written.partition("/")[0] == bare or (ours is not None and _cidr(written, mask) == ours):
                return block, at
    return blocks[0], None


def _with_mtu(texts: dict[str, str], path: str, name: str, address: str, mtu: int) -> dict[str, str]:
    changed = dict(texts)
    said = False
    for file, text in texts.items():
        lines = _lines(text)
        for block in _blocks(lines):
            for at in _options(lines, block, "mtu") if block.name == name else ():
                said = True
                lines[at] = re.sub(r"^(\s*mtu\s+)[^\s]+", rf"\g<1>{mtu}", lines[at])
        changed[file] = "".join(lines)
    if not said and mtu != MTU_DEFAULT:
        lines = _lines(changed[path])
        block = next(
            block for block in _blocks(lines) if _is(block, name) and address in _stanza(lines, block).addresses
        )
        changed[path] = "".join(_inserted(lines, block, f"mtu {mtu}"))
    return changed


def _inserted(lines: list[str], block: _Block, option: str) -> list[str]:
    """The lines with one more option, after the stanza's last address."""
    at = ([block.header, *_options(lines, block, "address")])[-1]
    indent = re.match(r"[ \t]*", lines[block.options[0]]) if block.options else None
    before = lines[at] if lines[at].endswith("\n") else lines[at] + "\n"
    return [*lines[:at], before, f"{indent[0] if indent else chr(9)}{option}\n", *lines[at + 1 :]]


def _brings_up(line: str, name: str) -> bool:
    words = _words(line)
    return words[:1] in (["auto"], ["allow-auto"]) and any(fnmatch.fnmatch(name, word) for word in words[1:])


def _brought_up(text: str, name: str) -> str:
    lines = _lines(text)
    at = next(block.header for block in _blocks(lines) if _is(block, name))
    return "".join([*lines[:at], f"auto {name}\n", *lines[at:]])


def _lines(text: str) -> list[str]:
    """The text's lines, those joined that a backslash continues; together they are the text."""
    return re.findall(r"(?:[^\\\n]|\\\n|\\)*\n|(?:[^\\\n]|\\\n|\\)+$", text)


def _words(line: str) -> list[str]:
    """The content of a line; empty if it is blank or a comment."""
    words = line.replace("\\\n", " ").split()
    return [] if words and words[0].startswith("#") else words


def _blocks(lines: list[str]) -> list[_Block]:
    """The stanzas. A blank line or a comment ends none: only the next keyword does."""
    blocks: list[_Block] = []
    open_block = False
    for at, line in enumerate(lines):
        words = _words(line)
        if not words:
            continue
        if words[0] == "iface" and len(words) > 1:
            family = words[2] if len(words) > 2 else "inet"  # noqa: PLR2004 - ifupdown2 lets family and method out
            method = words[3] if len(words) >= WITH_METHOD else ""
            blocks.append(_Block(words[1], family, method, at, []))
            open_block = True
        elif words[0] in KEYWORDS or words[0].startswith("allow-"):
            open_block = False
        elif open_block:
            blocks[-1].options.append(at)
    return blocks


def _options(lines: list[str], block: _Block, key: str) -> list[int]:
    return [at for at in block.options if _words(lines[at])[0] == key and len(_words(lines[at])) > 1]


def _stanza(lines: list[str], block: _Block) -> Stanza:
    mask = _mask(lines, block)
    found = [_cidr(_words(lines[at])[1], mask) for at in _options(lines, block, "address")]
    mtus = [_words(lines[at])[1] for at in _options(lines, block, "mtu")]
    mtu = int(mtus[-1]) if mtus and mtus[-1].isdecimal() else None
    addresses = [address for address in found if address is not None]
    return Stanza(block.name, block.method or "static", addresses, mtu, block.family, _ports(lines, block))


def _mask(lines: list[str], block: _Block) -> str:
    masks = _options(lines, block, "netmask")
    return _words(lines[masks[0]])[1] if masks else "32"


def _cidr(written: str, mask: str) -> str | None:
    """An IPv4 address with its prefix; None for whatever else stands there."""
    try:
        return ipaddress.IPv4Interface(written if "/" in written else f"{written}/{mask}").with_prefixlen
    except ValueError:
        return None


def _ports(lines: list[str], block: _Block) -> list[str]:
    keys = ("bridge-ports", "bond-slaves", "slaves")
    options = [_words(lines[at]) for at in block.options]
    return [
        port for words in options if words[0].replace("_", "-") in keys for port in words[1:] if port not in NO_PORTS
    ]
