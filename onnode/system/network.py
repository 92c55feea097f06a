"""The machine's interfaces: what is live (`ip`), and what ifupdown brings up at boot."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.errors import StepError
from onnode.system import interfaces_file

if TYPE_CHECKING:
    from onnode.contract.node import LinkInterface
    from onnode.system.machine import ThisMachine

MTU_DEFAULT = 1500


@dataclass(frozen=True)
class Interface:
    """A live interface."""

    name: str
    mac: str = ""
    addresses: list[str] = field(default_factory=list)  # IPv4 with prefix
    mtu: int = MTU_DEFAULT
    up: bool = True  # up, and with carrier
    kind: str = ""  # "bridge", "veth", …; "" for hardware
    master: str | None = None


@dataclass(frozen=True)
class Route:
    """A network, and the interface that leads to it."""

    network: str
    device: str


def parse_addresses(text: str) -> list[Interface]:
    """Read `ip -j -d addr`."""
    entries: list[dict[str, Any]] = json.loads(text or "[]")
    return [
        Interface(
            entry["ifname"],
            entry.get("address", "").lower(),
            [
                f"{found['local']}/{found['prefixlen']}"
                for found in entry.get("addr_info", [])
                if found.get("family") == "inet"
            ],
            entry.get("mtu", MTU_DEFAULT),
            {"UP", "LOWER_UP"} <= set(entry.get("flags", [])),
            entry.get("linkinfo", {}).get("info_kind", ""),
            entry.get("master"),
        )
        for entry in entries
        if "ifname" in entry
    ]


def parse_routes(text: str) -> list[Route]:
    """Read `ip -j -4 route`: all routes but the default one."""
    entries: list[dict[str, Any]] = json.loads(text or "[]")
    return [Route(entry["dst"], entry.get("dev", "")) for entry in entries if is_ipv4(entry.get("dst", ""))]


def is_ipv4(text: str) -> bool:
    """Whether that is an IPv4 address or network; other values there, `default` or IPv6, are no subnet."""
    try:
        ipaddress.IPv4Interface(text)
    except ValueError:
        return False
    return True


def interfaces(machine: ThisMachine, *, timeout_s: float = 60.0) -> list[Interface]:
    """The live interfaces."""
    return parse_addresses(machine.check(["ip", "-j", "-d", "addr"], timeout_s=timeout_s))


def routes(machine: ThisMachine) -> list[Route]:
    """The live routes."""
    return parse_routes(machine.check(["ip", "-j", "-4", "route"]))


def stanzas(machine: ThisMachine) -> list[interfaces_file.Stanza]:
    """The configuration of ifupdown, with the files that it includes."""
    return interfaces_file.stanzas(interfaces_file.files(machine))


def comments(text: str) -> dict[str, list[str]]:
    """The interfaces that /etc/network/interfaces describes, with the comments that Proxmox VE keeps below each."""
    found: dict[str, list[str]] = {}
    current = None
    for line in map(str.strip, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "iface" and rest:
            current = found.setdefault(rest.split()[0], [])
        elif word in ("auto", "source", "source-directory", "mapping") or word.startswith("allow-"):
            current = None
        elif line.startswith("#") and current is not None:
            current.append(line[1:].strip())
    return found


def interface_names(machine: ThisMachine) -> list[str]:
    """All interfaces that are live or configured."""
    live = [found.name for found in interfaces(machine)]
    return sorted({*live, *(stanza.name for stanza in stanzas(machine))})


def find(wanted: LinkInterface, live: list[Interface]) -> Interface:
    """The live interface that a link uses: by its name, or by its MAC among those that are no bridges.

    Raises:
        StepError: interface-missing.
    """
    for found in live:
        by_mac = wanted.mac is not None and found.mac == wanted.mac.lower() and found.kind not in ("bridge", "vlan")
        if found.name == wanted.name or (wanted.name is None and by_mac):
            return found
    raise StepError(
        "interface-missing",
        f"no interface for the address {wanted.address}",
        observed=", ".join(f"{found.name} ({found.mac})" for found in live if found.name != "lo") or "no interface",
        expected=f"name {wanted.name}" if wanted.name else f"MAC {wanted.mac}",
    )


def resolve(machine: ThisMachine, name: str) -> list[str]:
    """The IPv4 addresses that a name has on this machine."""
    return parse_resolved(machine.run(ask_for(name), timeout_s=15).out)


def ask_for(name: str) -> list[str]:
    """The command that resolves a name, for :func:`parse_resolved`."""
    return ["getent", "ahostsv4", name]


def parse_resolved(text: str) -> list[str]:
    """Read `getent ahostsv4 NAME`."""
    return sorted({line.split()[0] for line in text.splitlines() if re.match(r"\d", line)})
