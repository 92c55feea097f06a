"""Network devices of guests."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from pvelab import propstring
from pvelab.paths import path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MODELS = frozenset(
    (
        "e1000",
        "e1000-82540em",
        "e1000-82544gc",
        "e1000-82545em",
        "e1000e",
        "i82551",
        "i82557b",
        "i82559er",
        "ne2k_isa",
        "ne2k_pci",
        "pcnet",
        "rtl8139",
        "virtio",
        "vmxnet3",
    )
)
# The prefix that Proxmox owns.
PREFIX = "BC:24:11"


def random_mac() -> str:
    """A fresh address below Proxmox's prefix."""
    return ":".join([PREFIX, *(f"{random.randrange(256):02X}" for _ in range(3))])  # noqa: S311 - no secret


def normalize_machine(value: str, *, fresh_mac: bool = False) -> str:
    """A virtual machine's device as Proxmox writes it: "virtio=MAC,bridge=vmbr0,…", with a MAC in any case."""
    properties = propstring.parse(value, "model")
    model = next((key for key in properties if key in MODELS), None)
    mac = properties.pop(model, None) if model else None
    model = model or properties.get("model", "virtio")
    mac = mac or properties.get("macaddr")
    rest = {key: text for key, text in properties.items() if key not in ("model", "macaddr")}
    address = random_mac() if fresh_mac or not mac or mac == model else mac.upper()
    return propstring.render({"": f"{model}={address}", **rest}, "")


def _normalize_container(value: str) -> str:
    """A container's device as Proxmox writes it."""
    properties = propstring.parse(value, "name")
    name = properties.pop("name")
    properties["hwaddr"] = properties.get("hwaddr", random_mac()).upper()
    properties.setdefault("type", "veth")
    return propstring.render({"": f"name={name}", **properties}, "")


def normalize(kind: str, value: str) -> str:
    """A device of a guest as Proxmox writes it."""
    return {"qemu": normalize_machine, "lxc": _normalize_container}[kind](value)


def missing_bridges(options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The devices that are plugged into a bridge the kernel does not have, each with that bridge."""
    for key, value in sorted(options.items()):
        if key.startswith("net") and key[3:].isdigit():
            bridge = propstring.parse(value, "model").get("bridge")
            if bridge and not path(f"/sys/class/net/{bridge}").exists():
                yield key, bridge
