"""libvirt-pool --remove: the stack's pool leaves libvirt, and its directory goes if this product made it and nothing else is in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.contract.libvirt import LibvirtPool
from onnode.host import libvirt_pool, virsh
from onnode.step import Action, Step
from onnode.system import claims, originals

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

COMMANDS = {"stop": "pool-destroy", "undefine": "pool-undefine"}  # whatever their names say, the files stay


@dataclass(frozen=True)
class Observed:
    """The pool and its directory."""

    pool: libvirt_pool.Observed = field(default_factory=libvirt_pool.Observed)
    made: bool = False  # the directory, by this product
    left: list[str] = field(default_factory=list)  # what else is in it


def observe(machine: ThisMachine, desired: LibvirtPool) -> Observed:
    """Look at libvirt's pools, and into the directory."""
    return Observed(
        libvirt_pool.observe(machine, desired),
        desired.directory in originals.load(machine)["directories"],
        [name for name in machine.names(desired.directory) if name != claims.NAME],
    )


def decide(observed: Observed, desired: LibvirtPool) -> list[Action]:
    """Remove what is marked as ours, the mark after the pool, and last the directory. The journal knows whether we made that."""
    pool, name = observed.pool, libvirt_pool.pool_name(desired.stack)
    marked = claims.owner(pool.mark) == desired.stack
    actions = []
    if marked and pool.own is not None and pool.own.path == desired.directory:
        actions += [Action("stop", name)] if pool.active else []
        actions.append(Action("undefine", name))
    actions += [Action("unmark", desired.directory)] if marked else []
    if observed.made and pool.directory and not observed.left and (marked or pool.mark is None):
        actions.append(Action("remove-directory", desired.directory))
    return actions


def act(machine: ThisMachine, desired: LibvirtPool, action: Action) -> None:
    """Tell libvirt, or remove the mark or the directory."""
    if action.do == "unmark":
        machine.remove(claims.of_directory(desired.directory))
    elif action.do == "remove-directory":
        machine.path(desired.directory).rmdir()
    else:
        virsh.virsh(machine, COMMANDS[action.do], action.what)


def facts(observed: Observed, desired: LibvirtPool) -> dict[str, Any]:
    """Which pool, and what stays of its directory."""
    return {"pool": libvirt_pool.pool_name(desired.stack), "left": observed.left}


def unchanged(observed: Observed, desired: LibvirtPool) -> str:
    """Say what was found."""
    if observed.left or observed.pool.directory:
        kept = f", and keeps {', '.join(observed.left)}" if observed.left else ""
        return f"{desired.directory} is no pool of this stack{kept}"
    return f"{desired.directory} is gone"


STEP = Step(LibvirtPool, observe, decide, act, facts, unchanged)
