"""libvirt-domain: the VM of a nested node is defined with its disk, and starts with the host. It is never started here.

The disk is marked before it is made, and a VM carries its mark from its first moment on: a run that is killed in between knows them
again. What differs is changed in the definition; a VM that runs has it when it is next started.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode.contract.libvirt import LibvirtDomain
from onnode.errors import StepError
from onnode.host import demands, libvirt, libvirt_files, libvirt_pool, libvirt_xml, virsh
from onnode.host.libvirt_files import DOMAINS, HOST, Card, Domain, Hardware
from onnode.step import Action, Step
from onnode.system import claims, ours, processor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from onnode.system.machine import ThisMachine

GIB = 1 << 30


@dataclass(frozen=True)
class Observed:
    """The VM, whoever else is in its way, and its disk.

    Attributes:
        own: the VM.
        text: its definition, or what it would have as one.
        other: a VM that has its number or its name.
        user: a VM that has its disk.
        listed: libvirt has a VM of that name without a file, which ends when it is powered off.
        live: what it has while it runs.
        disk_gib: the size of its disk; None where there is none.
        claimed: the stack whose mark the disk has.
        nesting: how the host's processor calls virtualization, where it offers that to VMs.
    """

    own: Domain | None = None
    text: str = ""
    other: Domain | None = None
    user: Domain | None = None
    listed: bool = False
    live: Hardware | None = None
    autostart: bool = False
    disk_gib: float | None = None
    claimed: str | None = None
    nesting: str = ""


def disk_path(directory: str, stack: str, vmid: int) -> str:
    """Where the disk of a VM is."""
    return f"{directory}/{libvirt_files.disk_name(stack, vmid)}"


def disk(desired: LibvirtDomain) -> str:
    """Where its disk is."""
    return disk_path(desired.directory, desired.stack, desired.vmid)


def marked(found: Iterable[Domain], desired: LibvirtDomain) -> Domain | None:
    """The domain with the mark, and with the disk or the name as well: a clone of it has neither."""
    return next(
        (
            one
            for one in found
            if (one.stack, one.vmid) == (desired.stack, desired.vmid)
            and (one.disk == disk(desired) or one.name == desired.name)
        ),
        None,
    )


def observe(machine: ThisMachine, desired: LibvirtDomain) -> Observed:
    """Look at libvirt's domains, at the disk, and at the processor."""
    found = libvirt_files.domains(machine)
    own = marked(found, desired)
    rivals = [one for one in found if one is not own and (one.vmid == desired.vmid or one.name == desired.name)]
    path = machine.path(disk(desired))
    listed = virsh.names(machine, "list", "--all")
    return Observed(
        own,
        _text(machine, own) if own else "",
        rivals[0] if rivals else None,
        next((one for one in found if one is not own and disk(desired) in one.files), None),
        desired.name in listed and desired.name not in {one.name for one in found},
        _live(machine, own) if own else None,
        own is not None and libvirt_files.starts_with_the_daemon(machine, DOMAINS, own.name),
        path.stat().st_size / GIB if path.is_file() else None,
        claims.claimed(machine, claims.of_file(disk(desired))),
        processor.nesting(machine),
    )


def _text(machine: ThisMachine, own: Domain) -> str:
    if own.transient:
        return virsh.virsh(machine, "dumpxml", own.name, "--inactive")
    return machine.read(f"{DOMAINS}/{own.name}.xml") or ""


def _live(machine: ThisMachine, own: Domain) -> Hardware | None:
    if own.name not in virsh.names(machine, "list"):
        return None
    return libvirt_files.parse_domain(virsh.virsh(machine, "dumpxml", own.name), own.name).hardware


def wanted(observed: Observed, desired: LibvirtDomain) -> Hardware:
    """What it is to have. A model is demanded with virtualization: without that word no model has it."""
    nesting = "" if desired.cpu == HOST else observed.nesting
    cards = [Card(card.mac.lower(), card.bridge, card.mtu) for card in desired.cards]
    return Hardware(desired.cores, desired.memory_mib, desired.cpu, nesting, cards)


def decide(observed: Observed, desired: LibvirtDomain) -> list[Action]:
    """The disk first, then the VM.

    Raises:
        StepError: foreign-vmid, foreign-domain, foreign-file, libvirt-differs, disk-missing.
    """
    _refuse_foreign(observed, desired)
    if observed.user is not None:
        raise _disk_in_use(observed.user, desired)
    if observed.own is not None:
        _refuse_different(observed, observed.own, desired)
    return [*_disk(observed, desired), *_definition(observed, desired)]


def _refuse_foreign(observed: Observed, desired: LibvirtDomain) -> None:
    other = observed.other
    if other is not None and (other.stack, other.vmid) == (desired.stack, desired.vmid):
        raise _copy(other, desired)
    if other is not None and other.vmid == desired.vmid:
        raise demands.foreign_vmid(desired.vmid, libvirt.as_vm(other))
    if other is not None and other.stack == desired.stack:
        raise _different(f"VM {other.name} has another number", str(other.vmid), str(desired.vmid))
    if other is not None or observed.listed:
        raise foreign_domain(desired.name, other)
    is_ours = desired.stack in (observed.claimed, observed.own.stack if observed.own else None)
    if observed.disk_gib is not None and not is_ours:
        mark = claims.of_file(disk(desired))
        raise ours.foreign(disk(desired), f"it is not marked as this stack's in {mark}", "no such file")


def foreign_domain(name: str, other: Domain | None) -> StepError:
    """The refusal to touch a VM that this stack did not make."""
    if other is None or other.transient:
        seen = f"{name} runs, and is defined nowhere"
    elif not other.readable:
        seen = f"{DOMAINS}/{name}.xml cannot be read"
    else:
        seen = f"{name}, uuid {other.uuid}, {f'of stack {other.stack}' if other.stack else 'without a mark of a stack'}"
    return StepError(
        "foreign-domain",
        f"the name {name} belongs to a VM that this stack did not make",
        observed=seen,
        expected=f"no VM {name}, or one with the mark of this stack",
    )


def _copy(other: Domain, desired: LibvirtDomain) -> StepError:
    """What is left of the node may be in it: nobody but its owner knows."""
    return StepError(
        "libvirt-differs",
        f"a VM with another name and another disk has the mark of {desired.name}, as a clone of it has",
        observed=f"VM {other.name}, its disk {other.disk or 'none'}",
        expected=f"the mark of VM {desired.vmid} at {desired.name}, with {disk(desired)}",
        fix=(
            f"where {other.name} is a VM of its own, take the mark out of it: "
            f"`virsh metadata {shlex.quote(other.name)} --uri {libvirt_files.NAMESPACE} --remove --config`; then run the same command again"
        ),
    )


def _disk_in_use(user: Domain, desired: LibvirtDomain) -> StepError:
    """Two VMs that write to one disk destroy what is on it."""
    return StepError(
        "libvirt-differs",
        f"the disk of {desired.name} is in another VM",
        observed=f"VM {user.name} has {disk(desired)}",
        expected="no VM but the node's own, which has the mark of this stack",
        fix=f"take the disk out of {user.name} (`virsh detach-disk`, `virsh edit`); then run the same command again",
    )


def _refuse_different(observed: Observed, own: Domain, desired: LibvirtDomain) -> None:
    if own.name != desired.name:
        fix = f"power it off, `virsh domrename {shlex.quote(own.name)} {desired.name}`; then run the same command again"
        raise _different(f"VM {desired.vmid} has another name", own.name, desired.name, fix)
    if own.disk != disk(desired):
        fix = (
            f"put the directory back into the configuration; if it is a snapshot's file: `virsh blockcommit {own.name} DISK --active "
            "--pivot` while the VM runs; then run the same command again"
        )
        raise _different(f"the disk of {own.name} is elsewhere", own.disk or "no disk", disk(desired), fix)
    if observed.disk_gib is None:
        raise StepError(
            "disk-missing",
            f"the disk of {own.name} is gone",
            observed=f"no file {own.disk}",
            expected="the disk that the node was installed on",
        )


def _different(what: str, observed: str, expected: str, fix: str = "") -> StepError:
    return StepError("libvirt-differs", what, observed=observed, expected=expected, fix=fix)


def _disk(observed: Observed, desired: LibvirtDomain) -> list[Action]:
    """One that this stack left without a VM is used again: it may hold a node whose VM somebody undefined."""
    path, size = disk(desired), f"{desired.disk_gib} GiB"
    if observed.disk_gib is None:
        mark = [] if observed.claimed == desired.stack else [Action("mark", path)]
        return [*mark, Action("make-disk", size)]
    if observed.disk_gib > desired.disk_gib:
        raise _different(f"the disk of {desired.name} would have to shrink", f"{observed.disk_gib:g} GiB", size)
    return [Action("grow", size)] if observed.disk_gib < desired.disk_gib else []


def _definition(observed: Observed, desired: LibvirtDomain) -> list[Action]:
    target = wanted(observed, desired)
    if observed.own is None:
        text = libvirt_xml.domain(desired, target, disk(desired))
        return [Action("define", desired.name, text), Action("autostart", desired.name)]
    if observed.own.transient:  # somebody undefined it while it runs
        text = libvirt_xml.changed(observed.text, target)
        return [Action("define", desired.name, text), Action("autostart", desired.name)]
    changes = ", ".join(_changes(observed.own.hardware, target))
    redefine = [Action("redefine", changes, libvirt_xml.changed(observed.text, target))] if changes else []
    return redefine if observed.autostart else [*redefine, Action("autostart", desired.name)]


def _changes(found: Hardware, target: Hardware) -> Iterator[str]:
    """What differs, each as what it is to be."""
    if found.cores != target.cores:
        yield f"{target.cores} cores"
    if found.memory_mib != target.memory_mib:
        yield f"{target.memory_mib} MiB"
    if (found.cpu, found.nesting) != (target.cpu, target.nesting) and not _is_host(found, target):
        yield f"cpu {' with '.join(filter(None, (target.cpu, target.nesting)))}"
    if {card.mac: card for card in found.cards} != {card.mac: card for card in target.cards}:
        yield f"cards {', '.join(f'{card.mac} in {card.bridge}' for card in target.cards) or 'none'}"


def _is_host(found: Hardware, target: Hardware) -> bool:
    """Whether both pass the host's processor through: that has all flags, and what users add to it stays."""
    return found.cpu == target.cpu == HOST


def act(machine: ThisMachine, desired: LibvirtDomain, action: Action) -> None:
    """Make or change the disk, or tell libvirt of the VM."""
    if action.do == "mark":
        claims.claim(machine, claims.of_file(action.what), desired.stack)
    elif action.do == "make-disk":
        _make_disk(machine, desired)
    elif action.do == "grow":
        _grow(machine, desired)
    elif action.do == "autostart":
        virsh.virsh(machine, "autostart", desired.name)
    else:
        virsh.virsh(machine, "define", virsh.STDIN, stdin=action.text)
        if action.do == "redefine":
            machine.note(f"{desired.name} has it when it is next powered off and started")


def _make_disk(machine: ThisMachine, desired: LibvirtDomain) -> None:
    """As large as described, and empty: it takes up what the node writes."""
    pool, name = libvirt_pool.pool_name(desired.stack), disk(desired).rpartition("/")[2]
    size = f"{desired.disk_gib}GiB"
    _in_pool(machine, desired, "vol-create-as", pool, name, size, "--allocation", "0", "--format", "raw")


def _grow(machine: ThisMachine, desired: LibvirtDomain) -> None:
    """Of a VM that runs, the disk is QEMU's to change."""
    size = f"{desired.disk_gib}GiB"
    if desired.name in virsh.names(machine, "list"):
        virsh.virsh(machine, "blockresize", desired.name, disk(desired), size)
    else:
        _in_pool(machine, desired, "vol-resize", disk(desired), size)


def _in_pool(machine: ThisMachine, desired: LibvirtDomain, *command: str) -> None:
    """Ask for a disk in the pool, of which libvirt knows what it saw last.

    It is made to look again only where that was not enough: it refuses to while the disk of another node is being made there.
    """
    try:
        virsh.virsh(machine, *command)
    except StepError as error:
        if error.code != "command-failed":
            raise
        virsh.virsh(machine, "pool-refresh", libvirt_pool.pool_name(desired.stack))
        virsh.virsh(machine, *command)


def facts(observed: Observed, desired: LibvirtDomain) -> dict[str, Any]:
    """Which VM, and what it has only when it is next started."""
    pending = [] if observed.live is None else list(_changes(observed.live, wanted(observed, desired)))
    return {"vmid": desired.vmid, "name": desired.name, "at_next_start": pending}


def unchanged(_observed: Observed, desired: LibvirtDomain) -> str:
    """Say what was found."""
    return f"VM {desired.vmid} ({desired.name}) is defined as described"


def differs(observed: Observed, _desired: LibvirtDomain, action: Action) -> str:
    """What is there instead."""
    own = observed.own
    if action.do == "redefine" and own is not None:
        found = own.hardware
        cards = ", ".join(f"{card.mac} in {card.bridge}" for card in found.cards) or "none"
        return f"it has {found.cores} cores, {found.memory_mib} MiB, cpu {found.cpu or 'of no kind'}, cards {cards}"
    if action.do == "grow" and observed.disk_gib is not None:
        return f"it has {observed.disk_gib:g} GiB"
    return "it would not start with the host" if action.do == "autostart" else ""


STEP = Step(
    LibvirtDomain,
    observe,
    decide,
    act,
    facts,
    unchanged,
    lock="shared",  # other nodes are being installed meanwhile
    scope=lambda desired: f"vm-{desired.vmid}",
    differs=differs,
)
