"""An outer host's notes on the nodes installed there. Without its note, a node that is off would count as empty. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.drift.model import Drift
from components.recorded import DOMAIN, VM_TYPE
from onnode.host import install_node
from onnode.host.libvirt_files import DOMAINS, as_marked, parse_domain
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
    yield from _on_libvirt(asked, hosts)
    for vm in asked.provided:
        urn = asked.installations.get(vm.get("parent", "").rsplit("::", 1)[-1])
        host = str((vm.get("inputs") or {}).get("nodeName"))
        if vm["type"] != VM_TYPE or urn is None or host not in hosts:
            continue
        vmid = int(vm["inputs"]["vmId"])
        files = hosts[host]
        config = next((text for name, text in files.items() if name.endswith(f"/qemu-server/{vmid}.conf")), None)
        identity = None if config is None else parse_vm(config).identity
        if what := _missing(_path(urn.split("::")[0].removeprefix("urn:pulumi:"), vmid), vmid, files, identity):
            yield Drift(urn, host, what)


def _on_libvirt(asked: Questions, hosts: Mapping[str, Mapping[str, str]]) -> Iterator[Drift]:
    """A domain is made by a step, which says what it is."""
    made = [json.loads(one.desired) for looks in asked.there.values() for one in looks if one.step == DOMAIN]
    for wanted in made:
        urn, files = asked.installations.get(wanted["name"]), hosts.get(wanted["host"])
        if urn is None or files is None:
            continue
        texts = {path.rpartition("/")[2]: text for path, text in files.items() if path.startswith(f"{DOMAINS}/")}
        domains = as_marked([parse_domain(text, name.removesuffix(".xml")) for name, text in texts.items()], [])
        mark = wanted["stack"], wanted["vmid"]
        identity = next((one.uuid for one in domains if (one.stack, one.vmid) == mark), None)
        if what := _missing(_path(*mark), wanted["vmid"], files, identity):
            yield Drift(urn, wanted["host"], what)


def _path(stack: str, vmid: int) -> str:
    return f"{install_node.RECORDS}/{stack}/{vmid}.json"


def _missing(path: str, vmid: int, files: Mapping[str, str], identity: str | None) -> str:
    if identity is None:
        return ""  # without its VM there is nothing to remember
    if path not in files:
        return f"{path} is gone"
    try:
        record = json.loads(files[path])
        known = record["installed"], record["identity"]
    except (ValueError, KeyError, TypeError):
        return f"{path} is damaged"
    installed = known == (True, identity)
    return "" if installed else f"{path} does not say that this VM {vmid} is installed"
