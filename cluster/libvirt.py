"""What is on a machine that runs libvirt, from its own files, and what it is asked to do with a VM over SSH."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from cluster.marks import BRIDGE, DISK, VM, Thing
from onnode.host import libvirt_files
from onnode.system import claims
from onnode.system.pve import stack_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DOMAINS = "etc/libvirt/qemu"
NETWORKS = "etc/libvirt/qemu/networks"
LIVE = "run/libvirt/qemu"
FILES = f"{DOMAINS}/*.xml {NETWORKS}/*.xml {LIVE}/*.xml"
OFF = "shut off"
_VIRSH = "LC_ALL=C virsh --connect qemu:///system --quiet"
_FILE = re.compile(rf"(?P<directory>{DOMAINS}|{NETWORKS}|{LIVE})/(?P<name>[^/]+)\.xml")


def read(files: Mapping[str, str], node: str, stack: str) -> Iterator[Thing]:
    """The domains that have a number, which only this program gives them, and the networks' bridges; pure."""
    matches = [
        (found["directory"], found["name"], text) for path, text in files.items() if (found := _FILE.fullmatch(path))
    ]
    defined, running = (
        [libvirt_files.parse_domain(text, name) for directory, name, text in matches if directory == wanted]
        for wanted in (DOMAINS, LIVE)
    )
    for one in libvirt_files.as_marked(defined, running):
        yield from _domain(one, node, stack)
    for directory, name, text in matches:
        if directory == NETWORKS:
            yield from _network(text, name, node, stack)


def disks(names: Iterable[str], node: str, stack: str) -> Iterator[Thing]:
    """The disks of VMs among the names in the stack's directory, each with the mark beside it; pure."""
    there = set(names)
    own = re.compile(rf"{re.escape(stack)}-(\d+)\.raw")
    for name in sorted(there):
        if (found := own.fullmatch(name)) and claims.of_file(name).rpartition("/")[2] in there:
            yield Thing(DISK, found[1], node, ours=True, shown=f"disk {name} on {node}")


def _domain(found: libvirt_files.Domain, node: str, stack: str) -> Iterator[Thing]:
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


def status_command(domain: str) -> str:
    """The command that shows how a domain is; pure."""
    return f"{_VIRSH} domstate {shlex.quote(domain)}"


def is_off(text: str) -> bool:
    """Whether a domain has no power, from what that command printed; pure."""
    return text.strip() == OFF


def stop_command(domain: str) -> str:
    """The command that switches a domain off; pure."""
    return f"{_VIRSH} destroy {shlex.quote(domain)}"
