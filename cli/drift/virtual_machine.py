"""A VM, as recorded and as its file in /etc/pve has it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cli.drift.comparing import Difference, compare, text
from cli.drift.kinds import ADDED_CARD, ADDED_DISK, ADDED_LIMIT, REFUSED
from cluster import further_devices
from cluster.further_devices import CARD, card_parts
from onnode.system.pve import gib, parse_guest_config, split_tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Values = dict[str, str]
Wanted = dict[str, str | None]
# What Proxmox VE takes where its file says nothing.
DEFAULTS = {"onboot": "0", "agent": "0", "firewall": "0", "template": "0"}
# Limits of a card: name in the file, and name among the resource's inputs.
LIMITS = {"tag": "vlanId", "link_down": "disconnected"}
LIMITS |= {key: name for key, (name, _) in further_devices.LIMITS.items()}


def differs(inputs: Mapping[str, Any], files: Mapping[str, str]) -> Difference | None:
    """The difference from the record; None when there is none."""
    vmid = int(inputs["vmId"])
    path = _path(inputs, files)
    if path is None:
        return Difference(f"VM {vmid} is not in /etc/pve")
    live = parse_guest_config(files[path]).values
    disks = inputs.get("disks") or []
    cloned = bool(inputs.get("clone"))  # its disks are the template's, and may have moved since
    grown = [] if cloned else [larger for disk in disks if (larger := _grown(disk, live))]
    if grown:
        return Difference(f"{path}: VM {vmid}: {'; '.join(grown)}", REFUSED, GROWN)
    found, wanted = _settings(inputs, live, cloned=cloned)
    for each_found, each_wanted in ((_cards(inputs, live)), *([] if cloned else [_disks(disks, live)])):
        found |= each_found
        wanted |= each_wanted
    return compare(path, f"VM {vmid}", found, wanted, DEFAULTS)


def is_the_recorded(entry: Mapping[str, Any], files: Mapping[str, str]) -> bool:
    """Whether the VM of that number has the name and the MAC addresses of the recorded one."""
    path = _path(entry["inputs"], files)
    live = parse_guest_config(files[path]).values if path is not None else {}
    cards = [
        *(entry["inputs"].get("networkDevices") or []),
        *((entry.get("outputs") or {}).get("networkDevices") or []),
    ]
    recorded = {str(card["macAddress"]).upper() for card in cards if card.get("macAddress")}
    there = {card_parts(value).get("mac") for key, value in live.items() if CARD.fullmatch(key)}
    return live.get("name") == entry["inputs"].get("name") and bool(recorded) and recorded <= there


GROWN = "a disk cannot be made smaller: put its size into the stack file (diskGib)"


def added(inputs: Mapping[str, Any], files: Mapping[str, str]) -> list[Difference]:
    """The network cards, disks and limits of cards that a user added; they stay. Disks of a clone are not compared."""
    path = _path(inputs, files)
    if path is None:
        return []
    live = parse_guest_config(files[path]).values
    cards = further_devices.cards(further_devices.given_cards(inputs), live)
    described = {str(disk["interface"]) for disk in inputs.get("disks") or []}
    disks = {} if inputs.get("clone") else further_devices.disks(described, live)
    return [
        Difference(f"{key} {value}", kind)
        for kind, devices in (
            (ADDED_CARD, cards),
            (ADDED_DISK, disks),
            (ADDED_LIMIT, further_devices.limits(inputs, live)),
        )
        for key, value in devices.items()
    ]


def _path(inputs: Mapping[str, Any], files: Mapping[str, str]) -> str | None:
    return next((path for path in files if path.endswith(f"/qemu-server/{int(inputs['vmId'])}.conf")), None)


def _settings(inputs: Mapping[str, Any], live: Values, *, cloned: bool) -> tuple[Values, Wanted]:
    cpu, memory = inputs.get("cpu") or {}, inputs.get("memory") or {}
    boot = inputs.get("bootOrders")
    ours = {str(tag).lower() for tag in inputs.get("tags") or []}  # further ones are the users'
    wanted: Wanted = {
        "name": text(inputs.get("name")),
        "cores": text(cpu.get("cores")),
        "cpu": text(cpu.get("type")),
        "memory": text(memory.get("dedicated")),
        "balloon": text(memory.get("floating")),
        "onboot": text(inputs.get("onBoot")),
        "scsihw": text(inputs.get("scsiHardware")),
        "ostype": text((inputs.get("operatingSystem") or {}).get("type")),
        "agent": text((inputs.get("agent") or {}).get("enabled")),
        "boot": f"order={';'.join(boot)}" if boot else None,
        "tags": _sorted(inputs.get("tags") or []) or None,
    }
    if cloned:  # the provider records its own defaults, and leaves what the template has
        wanted |= dict.fromkeys(("scsihw", "ostype", "boot", "balloon"))
    found = {
        **live,
        "cpu": _first(live.get("cpu", ""), "cputype"),
        "agent": _first(live.get("agent", "0"), "enabled"),
        "tags": _sorted(ours & set(split_tags(live.get("tags")))),
    }
    return found, wanted


def _cards(inputs: Mapping[str, Any], live: Values) -> tuple[Values, Wanted]:
    """Each network card's parts; a card that is not recorded shows as a difference of its bridge."""
    devices = inputs.get("networkDevices")
    found: Values = {}
    wanted: Wanted = {}
    if devices is None:
        return found, wanted
    users = further_devices.cards(further_devices.given_cards(inputs), live)
    for key, value in live.items():
        if CARD.fullmatch(key) and key not in users:
            found |= {f"{key} {name}": part for name, part in card_parts(value).items()}
    for number, device in enumerate(devices):
        mac = device.get("macAddress")
        mtu = device.get("mtu")
        wanted |= {
            f"net{number} {key}": _unless_none(device.get(given))
            for key, given in LIMITS.items()
            if key not in further_devices.LIMITS or device.get(given) is not None
        }
        wanted |= {
            f"net{number} bridge": text(device.get("bridge")),
            f"net{number} model": text(device.get("model")),
            f"net{number} mac": mac.upper() if mac else None,
            f"net{number} mtu": text(mtu) if mtu is not None else "",
            f"net{number} firewall": text(device.get("firewall")),
        }
        found.setdefault(f"net{number} firewall", "0")
    known = {f"net{number}" for number in range(len(devices))}
    for key in sorted({name.split()[0] for name in found} - known):
        wanted[f"{key} bridge"] = ""
    return found, wanted


def _unless_none(value: Any) -> str:  # noqa: ANN401 - JSON
    """A value as the files have it, which do not write zero and no."""
    found = text(value) or ""
    return "" if found == "0" else found


def _disks(disks: Iterable[Mapping[str, Any]], live: Values) -> tuple[Values, Wanted]:
    found: Values = {}
    wanted: Wanted = {}
    for disk in disks:
        interface, storage = str(disk["interface"]), disk.get("datastoreId")
        wanted[f"{interface} on"] = text(storage)
        if interface in live:
            found[f"{interface} on"] = live[interface].partition(":")[0]
    return found, wanted


def _grown(disk: Mapping[str, Any], live: Values) -> str:
    """How much larger a disk is than recorded; empty when it is not."""
    interface, size = str(disk["interface"]), disk.get("size")
    now = re.search(r"\bsize=([^,]+)", live.get(interface, ""))
    there = gib(now[1]) if now else None
    if size is None or there is None or there <= float(size):
        return ""
    return f"{interface} {there:g} GiB, not {float(size):g}"


def _first(value: str, name: str) -> str:
    """The value of a property string's first part, which may stand without its name."""
    return value.split(",", maxsplit=1)[0].removeprefix(f"{name}=")


def _sorted(tags: Iterable[str]) -> str:
    return ";".join(sorted(map(str.lower, tags)))
