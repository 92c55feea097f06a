"""An outer host's notes on the nodes installed there. Without its note, a node that is off would count as empty. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.drift.model import Drift
from cli.state import outer_vms
from cluster import libvirt
from onnode.host import install_node
from onnode.host.proxmox_ve import parse_vm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.drift.questions import Questions


def differ(asked: Questions, hosts: Mapping[str, Mapping[str, str]]) -> Iterator[Drift]:
    """The installed VMs without a note on their host; their step writes it again.

    Args:
        asked: what is recorded.
        hosts: the files of the outer hosts that answered.
    """
    for vm in (*asked.provided, *asked.domains):
        found = outer_vms.recorded_vm(vm)
        urn = asked.installations.get(vm.get("parent", "").rsplit("::", 1)[-1])
        if found is None or urn is None or found.host not in hosts:
            continue
        path = f"{install_node.RECORDS}/{urn.split('::')[0].removeprefix('urn:pulumi:')}/{found.vmid}.json"
        if what := _missing(path, found.vmid, hosts[found.host]):
            yield Drift(urn, found.host, what)


def _missing(path: str, vmid: int, files: Mapping[str, str]) -> str:
    identity = _identity(vmid, files)
    if identity is None:
        return ""  # without its VM there is nothing to remember
    if path not in files:
        return f"{path} is gone"
    try:
        record = json.loads(files[path])
        known = record["installed"], record["identity"]
    except (ValueError, KeyError, TypeError):
        return f"{path} is damaged"
    return "" if known == (True, identity) else f"{path} does not say that this VM {vmid} is installed"


def _identity(vmid: int, files: Mapping[str, str]) -> str | None:
    """What distinguishes the VM of that number from a later one; None if there is none."""
    config = next((text for name, text in files.items() if name.endswith(f"/qemu-server/{vmid}.conf")), None)
    return libvirt.identity(vmid, files) if config is None else parse_vm(config).identity
