"""journal --restore: take this stack off the outer host; when it was the last one, put the originals back.

A file that was changed by somebody else since is left alone, and named. Killed half way, the next run goes on:
an entry leaves the journal only after what it remembers is back.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.contract.host import Dhcp, Journal
from onnode.host import dhcp, install_node, kind, kvm_nested, nfs_export
from onnode.host.hypervisor import RunningVm  # noqa: TC001 - the tests' cases are read by these types
from onnode.step import Action, Step
from onnode.system import originals, packages, systemd

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine


@dataclass(frozen=True)
class Observed:
    """What the journal records, and what still exists of it."""

    entered: bool = False
    others: list[str] = field(default_factory=list)
    services: list[str] = field(default_factory=list)  # bridges on which this stack serves DHCP
    exports: bool = False
    changed: list[str] = field(default_factory=list)  # files of this stack that somebody changed by hand
    images: list[int] = field(default_factory=list)  # vmids with an installation of this stack on record
    files: dict[str, bool] = field(default_factory=dict)  # path -> is it as we left it?
    packages: list[str] = field(default_factory=list)
    directories: dict[str, bool] = field(default_factory=dict)  # path -> are no files in it?
    modules: dict[str, str | None] = field(default_factory=dict)  # module -> its original parameter
    running: list[RunningVm] = field(default_factory=list)

    @property
    def journal(self) -> bool:
        """Whether the journal still remembers anything of the machine."""
        return bool(self.files or self.packages or self.directories or self.modules)


def observe(machine: ThisMachine, desired: Journal) -> Observed:
    """Compare the journal with the machine."""
    journal = originals.load(machine)
    configs = {
        bridge: found
        for bridge, found in dhcp.observe(machine, Dhcp(desired.stack, [])).instances.items()
        if dhcp.parse_stack(found.config) == desired.stack
    }
    exports = machine.read(nfs_export.exports_file(desired.stack))
    as_left = exports is not None and nfs_export.as_left(exports, desired.stack)
    changed = [f"{dhcp.DIRECTORY}/{bridge}.conf" for bridge, found in configs.items() if not dhcp.as_left(found.config)]
    return Observed(
        desired.stack in journal["stacks"],
        [stack for stack in journal["stacks"] if stack != desired.stack],
        [bridge for bridge, found in configs.items() if dhcp.as_left(found.config) or found.serves],
        as_left,
        [*changed, *([nfs_export.exports_file(desired.stack)] if exports is not None and not as_left else [])],
        install_node.recorded(machine, desired.stack),
        {path: originals.fingerprint(machine.read(path)) in entry["ours"] for path, entry in journal["files"].items()},
        journal["packages"],
        {path: not machine.holds_files(path) for path in journal["directories"]},
        journal["kvm"],
        kind.hypervisor(machine).running(),
    )


def decide(observed: Observed, desired: Journal) -> list[Action]:
    """First what is only this stack's, then the machine's originals, then the journal itself."""
    own = [Action("stop-dhcp", bridge) for bridge in observed.services]
    own += [Action("unexport", desired.stack)] if observed.exports else []
    own += [Action("forget-installation", str(vmid)) for vmid in observed.images]
    if own:
        return own
    if observed.others or not observed.journal:
        kept = [Action("keep-file", path) for path in observed.changed]
        return [*kept, Action("leave", desired.stack)] if observed.entered else []
    return [
        *([Action("remove-packages", " ".join(observed.packages))] if observed.packages else []),
        *(Action("restore-file" if ours else "keep-file", path) for path, ours in observed.files.items()),
        *(
            Action("remove-directory" if empty else "keep-directory", path)
            for path, empty in observed.directories.items()
        ),
        *(Action("keep-module" if observed.running else "restore-module", module) for module in observed.modules),
    ]


def act(machine: ThisMachine, desired: Journal, action: Action) -> None:
    """Undo one thing, then let the journal forget it."""
    if action.do == "stop-dhcp":
        dhcp.remove(machine, action.what)
    elif action.do == "unexport":
        machine.remove(nfs_export.exports_file(desired.stack))
        machine.run(["exportfs", "-ra"])
    elif action.do == "forget-installation":
        install_node.forget(machine, desired.stack, int(action.what))
    else:
        _restore(machine, action)


def _restore(machine: ThisMachine, action: Action) -> None:
    journal = originals.load(machine)
    if action.do == "leave":
        del journal["stacks"][action.what]
    elif action.do == "remove-packages":
        _remove_packages(machine, action.what.split())
        journal["packages"] = []
    elif action.do.endswith("-file"):
        entry = journal["files"].pop(action.what, None)
        if action.do == "restore-file" and entry is not None:
            _put_back(machine, action.what, entry["original"])
    elif action.do.endswith("-directory"):
        journal["directories"].remove(action.what)
        if action.do == "remove-directory":
            machine.remove_empty(action.what)
    else:
        value = journal["kvm"].pop(action.what)
        if action.do == "restore-module":
            _reload(machine, action.what, value)
    _save(machine, journal)


def _save(machine: ThisMachine, journal: dict[str, Any]) -> None:
    if any(journal.values()):
        originals.save(machine, journal)
    else:
        _clean(machine)


def _clean(machine: ThisMachine) -> None:
    """Remove what this product wrote for itself, the step that runs included: all of it is loaded already."""
    for directory in (dhcp.DIRECTORY, posixpath.dirname(dhcp.DIRECTORY)):
        machine.remove_empty(directory)
    machine.remove_tree(posixpath.dirname(originals.PATH))


def _put_back(machine: ThisMachine, path: str, original: str | None) -> None:
    if original is None:
        machine.remove(path)
    else:
        machine.write(path, original)
    if path == dhcp.UNIT_FILE:
        systemd.systemctl(machine, "daemon-reload")


def _remove_packages(machine: ThisMachine, names: list[str]) -> None:
    """Remove what was installed for this product, unless something else has come to need it."""
    there = packages.installed(machine, *names)
    if not there:
        return
    if held := kind.hypervisor(machine).holdings(there):
        machine.note(f"kept {' '.join(there)}: {', '.join(held)} would be lost with it")
        return
    planned = packages.parse_removed(packages.apt(machine, "-s", "purge", *there))
    if foreign := sorted(set(planned) - set(names)):
        machine.note(f"kept {' '.join(there)}: {' '.join(foreign)} would be removed with it")
    else:
        packages.apt(machine, "purge", *there)


def _reload(machine: ThisMachine, module: str, value: str | None) -> None:
    """Let the module have its old parameter again; in use by something else, it gets it at the next boot."""
    if machine.run(["modprobe", "-r", module], timeout_s=kvm_nested.RELOAD_S).code == 0 and value is not None:
        machine.check(["modprobe", module, f"nested={value}"], timeout_s=kvm_nested.RELOAD_S)


def facts(observed: Observed, _desired: Journal) -> dict[str, Any]:
    """Who still uses the machine."""
    return {"other_stacks": observed.others}


def unchanged(_observed: Observed, desired: Journal) -> str:
    """Say what was found."""
    return f"nothing of stack {desired.stack} is left on this machine"


STEP = Step(Journal, observe, decide, act, facts, unchanged)
