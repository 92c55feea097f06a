"""libvirt-pool: the directory of the stack's images and disks is there, and a pool of libvirt.

A pool carries no mark. Its directory does, in a file. A directory that was there before is used as it is, and stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from onnode.contract.libvirt import LibvirtPool
from onnode.errors import StepError
from onnode.host import libvirt_files, virsh
from onnode.host.libvirt_files import POOLS, Pool
from onnode.step import Action, Step
from onnode.system import claims, originals, ours

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

MODE = 0o711  # libvirt's VMs pass through it to their disks; what it holds is for root to list


@dataclass(frozen=True)
class Observed:
    """The directory, and the pools that have its name or its place."""

    directory: bool = False
    mark: str | None = None  # the text of the file in it
    own: Pool | None = None  # of our name
    other: Pool | None = None  # of another name, in that directory
    active: bool = False
    autostart: bool = False


def pool_name(stack: str) -> str:
    """The name of a stack's pool."""
    return f"nested-pve-ha-{stack}"


def observe(machine: ThisMachine, desired: LibvirtPool) -> Observed:
    """Look at the directory, and at libvirt's pools."""
    name, found = pool_name(desired.stack), libvirt_files.pools(machine)
    own = next((one for one in found if one.name == name), None)
    return Observed(
        machine.exists(desired.directory),
        machine.read(claims.of_directory(desired.directory)),
        own,
        next((one for one in found if one.name != name and one.path == desired.directory), None),
        own is not None and name in virsh.names(machine, "pool-list"),
        libvirt_files.starts_with_the_daemon(machine, POOLS, name),
    )


def decide(observed: Observed, desired: LibvirtPool) -> list[Action]:
    """From the directory up to the pool that is active.

    Raises:
        StepError: foreign-file, foreign-pool, libvirt-differs.
    """
    ours.refuse_foreign(claims.of_directory(desired.directory), observed.mark, desired.stack)
    _refuse_other(observed, desired)
    name, actions = pool_name(desired.stack), []
    if not observed.directory:
        actions.append(Action("make-directory", desired.directory))
    if observed.mark is None:
        actions.append(Action("mark", desired.directory))
    if observed.own is None:
        actions.append(Action("define", name))
    if not observed.active:
        actions.append(Action("start", name))
    if not observed.autostart:
        actions.append(Action("autostart", name))
    return actions


def _refuse_other(observed: Observed, desired: LibvirtPool) -> None:
    """A pool of our name is ours by the mark in its directory; there is no other pool in that."""
    name, own = pool_name(desired.stack), observed.own
    if own is not None and own.readable and own.path != desired.directory:
        raise StepError(
            "libvirt-differs",
            f"the pool {name} is in another directory",
            observed=f"{name} is in {own.path or 'no directory'}",
            expected=desired.directory,
            fix=f"put the directory back into the configuration: the disks of the nodes are in {own.path or 'the other one'}",
        )
    unmarked = own if own is not None and (observed.mark is None or not own.readable) else None
    if (found := observed.other or unmarked) is not None:
        raise StepError(
            "foreign-pool",
            f"the pool {found.name} exists, and this stack did not make it",
            observed=f"{found.name} is in {found.path or 'an unknown directory'}{', without a mark' if found is unmarked else ''}",
            expected=f"in {desired.directory} no pool but {name}, and its mark in {claims.of_directory(desired.directory)}",
        )


def act(machine: ThisMachine, desired: LibvirtPool, action: Action) -> None:
    """Make the directory, mark it, or tell libvirt of it."""
    name = pool_name(desired.stack)
    if action.do == "make-directory":
        place = PurePosixPath(desired.directory)
        for one in [*reversed(place.parents), place]:  # each before it is made: the journal takes all of them back
            if not machine.exists(str(one)):
                originals.remember_directory(machine, str(one))
        machine.path(desired.directory).mkdir(mode=MODE, parents=True, exist_ok=True)
    elif action.do == "mark":
        claims.claim(machine, claims.of_directory(desired.directory), desired.stack)
    elif action.do == "define":
        virsh.virsh(machine, "pool-define-as", name, "dir", "--target", desired.directory)
    else:
        virsh.virsh(machine, f"pool-{action.do}", name)


def facts(_observed: Observed, desired: LibvirtPool) -> dict[str, Any]:
    """Which pool."""
    return {"pool": pool_name(desired.stack), "directory": desired.directory}


def unchanged(_observed: Observed, desired: LibvirtPool) -> str:
    """Say what was found."""
    return f"the pool {pool_name(desired.stack)} is active in {desired.directory}"


def differs(_observed: Observed, desired: LibvirtPool, action: Action) -> str:
    """What is not there."""
    missing = {"mark": claims.of_directory(desired.directory), "define": f"{action.what}.xml in {POOLS}"}
    state = {"start": "it is not active", "autostart": "it would not start with the host"}
    return state.get(action.do) or f"there is no {missing.get(action.do, 'such directory')}"


STEP = Step(LibvirtPool, observe, decide, act, facts, unchanged, differs=differs)
