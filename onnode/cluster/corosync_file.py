"""The text of corosync.conf with other values in it. Pure: whatever is not named stays, in its order, comments included.

Corosync reads line by line (corosync.conf(5)): a section's name with `{`, `key: value`, `}`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnode.cluster import corosync

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PAIR = re.compile(r"^(?P<before>\s*(?P<key>[^\s:#]+)\s*:\s*)(?P<value>.*?)\s*$")
INDENT = "  "  # as Proxmox VE writes it


@dataclass
class _Section:
    """A section; together its lines are the text."""

    name: str
    opening: str = ""
    items: list[str | _Section] = field(default_factory=list)
    closing: str = ""

    def sections(self, name: str) -> list[_Section]:
        return [item for item in self.items if isinstance(item, _Section) and item.name == name]

    def value(self, key: str) -> str | None:
        found = [pair["value"] for _, pair in self._pairs() if pair["key"] == key]
        return found[-1] if found else None

    def put(self, key: str, value: str) -> None:
        """Set a value where it stands, else in the order in which Proxmox VE sorts keys."""
        pairs = self._pairs()
        if here := [(at, pair) for at, pair in pairs if pair["key"] == key]:
            for at, pair in here:
                self.items[at] = f"{pair['before']}{value}\n"
            return
        at = max((at + 1 for at, pair in pairs if pair["key"] < key), default=0)
        self.items.insert(at, f"{self.indent}{key}: {value}\n")

    def drop(self, key: str) -> None:
        for at, pair in reversed(self._pairs()):
            if pair["key"] == key:
                del self.items[at]

    @property
    def indent(self) -> str:
        own = [line for line in self.items if isinstance(line, str) and PAIR.match(line)]
        outer = re.match(r"\s*", self.opening)
        return own[0][: len(own[0]) - len(own[0].lstrip())] if own else f"{outer[0] if outer else ''}{INDENT}"

    def _pairs(self) -> list[tuple[int, re.Match[str]]]:
        lines = [(at, item) for at, item in enumerate(self.items) if isinstance(item, str)]
        return [(at, pair) for at, line in lines if (pair := PAIR.match(line))]

    def text(self) -> str:
        inner = "".join(item if isinstance(item, str) else item.text() for item in self.items)
        return f"{self.opening}{inner}{self.closing}"


def _read(text: str) -> _Section:
    """Take the text apart.

    Raises:
        ValueError: it is no corosync.conf.
    """
    stack = [_Section("")]
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if opening := corosync.SECTION.match(line):
            section = _Section(opening[1], line)
            stack[-1].items.append(section)
            stack.append(section)
        elif line.strip() == "}" and len(stack) > 1:
            stack.pop().closing = line
        elif not line.strip() or line.lstrip().startswith("#") or (len(stack) > 1 and PAIR.match(line)):
            stack[-1].items.append(line)
        else:
            raise ValueError(f"line {number} is neither a section nor a value: {line.strip()}")
    if len(stack) > 1:
        raise ValueError(f"section {stack[-1].name} does not end")
    return stack[0]


# -- changes -----------------------------------------------------------------------------------------------------------


def with_version(text: str, version: int) -> str:
    """Under another number: of two configurations, members take the higher one."""
    return with_totem(text, {"config_version": str(version)})


def with_totem(text: str, settings: Mapping[str, str]) -> str:
    """With these values in section `totem`."""
    root = _read(text)
    for key, value in settings.items():
        _one(root, "totem").put(key, value)
    return root.text()


def with_votes(text: str, votes: Mapping[str, int]) -> str:
    """With these nodes' votes, by name."""
    root = _read(text)
    for node in _nodes(root):
        if (name := _name(node)) in votes:
            node.put("quorum_votes", str(votes[name]))
    return root.text()


def with_priority(text: str, link: int, priority: int) -> str:
    """With a link's priority; where one link has a section `interface`, Proxmox VE wants one for each."""
    root = _read(text)
    _interface(root, link).put("knet_link_priority", str(priority))
    _complete(root)
    return root.text()


def with_addresses(text: str, link: int, addresses: Mapping[str, str]) -> str:
    """With a link's addresses of these nodes, by name, and the settings that it had before its addresses went.

    A network that its section `interface` names is left out: knet needs none.
    """
    root = _read(text.replace(_away(link), ""))
    for node in _nodes(root):
        if (name := _name(node)) in addresses:
            node.put(f"ring{link}_addr", addresses[name])
    for interface in _interfaces(root):
        if _number(interface) == link:
            interface.drop("bindnetaddr")
    _complete(root)
    return root.text()


def without_addresses(text: str, link: int) -> str:
    """With no node on a link. Its settings become comments until it is used again: corosync takes no settings of a link without nodes."""
    root = _read(text)
    for node in _nodes(root):
        node.drop(f"ring{link}_addr")
    for totem in root.sections("totem"):
        totem.items = [
            "".join(f"{_away(link)}{line}" for line in item.text().splitlines(keepends=True))
            if isinstance(item, _Section) and item.name == "interface" and _number(item) == link
            else item
            for item in totem.items
        ]
    return root.text()


def without_link(text: str, link: int) -> str:
    """Without a link, and without its settings."""
    lines = without_addresses(text, link).splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(_away(link)))


def _away(link: int) -> str:
    """What stands before the settings of a link that is out of use for a moment."""
    return f"# link {link} is changed: "


def with_device(text: str, device: corosync.Device | None, kept: str = "") -> str:
    """With this QDevice in section `quorum`, as `pvecm qdevice setup` writes it, or with none.

    Args:
        text: the configuration.
        device: the QDevice.
        kept: as :func:`device_settings` gave it, where the section is gone since.
    """
    root = _read(text)
    quorum = _one(root, "quorum")
    found = quorum.sections("device") or (_read(kept).sections("device") if device else [])
    quorum.items = [item for item in quorum.items if not (isinstance(item, _Section) and item.name == "device")]
    if device is not None:
        quorum.items.insert(0, _device(device, found[0] if found else None, quorum.indent))
    return root.text()


def device_settings(text: str) -> str:
    """What others wrote into the QDevice's section, such as its heuristics: the section without this program's values; or empty."""
    found = _one(_read(text), "quorum").sections("device")
    if not found:
        return ""
    foreign = _foreign(found[0])
    return foreign.text().strip() if foreign.items else ""


def _device(device: corosync.Device, former: _Section | None, outer: str) -> _Section:
    """The section anew, then what others wrote into the former one."""
    inner = f"{outer}{INDENT}"
    values = {"algorithm": device.algorithm, "host": device.host, "tls": device.tls}
    lines: list[str | _Section] = [f"{inner}{INDENT}{key}: {value}\n" for key, value in values.items()]
    net = _Section("net", f"{inner}net {{\n", lines, f"{inner}}}\n")
    votes = [f"{inner}votes: {device.votes}\n"] if device.votes is not None else []
    foreign = _foreign(former).items if former else []
    for item in foreign:
        if isinstance(item, _Section) and item.name == "net":
            net.items += item.items
    others = [item for item in foreign if not (isinstance(item, _Section) and item.name == "net")]
    return _Section("device", f"{outer}device {{\n", [f"{inner}model: net\n", net, *votes, *others], f"{outer}}}\n")


def _foreign(device: _Section) -> _Section:
    """A QDevice's section without what this program writes."""
    for key in ("model", "votes"):
        device.drop(key)
    for net in device.sections("net"):
        for key in ("algorithm", "host", "tls"):
            net.drop(key)
        if not net.items:
            device.items.remove(net)
    return device


def _one(root: _Section, name: str) -> _Section:
    found = root.sections(name)
    if not found:
        raise ValueError(f"there is no section {name}")
    return found[0]


def _nodes(root: _Section) -> list[_Section]:
    return [node for nodelist in root.sections("nodelist") for node in nodelist.sections("node")]


def _name(node: _Section) -> str:
    # As corosync.parse_conf names a node of an old release.
    return node.value("name") or node.value("ring0_addr") or ""


def _interfaces(root: _Section) -> list[_Section]:
    return [interface for totem in root.sections("totem") for interface in totem.sections("interface")]


def _number(interface: _Section) -> int:
    number = interface.value("linknumber") or interface.value("ringnumber") or "0"
    return int(number) if number.isdecimal() else -1


def _interface(root: _Section, link: int) -> _Section:
    """A link's section; a new one stands after the others."""
    if found := [interface for interface in _interfaces(root) if _number(interface) == link]:
        return found[0]
    totem = _one(root, "totem")
    indent = totem.indent
    made = _Section("interface", f"{indent}interface {{\n", [f"{indent}{INDENT}linknumber: {link}\n"], f"{indent}}}\n")
    others = [at for at, item in enumerate(totem.items) if isinstance(item, _Section)]
    after = [at for at in others if _number_of(totem.items[at]) < link]
    place = after[-1] + 1 if after else others[0] if others else _sorted_place(totem)
    totem.items.insert(place, made)
    return made


def _number_of(item: str | _Section) -> int:
    return _number(item) if isinstance(item, _Section) else -1


def _sorted_place(totem: _Section) -> int:
    """Among the keys, where Proxmox VE sorts it."""
    keys = [
        (at, pair["key"]) for at, line in enumerate(totem.items) if isinstance(line, str) and (pair := PAIR.match(line))
    ]
    return max((at + 1 for at, key in keys if key < "interface"), default=0)


def _complete(root: _Section) -> None:
    if not _interfaces(root):
        return
    for link in sorted({link for node in _nodes(root) for link in _links(node)}):
        _interface(root, link)


def _links(node: _Section) -> list[int]:
    pairs = [PAIR.match(line) for line in node.items if isinstance(line, str)]
    return [int(ring[1]) for pair in pairs if pair and (ring := corosync.RING.fullmatch(pair["key"]))]


# -- checks ------------------------------------------------------------------------------------------------------------


def problems(text: str) -> list[str]:
    """Why corosync, or Proxmox VE when it adds a node, would not take it (totemconfig.c; PVE/Corosync.pm, verify_conf).

    Corosync says of a section `interface` without addresses: "Not all nodes have the same number of links".
    """
    try:
        root = _read(text)
    except ValueError as error:
        return [str(error)]
    conf = corosync.parse_conf(text)
    if conf is None or not conf.nodes:
        return ["it describes no cluster"]
    return [*_node_problems(conf.nodes), *_interface_problems(root, conf.nodes)]


def _node_problems(nodes: list[corosync.ConfNode]) -> list[str]:
    links = set[int]().union(*(node.links for node in nodes))
    addresses = Counter(address for node in nodes for address in node.links.values())
    return [
        *corosync.doubled_ids(nodes),
        *(f"{name} stands there twice" for name in _twice(node.name for node in nodes)),
        *(f"address {address} stands there twice" for address, count in sorted(addresses.items()) if count > 1),
        *(f"{node.name} has no address on link {link}" for node in nodes for link in sorted(links - node.links.keys())),
        *([] if links else ["no node has an address"]),
    ]


def _twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _interface_problems(root: _Section, nodes: list[corosync.ConfNode]) -> list[str]:
    numbers = [_number(interface) for interface in _interfaces(root)]
    links = set[int]().union(*(node.links for node in nodes))
    lacking = sorted(links - set(numbers)) if numbers else []
    return [
        *(f"link {link} has no section interface, other links have" for link in lacking),
        *(f"no node has an address on link {link}, which has a section interface" for link in set(numbers) - links),
    ]
