"""Corosync's configuration and what its tools print: pure parsers.

The tools' layout is stable, their spacing is not (F21): everything is read by word.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

KNET = "knet"  # what corosync 3 uses by default, and the only transport with more than one link
SECTION = re.compile(r"^\s*(\S+)\s*\{\s*$")
RING = re.compile(r"ring(\d+)_addr")
KNOWN = re.compile(
    r"totem\.interface\.(linknumber|ringnumber|knet_link_priority): .*"
    r"|nodelist\.node\.(name|nodeid|quorum_votes|ring\d+_addr): .*"
    r"|quorum\.provider: corosync_votequorum|quorum\.device\.(model|votes): .*|quorum\.device\.net\.(host|algorithm|tls): .*"
    r"|logging\.(debug: off|to_syslog: yes)"
)
MEMBER = re.compile(r"^\s*0x([0-9a-fA-F]+)\s+(\d+)\s+(?:([A-Z,]+)\s+)?(\S+)(\s+\(local\))?\s*$", re.MULTILINE)
# The QDevice votes as node 0; while it casts no vote, what it would have follows in brackets (corosync-quorumtool.c).
DEVICE = re.compile(r"^\s*0x0+\s+(\d+)\s+\S+(?:\s+\(votes \d+\))?\s*$", re.MULTILINE)
DEVICE_STATE = re.compile(r"^State:\s*(.+?)\s*$", re.MULTILINE)
LOCAL_LINK = re.compile(r"^LINK ID\s+(\d+)")
LOCAL_ADDRESS = re.compile(r"^\s+addr\s*=\s*(\S+)")
LOCAL_STATE = re.compile(r"^\s+nodeid:\s*(\d+):\s*(\S+)")


class HasVotes(Protocol):
    """A node of a cluster, described or listed."""

    @property
    def votes(self) -> int:
        """Its votes for the quorum."""


@dataclass(frozen=True)
class ConfNode:
    """One node of corosync.conf."""

    name: str
    id: int
    votes: int
    links: dict[int, str] = field(default_factory=dict)  # link number -> address


@dataclass(frozen=True)
class Device:
    """The QDevice of corosync.conf: a server outside of the cluster whose decision gives votes (corosync-qdevice(8))."""

    host: str
    votes: int | None = None  # None: one less than the nodes have
    algorithm: str = "ffsplit"
    tls: str = "on"


@dataclass(frozen=True)
class Conf:
    """What matters in corosync.conf."""

    cluster: str
    version: int
    nodes: list[ConfNode] = field(default_factory=list)
    priorities: dict[int, int] = field(default_factory=dict)  # link number -> priority; the higher one wins
    transport: str = KNET
    totem: dict[str, str] = field(default_factory=dict)  # all values of that section
    device: Device | None = None
    further: list[str] = field(
        default_factory=list
    )  # of other sections, what nothing above tells: "quorum.two_node: 1"

    def node(self, name: str) -> ConfNode | None:
        """The node of that name, if it is a member."""
        return next((node for node in self.nodes if node.name == name), None)


@dataclass(frozen=True)
class Voter:
    """A node that takes part in the vote at this moment."""

    id: int
    votes: int
    address: str
    local: bool = False


@dataclass(frozen=True)
class Quorum:
    """What `corosync-quorumtool -s` shows, also as the second half of `pvecm status`."""

    quorate: bool
    expected: int
    total: int
    needed: int
    members: list[Voter] = field(default_factory=list)
    device: int | None = None  # votes that the QDevice casts at this moment; None: this node has none


def expected_votes(nodes: Iterable[HasVotes], device: Device | None = None) -> int:
    """The votes that a cluster of these nodes expects: theirs and the QDevice's (votequorum(5))."""
    votes = sum(node.votes for node in nodes)
    return votes + device_votes(votes, device)


def device_votes(votes: int, device: Device | None) -> int:
    """What the QDevice of a cluster gives whose nodes have so many votes (corosync-qdevice(8))."""
    if device is None:
        return 0
    return votes - 1 if device.votes is None else device.votes


def silent(nodes: list[ConfNode], quorum: Quorum | None) -> list[ConfNode]:
    """The listed nodes that do not take part in the vote."""
    voting = {voter.id for voter in quorum.members} if quorum else set()
    return [node for node in nodes if node.id not in voting]


def votes(nodes: list[ConfNode], quorum: Quorum | None) -> str:
    """How the vote stands, in words: how many are there, how many are missing, and whose."""
    if quorum is None:
        return "corosync does not run"
    lacking = quorum.needed - quorum.total
    missing = f", {lacking} missing" if lacking > 0 else ""
    names = ", ".join(node.name for node in silent(nodes, quorum))
    down = f"; down or cut off: {names}" if names else ""
    return f"{quorum.total} of {quorum.expected} votes, {quorum.needed} needed{missing}{down}"


def doubled_ids(nodes: list[ConfNode]) -> list[str]:
    """The ids that more than one of these nodes has: "id 2: pve2 and pve4"."""
    names: dict[int, list[str]] = {}
    for node in nodes:
        names.setdefault(node.id, []).append(node.name)
    return [f"id {number}: {' and '.join(who)}" for number, who in sorted(names.items()) if len(who) > 1]


@dataclass(frozen=True)
class PeerLink:
    """One link to one other node."""

    node_id: int
    link: int
    connected: bool


def parse_conf(text: str) -> Conf | None:
    """Read corosync.conf; None if it describes no cluster."""
    sections = _sections(text)
    totem = next((values for path, values in sections if path == ("totem",)), {})
    if "cluster_name" not in totem:
        return None
    interfaces = [values for path, values in sections if path == ("totem", "interface")]
    return Conf(
        totem["cluster_name"],
        _number(totem.get("config_version")),
        [_conf_node(values) for path, values in sections if path == ("nodelist", "node")],
        {
            _number(values.get("linknumber", values.get("ringnumber"))): _number(values["knet_link_priority"])
            for values in interfaces
            if "knet_link_priority" in values
        },
        totem.get("transport", KNET),
        totem,
        _device(sections),
        _further(sections),
    )


def _further(sections: list[tuple[tuple[str, ...], dict[str, str]]]) -> list[str]:
    """What this program does not know, and Proxmox VE does not write into each file (PVE::Corosync, create_conf)."""
    found = []
    for path, values in sections:
        number = values.get("linknumber", values.get("ringnumber"))
        where = f"{'.'.join(path)}{f' {number}' if number is not None else ''}"
        found += [
            f"{where}.{key}: {value}"
            for key, value in values.items()
            if path != ("totem",) and not KNOWN.fullmatch(f"{'.'.join(path)}.{key}: {value}")
        ]
    return found


def _device(sections: list[tuple[tuple[str, ...], dict[str, str]]]) -> Device | None:
    values = dict(sections)
    if (device := values.get(("quorum", "device"))) is None:
        return None
    net = values.get(("quorum", "device", "net"), {})
    return Device(
        net.get("host", ""),
        _number(device["votes"]) if "votes" in device else None,
        net.get("algorithm", "ffsplit"),
        net.get("tls", "on"),
    )


def resolved(conf: Conf | None, resolve: Callable[[str], list[str]]) -> Conf | None:
    """The configuration with addresses where it has names, as corosync itself resolves them when it starts."""
    if conf is None:
        return None

    def address(text: str) -> str:
        return text if is_address(text) else next(iter(resolve(text)), text)

    nodes = [replace(node, links={n: address(text) for n, text in node.links.items()}) for node in conf.nodes]
    return replace(conf, nodes=nodes)


def is_address(text: str) -> bool:
    """Whether that is an IPv4 or IPv6 address, and no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _sections(text: str) -> list[tuple[tuple[str, ...], dict[str, str]]]:
    found: list[tuple[tuple[str, ...], dict[str, str]]] = []
    path: list[str] = []
    open_sections: list[dict[str, str]] = []
    for line in text.splitlines():
        if opening := SECTION.match(line):
            path.append(opening[1])
            open_sections.append({})
            found.append((tuple(path), open_sections[-1]))
        elif line.strip() == "}" and path:
            path.pop()
            open_sections.pop()
        elif ":" in line and open_sections and not line.lstrip().startswith("#"):
            key, _, value = line.partition(":")
            open_sections[-1][key.strip()] = value.strip()
    return found


def _conf_node(values: dict[str, str]) -> ConfNode:
    links = {int(match[1]): address for key, address in values.items() if (match := RING.fullmatch(key))}
    # Entries of old releases carry no name: their first address stands for it.
    return ConfNode(
        values.get("name", links.get(0, "")),
        _number(values.get("nodeid")),
        _number(values.get("quorum_votes", "1")),
        links,
    )


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else 0


def parse_quorum(text: str) -> Quorum | None:
    """Read `corosync-quorumtool -s` or `pvecm status`; None if corosync does not run."""
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    if "Quorate" not in values:
        return None
    return Quorum(
        values["Quorate"] == "Yes",
        _number(values.get("Expected votes")),
        _number(values.get("Total votes")),
        _number(values.get("Quorum", "").partition(" ")[0]),
        [
            Voter(int(row[1], 16), int(row[2]), row[4], row[5] is not None)
            for row in MEMBER.finditer(text)
            if int(row[1], 16)  # the QDevice votes as node 0
        ],
        int(row[1]) if (row := DEVICE.search(text)) else None,
    )


def parse_device_state(text: str) -> str | None:
    """Read `corosync-qdevice-tool -s`: "Connected" and others; None if corosync-qdevice does not run."""
    found = DEVICE_STATE.search(text)
    return found[1] if found else None


def parse_links(text: str) -> list[PeerLink]:
    """Read `corosync-cfgtool -s`: the links to every other node, also to those that are down, which `-n` leaves out."""
    links = []
    number = 0
    for line in text.splitlines():
        if link := LOCAL_LINK.match(line):
            number = int(link[1])
        elif (state := LOCAL_STATE.match(line)) and state[2] != "localhost":
            links.append(PeerLink(int(state[1]), number, state[2] == "connected"))
    return links


def parse_addresses(text: str) -> dict[int, str]:
    """Read `corosync-cfgtool -s`: the address that this node's corosync uses on each link."""
    addresses = {}
    number = 0
    for line in text.splitlines():
        if link := LOCAL_LINK.match(line):
            number = int(link[1])
        elif address := LOCAL_ADDRESS.match(line):
            addresses[number] = address[1]
    return addresses


def parse_version(text: str) -> int | None:
    """Read `corosync-cmapctl -g totem.config_version`: the version that runs; None if corosync does not run."""
    _, _, value = text.partition("=")
    return int(value) if value.strip().isdecimal() else None
