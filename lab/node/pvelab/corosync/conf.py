"""The corosync.conf that Proxmox VE writes: parse, render, create and verify.

The layout is that of pve-cluster 9.1 (transcript in the reference, `pvecm create`): sections and keys sorted,
two spaces a level, one key a line, an empty line after each top-level section.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_LINKS = 8
_REPEATED_SECTIONS = ("node", "interface")
_TOKEN_COEFFICIENT_MS = 125

Section = dict[str, Any]


class ConfError(Exception):
    """The text is no corosync.conf."""


@dataclasses.dataclass(frozen=True)
class Link:
    """One corosync link of a node; a higher priority wins in knet's passive mode."""

    address: str
    priority: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `ADDRESS`, `address=ADDRESS` or either with `,priority=N`.

        Raises:
            ValueError: with the words of Proxmox' property-string parser.
        """
        values: dict[str, str] = {}
        for part in text.split(","):
            key, equals, value = part.partition("=")
            if not equals:
                key, value = "address", part
            if key not in ("address", "priority"):
                raise ValueError(
                    f"{key}: property is not defined in schema and the schema does not allow additional properties"
                )
            if key in values:
                raise ValueError(f"duplicate key in comma-separated list property: {key}")
            values[key] = value
        if not values.get("address"):
            raise ValueError("address: property is missing and it is not optional")
        return cls(values["address"], cls._priority(values.get("priority")))

    @staticmethod
    def _priority(text: str | None) -> int | None:
        if text is None:
            return None
        if not text.isdigit():
            raise ValueError(f"priority: type check ('integer') failed - got '{text}'")
        if int(text) > 255:  # noqa: PLR2004 - knet's limit
            raise ValueError("priority: value must have a maximum value of 255")
        return int(text)

    def render(self) -> str:
        """The property string, as it is passed on to the cluster."""
        return self.address if self.priority is None else f"{self.address},priority={self.priority}"


@dataclasses.dataclass(frozen=True)
class Node:
    """An entry of the node list."""

    name: str
    nodeid: int
    votes: int
    links: Mapping[int, str]

    def section(self) -> Section:
        """The entry as corosync.conf's keys; a node without votes has no votes line."""
        section: Section = {"name": self.name, "nodeid": str(self.nodeid)}
        if self.votes:
            section["quorum_votes"] = str(self.votes)
        for number, address in self.links.items():
            section[f"ring{number}_addr"] = address
        return section

    @classmethod
    def from_section(cls, section: Mapping[str, str]) -> Self:
        """Read an entry; entries of old releases carry no name."""
        links = {int(found[2]): value for key, value in section.items() if (found := _LINK_KEY.match(key))}
        return cls(
            section.get("name", links.get(0, "")),
            int(section.get("nodeid", 0)),
            int(section.get("quorum_votes", 0)),
            links,
        )


_LINK_KEY = re.compile(r"^(ring|link)(\d+)_addr$")


@dataclasses.dataclass
class CorosyncConf:
    """A parsed corosync.conf; `sections` holds what is neither the node list nor an interface."""

    totem: dict[str, str]
    interfaces: dict[int, dict[str, str]]
    nodes: dict[str, Node]
    sections: dict[str, Section]
    digest: str = ""

    @classmethod
    def create(cls, cluster_name: str, node: Node, links: Mapping[int, Link]) -> Self:
        """The configuration of a new one-node cluster; the first write makes its version 1."""
        interfaces = {}
        for number, link in links.items():
            interfaces[number] = {"linknumber": str(number)}
            if link.priority:
                interfaces[number]["knet_link_priority"] = str(link.priority)
        totem = {
            "cluster_name": cluster_name,
            "config_version": "0",
            "ip_version": "ipv4-6",
            "link_mode": "passive",
            "secauth": "on",
            "token_coefficient": str(_TOKEN_COEFFICIENT_MS),
            "version": "2",
        }
        sections = {
            "logging": {"debug": "off", "to_syslog": "yes"},
            "quorum": {"provider": "corosync_votequorum"},
        }
        return cls(totem, interfaces, {node.name: node}, sections)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a corosync.conf.

        Raises:
            ConfError: unbalanced sections or a key without value.
        """
        sections = _parse_sections(text)
        totem = sections.pop("totem", {})
        interfaces = {
            int(entry.get("linknumber", entry.get("ringnumber", 0))): entry for entry in totem.pop("interface", [])
        }
        nodes = [Node.from_section(entry) for entry in sections.pop("nodelist", {}).get("node", [])]
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return cls(totem, interfaces, {node.name: node for node in nodes}, sections, digest)

    @property
    def version(self) -> int:
        """The configuration's version: a lower one never replaces a higher one."""
        return int(self.totem.get("config_version", 0))

    @property
    def cluster_name(self) -> str:
        """The name given at creation."""
        return self.totem.get("cluster_name", "")

    def raise_version(self) -> None:
        """Every change of the configuration has a higher version."""
        self.totem["config_version"] = str(self.version + 1)

    def render(self) -> str:
        """The file's text."""
        totem: Section = dict(self.totem)
        totem["interface"] = [self.interfaces[number] for number in sorted(self.interfaces)]
        nodelist = {"node": [self.nodes[name].section() for name in sorted(self.nodes)]}
        sections = {**self.sections, "nodelist": nodelist, "totem": totem}
        return "".join(f"{name} {{\n{_render_section(sections[name], '  ')}}}\n\n" for name in sorted(sections))

    def link_numbers(self) -> set[int]:
        """The links that the cluster's nodes have."""
        return set().union(*(node.links for node in self.nodes.values()))

    def free_node_id(self) -> int:
        """The lowest node id not in use."""
        used = {node.nodeid for node in self.nodes.values()}
        return next(number for number in range(1, len(used) + 2) if number not in used)


def _parse_sections(text: str) -> dict[str, Any]:
    """Sections as nested dicts, those that repeat as lists."""
    tokens = re.sub(r"#.*", "", text).split()
    stack: list[dict[str, Any]] = [{}]
    position = 0
    while position < len(tokens):
        word = tokens[position]
        following = tokens[position + 1] if position + 1 < len(tokens) else None
        if word == "}":
            if len(stack) == 1:
                raise ConfError("parse error - unexpected '}'")
            stack.pop()
            position += 1
            continue
        if following is None:
            raise ConfError(f"parse error - no value for '{word}'")
        if following == "{":
            stack.append(_open_section(stack[-1], word))
        elif word.endswith(":"):
            stack[-1][word[:-1]] = following
        else:
            raise ConfError(f"missing ':' after key '{word}'")
        position += 2
    if len(stack) > 1:
        raise ConfError("parse error - section not closed")
    return stack[0]


def _open_section(parent: dict[str, Any], name: str) -> dict[str, Any]:
    section: dict[str, Any] = {}
    if name in _REPEATED_SECTIONS:
        parent.setdefault(name, []).append(section)
    elif name in parent:
        raise ConfError(f"section '{name}' already exists and not marked as array!")
    else:
        parent[name] = section
    return section


def _render_section(section: Mapping[str, Any], indent: str) -> str:
    lines = []
    for key in sorted(section):
        value = section[key]
        if isinstance(value, str):
            lines.append(f"{indent}{key}: {value}\n")
            continue
        children = value if isinstance(value, list) else [value]
        lines += [f"{indent}{key} {{\n{_render_section(child, indent + '  ')}{indent}}}\n" for child in children]
    return "".join(lines)


def verify(conf: CorosyncConf) -> tuple[list[str], list[str]]:
    """Errors and warnings that Proxmox finds in a configuration before it adds a node."""
    warnings = []
    if conf.totem.get("secauth") != "on" and conf.totem.get("crypto_cipher", "none") == "none":
        warnings.append(
            "warning: authentication/encryption is not explicitly enabled (secauth / crypto_cipher / crypto_hash)"
        )
    errors = []
    for number in range(MAX_LINKS):
        for name in sorted(conf.nodes):
            address = conf.nodes[name].links.get(number)
            if address is not None:
                warnings += _address_warnings(f"ring{number}_addr", address, name)
            if conf.interfaces:
                errors += _interface_errors(conf, number, name)
            elif address is None and number in conf.link_numbers():
                errors.append(f"node '{name}' is missing link {number}, which is configured on other nodes")
    return errors, warnings


def _interface_errors(conf: CorosyncConf, number: int, name: str) -> list[str]:
    """With interfaces declared, every link of every node needs one, and the reverse."""
    has_address, has_interface = number in conf.nodes[name].links, number in conf.interfaces
    if has_address and not has_interface:
        return [f"node '{name}' has 'ring{number}_addr', but there is no interface number {number} configured"]
    if has_interface and not has_address:
        return [f"node '{name}' is missing address for interface number {number}"]
    return []


def _address_warnings(key: str, address: str, node: str) -> Iterable[str]:
    if _is_ip(address):
        return
    try:
        resolved = str(socket.getaddrinfo(address, None)[0][4][0])
    except OSError:
        yield (
            f"warning: unable to resolve {key} '{address}' for node '{node}' to an IP address according to Corosync's "
            "resolve strategy - cluster could fail on restart!"
        )
    else:
        yield (
            f"warning: {key} '{address}' for node '{node}' resolves to '{resolved}' - consider replacing it with the "
            "currently resolved IP address for stability"
        )


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
