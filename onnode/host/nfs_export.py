"""nfs-export: a directory of the outer host is exported to the storage network, for the nodes' shared storage."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.contract.host import NfsExport
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import originals, ours, systemd
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

SERVER = "nfs-server.service"
# Proxmox VE writes as root, and fencing relies on nothing being lost that was said to be written.
OPTIONS = "rw,sync,no_subtree_check,no_root_squash"


@dataclass(frozen=True)
class Observed:
    """The directory, the exports file of this stack, the server, and what it exports."""

    directory: bool = False
    file: str | None = None
    server: systemd.Unit = field(default_factory=systemd.Unit)
    exported: bool = False


def exports_file(stack: str) -> str:
    """Where a stack's exports are written."""
    return f"/etc/exports.d/nested-pve-ha-{stack}.exports"


def exports_text(desired: NfsExport) -> str:
    """The content of that file."""
    return f"# Made by nested-pve-ha for stack {desired.stack}.\n{desired.path} {desired.client_network}({OPTIONS})\n"


def as_left(text: str, stack: str) -> bool:
    """Whether a stack's exports file is as we write it: else it is foreign, or somebody changed it by hand."""
    found = re.search(r"^(\S+) (\S+)\(", text, re.MULTILINE)
    return found is not None and text == exports_text(NfsExport(stack, found[1], found[2]))


def parse_exported(text: str) -> list[tuple[str, str]]:
    """Read `exportfs -s`: directory and client of each export."""
    found = [re.match(r"(\S+)\s+([^\s(]+)\(", line) for line in text.splitlines()]
    return [(match[1], match[2]) for match in found if match]


def observe(machine: ThisMachine, desired: NfsExport) -> Observed:
    """Look at the directory, the file, and the server."""
    return Observed(
        machine.exists(desired.path),
        machine.read(exports_file(desired.stack)),
        systemd.unit(machine, SERVER),
        (desired.path, desired.client_network) in parse_exported(machine.run(["exportfs", "-s"]).out),
    )


def decide(observed: Observed, desired: NfsExport) -> list[Action]:
    """From the directory up to the running export.

    Raises:
        StepError: foreign-file.
    """
    ours.refuse_foreign(exports_file(desired.stack), observed.file, desired.stack)
    actions = []
    if not observed.directory:
        actions.append(Action("make-directory", desired.path))
    if observed.file != exports_text(desired):
        actions.append(Action("write", exports_file(desired.stack)))
    if not observed.server.running:
        actions.append(Action("start", SERVER))
    if actions or not observed.exported:
        actions.append(Action("export", f"{desired.path} to {desired.client_network}"))
    return actions


def act(machine: ThisMachine, desired: NfsExport, action: Action) -> None:
    """Make the directory, write the file, or reload the server."""
    if action.do == "make-directory":
        originals.remember_directory(machine, desired.path)
        machine.path(desired.path).mkdir(parents=True, exist_ok=True)
    elif action.do == "write":
        machine.write(exports_file(desired.stack), exports_text(desired))
    elif action.do == "start":
        systemd.systemctl(machine, "enable", "--now", SERVER)
    else:
        _export(machine)


def _export(machine: ThisMachine) -> None:
    result = machine.run(["exportfs", "-ra"])
    if result.code != 0:
        raise StepError("nfs-failed", "`exportfs -ra` failed", observed=tail(result.text), expected="exit 0")


def facts(_observed: Observed, desired: NfsExport) -> dict[str, Any]:
    """What is exported."""
    return {"export": desired.path, "client": desired.client_network}


def unchanged(_observed: Observed, desired: NfsExport) -> str:
    """Say what was found."""
    return f"{desired.path} is exported to {desired.client_network}"


def differs(observed: Observed, _desired: NfsExport, action: Action) -> str:
    """What the file says, or how the server is."""
    if action.do == "write":
        return f"it says {(observed.file or 'nothing').strip().splitlines()[-1]}"
    return f"it is {observed.server.active}, {observed.server.enabled or 'unknown'}" if action.do == "start" else ""


STEP = Step(NfsExport, observe, decide, act, facts, unchanged, differs=differs)
