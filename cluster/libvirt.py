"""What is on a machine that runs libvirt, from its own files, and what it is asked to do with a VM over SSH."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from cluster.marks import BRIDGE, VM, Thing
from onnode.contract.libvirt import MARK
from onnode.system.pve import stack_tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DOMAINS = "etc/libvirt/qemu"
NETWORKS = "etc/libvirt/qemu/networks"
FILES = f"{DOMAINS}/*.xml {NETWORKS}/*.xml"
OFF = "shut off"
_VIRSH = "LC_ALL=C virsh --connect qemu:///system --quiet"
_FILE = re.compile(rf"{DOMAINS}/(?P<network>networks/)?[^/]+\.xml")


def read(files: Mapping[str, str], node: str, stack: str) -> Iterator[Thing]:
    """The domains that have a number, which only this program gives them, and the networks' bridges; pure."""
    for path, text in files.items():
        found = _FILE.fullmatch(path)
        if found is None:
            continue
        try:
            root = ET.fromstring(text)  # noqa: S314 - libvirt's own file, which only root can write
        except ET.ParseError:
            continue  # nothing of it is ours; the steps refuse to make another one of its name
        yield from _network(root, node, stack) if found["network"] else _domain(root, node, stack)


def _domain(root: ET.Element, node: str, stack: str) -> Iterator[Thing]:
    mark, name = root.find(f"metadata/{MARK}"), root.findtext("name", "?")
    if mark is None:
        return
    vmid, owner = mark.get("vmid", ""), mark.get("name", "")
    shown = f"{VM} {vmid} (domain {name}) on {node}, of stack {owner or 'unknown'}"
    yield Thing(VM, vmid, node, _is(owner, stack), shown, called=name, domain=name)


def _network(root: ET.Element, node: str, stack: str) -> Iterator[Thing]:
    bridge, mark = root.find("bridge"), root.find(f"metadata/{MARK}")
    if bridge is None:
        return
    owner = "" if mark is None else mark.get("name", "")
    name, of = bridge.get("name", ""), root.findtext("name", "?")
    shown = f"interface {name} of libvirt's network {of} on {node}, of {f'stack {owner}' if owner else 'nobody known'}"
    yield Thing(BRIDGE, name, node, _is(owner, stack), shown)


def _is(owner: str, stack: str) -> bool:
    return bool(owner) and stack_tag(owner) == stack_tag(stack)


def status_command(domain: str) -> str:
    """The command that shows how a domain is; pure."""
    return f"{_VIRSH} domstate {shlex.quote(domain)}"


def is_off(text: str) -> bool:
    """Whether a domain has no power, from what that command printed; pure."""
    return text.strip() == OFF


def stop_command(domain: str) -> str:
    """The command that switches a domain off; pure."""
    return f"{_VIRSH} destroy {shlex.quote(domain)}"
