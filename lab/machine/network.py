"""Bridges, network namespaces and cables, through the `ip` program."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.programs import run_async
from lab.shape import ADMIN_ADDRESS, OFFICE, PREFIX, REPOSITORY_ADDRESS, ROUTER_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.shape import Nic


async def batch(lines: Iterable[str], namespace: str | None = None) -> None:
    """Run several `ip` commands in one process; the first failure ends it."""
    where = ["-netns", namespace] if namespace else []
    await run_async("ip", *where, "-batch", "-", stdin="\n".join(lines) + "\n")


async def make_bridges(names: Iterable[str]) -> None:
    """Set up the lab's own bridges and the administrator's, router's and repository's addresses."""
    lines = ["link set lo up"]
    for name in names:
        lines += [f"link add {name} type bridge forward_delay 0", f"link set {name} up"]
    lines += [
        f"address add {address}/{PREFIX} dev {OFFICE}"
        for address in (ADMIN_ADDRESS, ROUTER_ADDRESS, REPOSITORY_ADDRESS)
    ]
    await batch(lines)


async def make_namespace(name: str) -> None:
    """A fresh network namespace: one that lived through a reboot would still have the bridges of before."""
    await remove_namespace(name)
    await batch([f"netns add {name}"])
    await batch(["link set lo up"], name)


async def remove_namespace(name: str) -> None:
    """Remove a machine's namespace if there is one."""
    with suppress(LabError):
        await batch([f"netns del {name}"])


async def has_bridge(name: str, switch: str | None) -> bool:
    """Whether the bridge exists in the machine that owns it."""
    return await _exists(name, switch, "type", "bridge")


async def _exists(name: str, switch: str | None, *filters: str) -> bool:
    where = ["-netns", switch] if switch else []
    try:
        return bool(json.loads(await run_async("ip", *where, "-json", "link", "show", "dev", name, *filters) or "[]"))
    except LabError:
        return False


async def _keep_address(bridge: str, switch: str | None) -> None:
    """Fix a bridge's address, as udev does on a real host: else it changes with its ports, and neighbours lose it."""
    where = ["-netns", switch] if switch else []
    found = json.loads(await run_async("ip", *where, "-json", "link", "show", "dev", bridge))
    await batch([f"link set {bridge} address {found[0]['address']}"], switch)


async def plug(nic: Nic, machine: str, *, connected: bool) -> None:
    """Connect a machine's card to its bridge; a cut cable stays cut."""
    await unplug(nic)
    await _keep_address(nic.bridge, nic.switch)
    outer = f"netns {nic.switch}" if nic.switch else ""
    await batch([f"link add {nic.port} {outer} type veth peer name {nic.name} netns {machine} address {nic.mac}"])
    state = "up" if connected else "down"
    # A high address, as hypervisors give their taps, so that the bridge does not take it over.
    address = "fe" + nic.mac[2:]
    await batch([f"link set {nic.port} address {address} master {nic.bridge} {state}"], nic.switch)


async def unplug(nic: Nic) -> None:
    """Take the cable away, both ends at once, so that its names are free again."""
    with suppress(LabError):
        await batch([f"link del {nic.port}"], nic.switch)


async def set_cable(nic: Nic, *, connected: bool) -> None:
    """Cut or mend a cable: both ends lose or regain their carrier. A machine that found nothing to boot has none yet."""
    if await _exists(nic.port, nic.switch):
        await batch([f"link set {nic.port} {'up' if connected else 'down'}"], nic.switch)
