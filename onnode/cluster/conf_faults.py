"""Why corosync, or pmxcfs, would not take a corosync.conf: what people break when they edit it by hand. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from onnode.cluster import corosync

if TYPE_CHECKING:
    from collections.abc import Iterator

OPENING = re.compile(r"\{\s*$")


def faults(text: str) -> list[str]:
    """Everything that is wrong with the text; empty where corosync starts with it."""
    return [*_braces(text), *_content(corosync.parse_conf(text), text)]


def _braces(text: str) -> Iterator[str]:
    """Sections that are closed too early, or never; lines that are neither section, key nor comment."""
    open_since: list[int] = []
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if not line or line.startswith("#"):
            continue
        if OPENING.search(line):
            open_since.append(number)
        elif line == "}":
            if not open_since:
                yield f"line {number}: a }} that closes nothing"
                return
            open_since.pop()
        elif ":" not in line:
            yield f"line {number}: neither a section nor `key: value`: {line[:40]}"
    if open_since:
        yield f"line {open_since[-1]}: a section that is never closed"


def _content(conf: corosync.Conf | None, text: str) -> Iterator[str]:
    if conf is None:
        yield "no cluster_name in section totem" if text.strip() else "the file is empty"
        return
    if not conf.version:
        yield "no config_version"
    if not conf.nodes:
        yield "no nodes"
    yield from (f"a node id twice: {doubled}" for doubled in corosync.doubled_ids(conf.nodes))
    names = [node.name for node in conf.nodes]
    yield from (f"two nodes are called {name}" for name in sorted({name for name in names if names.count(name) > 1}))
    yield from (f"{node.name} has no node id" for node in conf.nodes if not node.id)
    numbers = {number for node in conf.nodes for number in node.links}
    for node in conf.nodes:
        if missing := sorted(numbers - set(node.links)):
            yield f"{node.name} has no address on link {', '.join(map(str, missing))}"
    used = [address for node in conf.nodes for address in node.links.values()]
    yield from (
        f"the address {address} stands there twice" for address in sorted({one for one in used if used.count(one) > 1})
    )
