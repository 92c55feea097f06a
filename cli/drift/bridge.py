"""A bridge, as recorded and as /etc/network/interfaces has it. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cli.drift.comparing import compare, text
from cli.drift.kinds import PORTS, REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.drift.comparing import Difference

INTERFACES = "/etc/network/interfaces"
DEFAULTS = {"mtu": "1500", "bridge-ports": "none", "auto": "0"}
# The provider compares ports only if some are described, and believes that a bridge without ports still has them.
WRITE = "the provider does not put this right: write `bridge-ports {}` into it by hand, then `ifreload -a`"
ENDS = ("iface", "auto", "source", "source-directory", "mapping")


def differs(inputs: Mapping[str, Any], files: Mapping[str, str]) -> Difference | None:
    """The difference from the record; None when there is none."""
    name, ports = str(inputs["name"]), _ports(inputs)
    wanted = {
        "address": text(inputs.get("address")),
        "bridge-ports": ports,
        "mtu": text(inputs.get("mtu")) or "1500",
        "auto": text(inputs.get("autostart")),
        "comment": text(inputs.get("comment")),
    }
    live = _stanza(files.get(INTERFACES, ""), name)
    other = compare(INTERFACES, f"bridge {name}", live, wanted, DEFAULTS)
    if other is None or live is None:
        return other
    if live["bridge-ports"] != ports and "none" in (live["bridge-ports"], ports):
        return replace(other, kind=PORTS if ports == "none" else REFUSED, next=WRITE.format(ports))
    return other


def is_the_recorded(inputs: Mapping[str, Any], files: Mapping[str, str]) -> bool:
    """Whether the bridge of that name has the address and the ports of the recorded one."""
    live = _stanza(files.get(INTERFACES, ""), str(inputs["name"])) or {}
    return bool(live.get("address")) and (live["address"], live["bridge-ports"]) == (
        inputs.get("address"),
        _ports(inputs),
    )


def _ports(inputs: Mapping[str, Any]) -> str:
    return " ".join(sorted(map(str, inputs.get("ports") or []))) or "none"


def _stanza(file: str, name: str) -> dict[str, str] | None:
    """The values of an interface's IPv4 stanza, and the comment that Proxmox VE keeps below it."""
    found: dict[str, str] | None = None
    inside = False
    automatic = False
    for words in (line.split() for line in file.splitlines()):
        if words and (words[0] in ENDS or words[0].startswith("allow-")):
            automatic = automatic or (words[0] == "auto" and name in words[1:])
            inside = words[:3] == ["iface", name, "inet"]
            found = {} if inside else found
        elif inside and found is not None and words:
            if words[0].startswith("#"):
                found["comment"] = " ".join(words).removeprefix("#").strip()
            else:
                found[words[0]] = " ".join(words[1:])
    if found is None:
        return None
    ports = found.get("bridge-ports", found.get("bridge_ports", "none"))
    return {**found, "bridge-ports": " ".join(sorted(ports.split())), "auto": "1" if automatic else "0"}
