"""What is on a machine that runs libvirt, from its own files, and what it is asked to do with a VM over SSH."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from cluster.marks import BRIDGE, VM, Thing
from onnode.host import libvirt_files
from onnode.system.pve import stack_tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DOMAINS = "etc/libvirt/qemu"
NETWORKS = "etc/libvirt/qemu/networks"
FILES = f"{DOMAINS}/*.xml {NETWORKS}/*.xml"
OFF = "shut off"
_VIRSH = "LC_ALL=C virsh --connect qemu:///system --quiet"
_FILE = re.compile(rf"{DOMAINS}/(?P<network>networks/)?(?P<name>[^/]+)\.xml")


def read(files: Mapping[str, str], node: str, stack: str) -> Iterator[Thing]:
    """The domains that have a number, which only this program gives them, and the networks' bridges; pure."""
    for path, text in files.items():
        if found := _FILE.fullmatch(path):
            yield from (_network if found["network"] else _domain)(text, found["name"], node, stack)


def _domain(text: str, name: str, node: str, stack: str) -> Iterator[Thing]:
    found = libvirt_files.parse_domain(text, name)
    if found.vmid is not None:
        shown = f"{VM} {found.vmid} (domain {found.name}) on {node}, of {_owner(found.stack)}"
        yield Thing(VM, f"{found.vmid}", node, _is(found.stack, stack), shown, called=found.name, domain=found.name)


def _network(text: str, name: str, node: str, stack: str) -> Iterator[Thing]:
    found = libvirt_files.parse_network(text, name)
    if found.bridge:
        shown = f"interface {found.bridge} of libvirt's network {found.name} on {node}, of {_owner(found.stack)}"
        yield Thing(BRIDGE, found.bridge, node, _is(found.stack, stack), shown)


def _owner(stack: str | None) -> str:
    return f"stack {stack}" if stack else "no stack"


def _is(owner: str | None, stack: str) -> bool:
    return bool(owner) and stack_tag(owner or "") == stack_tag(stack)


def identity(vmid: int, files: Mapping[str, str]) -> str | None:
    """What distinguishes the domain of that number from a later one, by files with their whole paths; None if there is none. Pure."""
    domains = (libvirt_files.parse_domain(text, "") for path, text in files.items() if path.startswith(f"/{DOMAINS}/"))
    return next((one.uuid for one in domains if one.vmid == vmid), None)


def status_command(domain: str) -> str:
    """The command that shows how a domain is; pure."""
    return f"{_VIRSH} domstate {shlex.quote(domain)}"


def is_off(text: str) -> bool:
    """Whether a domain has no power, from what that command printed; pure."""
    return text.strip() == OFF


def stop_command(domain: str) -> str:
    """The command that switches a domain off; pure."""
    return f"{_VIRSH} destroy {shlex.quote(domain)}"
