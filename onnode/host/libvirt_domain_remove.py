"""libvirt-domain --remove: the VM of a nested node is gone, with its disk and with what is remembered of its installation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.contract.libvirt import LibvirtDomain
from onnode.host import install_node, libvirt_domain, libvirt_files, virsh
from onnode.host.libvirt import OFF, VM_S
from onnode.host.libvirt_files import Domain  # noqa: TC001 - the tests' cases are read by these types
from onnode.step import Action, Step
from onnode.system import claims

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

# Else libvirt keeps a domain of which it has saved memory, snapshots or variables of its firmware.
WITH_ALL = ("--managed-save", "--snapshots-metadata", "--checkpoints-metadata", "--nvram")


@dataclass(frozen=True)
class Observed:
    """The VM, others that have its name or its disk, and what belongs to it."""

    own: Domain | None = None
    runs: bool = False
    others: list[str] = field(default_factory=list)
    disks: list[str] = field(default_factory=list)  # that are marked as this stack's, or were its own
    marks: list[str] = field(default_factory=list)
    remembered: bool = False  # an installation


def observe(machine: ThisMachine, desired: LibvirtDomain) -> Observed:
    """Look at libvirt's domains, at the disk, and at what is remembered."""
    found = libvirt_files.domains(machine)
    own = libvirt_domain.marked(found, desired)
    path = libvirt_domain.disk(desired)
    mark = claims.of_file(path)
    marked = claims.claimed(machine, mark) == desired.stack
    # Whoever took over the disk keeps it.
    users = [one.name for one in found if one is not own and path in one.files]
    others = [one.name for one in found if one is not own and (one.name == desired.name or one.vmid == desired.vmid)]
    is_own = machine.exists(path) and not users and (marked or (own is not None and own.disk == path))
    return Observed(
        own,
        own is not None and virsh.virsh(machine, "domstate", own.name).strip() not in OFF,
        list(dict.fromkeys([*others, *users])),
        [path] if is_own else [],
        [mark] if marked else [],
        desired.vmid in install_node.recorded(machine, desired.stack),
    )


def decide(observed: Observed, desired: LibvirtDomain) -> list[Action]:
    """The VM first, then what it leaves; somebody else's VM of that name or number stays, and a disk without a mark."""
    # One that only runs is gone when it is off.
    own = [] if observed.own is None or observed.own.transient else [Action("undefine", observed.own.name)]
    return [
        *([Action("power-off", observed.own.name)] if observed.own is not None and observed.runs else []),
        *own,
        *(Action("delete", path) for path in (*observed.disks, *observed.marks)),
        *([Action("forget-installation", str(desired.vmid))] if observed.remembered else []),
    ]


def act(machine: ThisMachine, desired: LibvirtDomain, action: Action) -> None:
    """Remove one thing."""
    if action.do == "power-off":
        virsh.virsh(machine, "destroy", action.what, timeout_s=VM_S)
    elif action.do == "undefine":
        virsh.virsh(machine, "undefine", action.what, *WITH_ALL)
    elif action.do == "delete":
        machine.remove(action.what)
    else:
        install_node.forget(machine, desired.stack, desired.vmid)


def facts(observed: Observed, desired: LibvirtDomain) -> dict[str, Any]:
    """Which VM, and who has its name or number now."""
    return {"vmid": desired.vmid, "name": desired.name, "left": observed.others}


def unchanged(observed: Observed, desired: LibvirtDomain) -> str:
    """Say what was found."""
    if observed.others:
        return f"VM {', '.join(observed.others)} was not made by this stack, and stays"
    return f"VM {desired.vmid} ({desired.name}) is gone"


STEP = Step(
    LibvirtDomain,
    observe,
    decide,
    act,
    facts,
    unchanged,
    lock="shared",
    scope=lambda desired: f"vm-{desired.vmid}",
)
