"""What would stand in the way of a first `up`: outer hosts, addresses, and links between machines that exist. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.doctor.causes import names
from cli.doctor.model import Cause
from components.verified_host import INSTALLED_GIB

if TYPE_CHECKING:
    from cli.doctor.causes import Found, Symptoms
    from cli.doctor.model import World
    from onnode.contract.diagnosis import DiagnosisReport

MIB = 1024
WHOLE = ("lvm", "zfspool", "iscsi")  # give a disk its whole size at once, as they come


def refused_hosts(world: World, _found: Symptoms) -> list[Found]:
    """Outer hosts that the program's own check would refuse: virtualization, memory, what others have there."""
    return [
        (
            Cause(one.code, name, one.what, [name], f"{one.observed}; expected: {one.expected}", one.next),
            set(),
        )
        for name, one in world.seen.refusals.items()
        if one.code != "pve-version"  # of all machines alike
    ]


def small_hosts(world: World, _found: Symptoms) -> list[Found]:
    """Outer hosts without the processors that the stack file says, or the room for the disks of nodes that are to be made."""
    causes: list[Found] = []
    for name, need in world.expected.needs.items():
        report = world.seen.reports.get(name)
        if report is None:
            continue
        if report.cores < need.cores and "cores" not in report.unanswered:
            what = f"{name} has {report.cores} processor threads, the stack file gives its nodes {need.cores}"
            fix = f"correct cores of {name} under outerHosts in the stack file, and those of its nodes"
            causes.append((Cause("host-cores", name, what, [name], "counted in /proc/cpuinfo", fix), set()))
        causes += _room(world, name, report)
    return causes


def _room(world: World, name: str, report: DiagnosisReport) -> list[Found]:
    """Whether the disks of nodes that are to be made fit: whole, or as far as an installation fills them."""
    need = world.expected.needs[name]
    to_make = {node: size for node, size in need.disk_gib.items() if node not in (world.seen.made or frozenset())}
    if not to_make or not report.storages or need.storage is None:
        return []
    store = report.storages.get(need.storage)
    if store is None:
        what = f"{name} has no datastore {need.storage} for the disks of its nodes"
        fix = f"set diskStorage of {name} to one of {names(sorted(report.storages))}"
        return [(Cause("storage-missing", name, what, [name], "pvesm status", fix), set())]
    whole = store.type in WHOLE
    wanted = sum(size if whole else min(size, INSTALLED_GIB) for size in to_make.values())
    if store.free_mib >= wanted * MIB:
        return []
    what = f"{need.storage} of {name} has {store.free_mib // MIB} GiB left, and {names(to_make)} take at least {wanted} GiB"
    why = "it gives each disk its whole size at once" if whole else "so much an installation alone writes"
    fix = f"free some on {need.storage}, or lower diskGib of the nodes" if whole else f"free some on {need.storage}"
    return [(Cause("host-disk", name, what, [name], why, fix), set())]


def taken_addresses(world: World, _found: Symptoms) -> list[Found]:
    """Addresses of nodes that are to be made, at which somebody answers already."""
    causes: list[Found] = []
    for name, host in world.expected.housing.items():
        if world.is_to_answer(name) or name in world.nodes:
            continue
        silence = world.seen.silent.get(name)
        answers = silence is not None and silence.code in ("host-key-mismatch", "ssh-auth-failed")
        if not (answers or world.pinged(host, name, None)):
            continue
        cause = Cause(
            "address-taken",
            name,
            f"somebody answers at {world.address(name)}, which {name} is to have, and there is no VM of {name} yet",
            [host] if world.pinged(host, name, None) else [],
            "it answers over SSH" if answers else "it answers a ping",
            f"give {name} another address in the stack file, or take it from whoever has it",
        )
        # It is another machine: that it refuses the key means nothing.
        causes.append((cause, set()))
    return causes


def silent_links(world: World, _found: Symptoms) -> list[Found]:
    """Links that do not let a ping pass between machines that have their addresses, before there is a cluster."""
    if world.listed:
        return []
    causes: list[Found] = []
    numbers = sorted({link.number for member in world.expected.members for link in member.links})
    for number in numbers:
        up = [
            name
            for name, report in world.nodes.items()
            if world.link(name, number) in {address for card in report.cards if card.up for address in card.addresses}
        ]
        cut = [
            (near, far)
            for index, near in enumerate(up)
            for far in up[index + 1 :]
            if False in (world.pinged(near, far, number), world.pinged(far, near, number))
        ]
        if not cut:
            continue
        pairs = names([f"{near} and {far}" for near, far in cut])
        cause = Cause(
            "link-silent",
            "cluster",
            f"link {number} lets no ping pass between {pairs}",
            sorted({name for pair in cut for name in pair}),
            f"both have their addresses on it; a firewall that drops pings only does no harm: {world.make('up')} tries Corosync's own ports",
            f"check the switch, VLAN or bridge of link {number}",
        )
        causes.append((cause, set()))
    return causes
