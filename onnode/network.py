"""The machine's interfaces: what is live (`ip`), and what ifupdown brings up at boot."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnode.machine import Machine

FILE = "/etc/network/interfaces"
KEYWORDS = ("iface", "auto", "source", "source-directory", "mapping", "no-auto-down", "no-scripts", "rename")
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
    """A live route that is not the default one."""

    network: str
    device: str


@dataclass(frozen=True)
class Stanza:
    """What ifupdown is told about an interface's IPv4 side."""

    name: str
    method: str
    address: str | None  # with prefix
    mtu: int | None


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
    """Read `ip -j route`."""
    entries: list[dict[str, Any]] = json.loads(text or "[]")
    return [Route(entry["dst"], entry.get("dev", "")) for entry in entries if entry.get("dst", "default") != "default"]


def parse_stanzas(text: str) -> list[Stanza]:
    """Read /etc/network/interfaces: its IPv4 stanzas."""
    stanzas = []
    for block in _blocks(text):
        words = block[0].split()
        if words[:1] == ["iface"] and len(words) > 1 and words[2:3] != ["inet6"]:
            options = dict(_option(line) for line in block[1:])
            mtu = options.get("mtu", "")
            method = words[3] if len(words) > 3 else "static"  # noqa: PLR2004 - ifupdown2 lets family and method out
            stanzas.append(Stanza(words[1], method, _address(options), int(mtu) if mtu.isdecimal() else None))
    return stanzas


def ensure_static(text: str, name: str, address: str, mtu: int) -> str:
    """The text of /etc/network/interfaces in which that interface comes up with that address.

    An existing stanza keeps its other options (a bridge its ports); everything else stays as it is.
    """
    options = [f"\taddress {address}\n", *([f"\tmtu {mtu}\n"] if mtu != MTU_DEFAULT else [])]
    result, found = [], False
    for block in _blocks(text):
        words = block[0].split()
        if words[:2] == ["iface", name] and words[2:3] != ["inet6"] and not found:
            found = True
            kept = [line for line in block[1:] if _option(line)[0] not in ("address", "netmask", "gateway", "mtu")]
            result += [f"iface {name} inet static\n", *options, *kept]
        else:
            result += block
    if not found:
        result += ["\n", f"auto {name}\n", f"iface {name} inet static\n", *options]
    return "".join(_brought_up(result, name))


def _brought_up(lines: list[str], name: str) -> list[str]:
    if any(line.split()[:1] in (["auto"], ["allow-auto"]) and name in line.split()[1:] for line in lines):
        return lines
    at = next(index for index, line in enumerate(lines) if line.split()[:2] == ["iface", name])
    return [*lines[:at], f"auto {name}\n", *lines[at:]]


def _blocks(text: str) -> list[list[str]]:
    """The file's lines in blocks; a keyword, a comment or a blank line begins a new one."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        words = line.split()
        starts = not words or line.startswith("#") or words[0] in KEYWORDS or words[0].startswith("allow-")
        if starts or not blocks or not blocks[-1][0].strip() or blocks[-1][0].startswith("#"):
            blocks.append([])
        blocks[-1].append(line + "\n")
    return blocks


def _option(line: str) -> tuple[str, str]:
    key, _, value = line.strip().partition(" ")
    key, value = key.split("\t")[0], value or line.strip().partition("\t")[2]
    return key, value.strip()


def _address(options: dict[str, str]) -> str | None:
    address = options.get("address")
    if address is None or "/" in address:
        return address
    try:
        return ipaddress.IPv4Interface(f"{address}/{options.get('netmask', '32')}").with_prefixlen
    except ValueError:
        return None


def interfaces(machine: Machine) -> list[Interface]:
    """The live interfaces."""
    return parse_addresses(machine.check(["ip", "-j", "-d", "addr"]))


def routes(machine: Machine) -> list[Route]:
    """The live routes."""
    return parse_routes(machine.check(["ip", "-j", "route"]))


def stanzas(machine: Machine) -> list[Stanza]:
    """What ifupdown is told, without the files that it includes."""
    return parse_stanzas(machine.read(FILE) or "")


def interface_names(machine: Machine) -> list[str]:
    """All interfaces that are live or configured."""
    live = [found.name for found in interfaces(machine)]
    return sorted({*live, *(stanza.name for stanza in stanzas(machine))})


def resolve(machine: Machine, name: str) -> list[str]:
    """The IPv4 addresses that a name has on this machine."""
    out = machine.run(["getent", "ahostsv4", name], timeout_s=15).out
    return sorted({line.split()[0] for line in out.splitlines() if re.match(r"\d", line)})
