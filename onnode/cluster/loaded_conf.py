"""The corosync.conf that a running corosync has loaded, made anew from its map: also where every file of it is broken. Pure.

Corosync reads a new file into a map of its own, and takes none that it cannot read to the end (coroparse.c): so what is in its map
is a configuration with which it works. What it adds to the map itself is left out. Comments are lost.
"""

from __future__ import annotations

import re
from typing import Any

LINE = re.compile(r"^(?P<key>[\w.]+) \(\w+\) = (?P<value>.*)$")
SECTIONS = ("logging", "nodelist", "quorum", "totem")
# Sections of which there are several, and the key that has the number of each.
NUMBERED: dict[tuple[str, ...], str | None] = {("nodelist", "node"): None, ("totem", "interface"): "linknumber"}
# Of the map only: which node this is; the network of a link, which knet finds by its addresses.
ADDED = re.compile(r"^(nodelist\.local_node_pos|totem\.interface\.\d+\.bindnetaddr)$")
OF_LOGGING = (
    "debug",
    "to_syslog",
    "to_logfile",
    "to_stderr",
    "logfile",
    "timestamp",
)  # its subsystems are the map's own
INDENT = "  "


def rebuild(text: str) -> str:
    """Read `corosync-cmapctl`; the text of a corosync.conf, empty where corosync said nothing."""
    tree: dict[str, Any] = {}
    for line in text.splitlines():
        found = LINE.match(line.strip())
        if found is None or ADDED.match(found["key"]):
            continue
        path = found["key"].split(".")
        if path[0] not in SECTIONS or (path[0] == "logging" and (len(path) != 2 or path[1] not in OF_LOGGING)):  # noqa: PLR2004 - section and key
            continue
        _put(tree, path, found["value"])
    if not {"nodelist", "totem"} <= tree.keys():
        return ""
    return "\n".join("".join(_section(name, tree[name], 0, (name,))) for name in sorted(tree))


def _put(tree: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            return  # a key that is a section, too, is none of corosync.conf
        tree = below
    tree.setdefault(path[-1], value)


def _section(name: str, values: dict[str, Any], depth: int, path: tuple[str, ...]) -> list[str]:
    indent = INDENT * depth
    lines = [f"{indent}{name} {{\n"]
    for key, value in sorted(values.items()):
        if not isinstance(value, dict):
            lines.append(f"{indent}{INDENT}{key}: {value}\n")
        elif (*path, key) in NUMBERED:
            lines += _numbered(key, value, depth + 1, (*path, key))
        else:
            lines += _section(key, value, depth + 1, (*path, key))
    return [*lines, f"{indent}}}\n"]


def _numbered(name: str, values: dict[str, Any], depth: int, path: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    own = NUMBERED[path]
    for number, one in sorted(values.items(), key=lambda item: int(item[0]) if item[0].isdecimal() else -1):
        if isinstance(one, dict):
            lines += _section(name, {**one, **({own: number} if own else {})}, depth, path)
    return lines
