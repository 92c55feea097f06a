"""What a machine needs before any part of a cluster can work on it: room, the right time, its own name. Pure."""

from __future__ import annotations

import ipaddress
import statistics
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cli.doctor.causes import names
from cli.doctor.model import Cause
from cli.doctor.symptoms import of_node, of_pmxcfs
from cluster.formation import CLOCK_SKEW_MAX_S

if TYPE_CHECKING:
    from cli.doctor.causes import Found, Symptoms
    from cli.doctor.model import Symptom, World
    from onnode.contract.diagnosis import DiagnosisReport, Space

FREE_MIN_MIB = 100
# Of what a file system has; beyond a GiB, a share says nothing: one percent of 4 TB is much.
FREE_MIN_SHARE, SHARE_UP_TO_MIB = 0.01, 1024
INODES_MIN = 1000
DATABASE = "/var/lib/pve-cluster"


def not_proxmox(world: World, _found: Symptoms) -> list[Found]:
    """Machines without Proxmox VE, or with another major version than described."""
    causes: list[Found] = []
    for name, report in world.seen.reports.items():
        known = report.version.split(".")[0] == str(world.expected.pve_major) or "version" in report.unanswered
        if known or name in world.expected.of_libvirt:
            continue
        what = f"runs Proxmox VE {report.version}" if report.version else "does not run Proxmox VE"
        cause = Cause(
            "pve-version" if report.version else "not-proxmox",
            name,
            f"{name} {what}, and the stack file has {world.expected.pve_major}.x",
            [name],
            "the package pve-manager",
            "upgrade it, or set pveMajor in the stack file" if report.version else "install Proxmox VE on it",
        )
        causes.append((cause, set()))
    return causes


def no_room(world: World, found: Symptoms) -> list[Found]:
    """File systems without room; pmxcfs stops when its database has none."""
    causes: list[Found] = []
    for name, report in world.seen.reports.items():
        full = [space for space in report.spaces if is_full(space)]
        if not full:
            continue
        shown = ", ".join(f"{space.path} ({_left(space)})" for space in full)
        holds = _holder(report.spaces) in full
        cause = Cause(
            "disk-full",
            name,
            f"no room is left on {shown}",
            [name],
            "pmxcfs writes every change into its database there; without room it stops, and its services with it"
            if holds
            else f"what is written there is lost; {DATABASE} is on another file system, which has room",
            world.on(name, f"du -xhd2 {full[0].path}")
            + " shows what is large; free some"
            + (", then `systemctl restart pve-cluster` there" if holds else ""),
        )
        causes.append((cause, of_pmxcfs(dict(found), name) if holds and _has_stopped(found, name) else set()))
    return causes


def _holder(spaces: list[Space]) -> Space | None:
    """The file system that has the database of pmxcfs: the one that is mounted closest above it."""
    return max((space for space in spaces if _is_above(space.path)), key=lambda space: len(space.path), default=None)


def _is_above(path: str) -> bool:
    return PurePosixPath(DATABASE).is_relative_to(path)


def read_only(world: World, found: Symptoms) -> list[Found]:
    """File systems that the kernel, or somebody, made read-only: after an error of the disk, it does so by itself."""
    causes: list[Found] = []
    for name, report in world.seen.reports.items():
        if not report.read_only:
            continue
        cause = Cause(
            "file-system-read-only",
            name,
            f"{names(report.read_only)} of {name} takes no writes",
            [name],
            "the kernel makes a file system read-only when its disk fails; pmxcfs and corosync cannot keep their state then",
            world.on(name, "journalctl -k -b -p warning -n 50 --no-pager")
            + " shows why; save what is on it, check or replace the disk, then reboot",
        )
        causes.append((cause, _of_read_only(found, name) if any(map(_is_above, report.read_only)) else set()))
    return causes


def _of_read_only(found: Symptoms, name: str) -> set[Symptom]:
    if ("corosync", name) in found:
        return of_node(dict(found), name)
    return of_pmxcfs(dict(found), name) if _has_stopped(found, name) else set()


def _has_stopped(found: Symptoms, name: str) -> bool:
    """Whether pmxcfs of a node does not work."""
    return ("pve", name) in found or ("service", name, "pve-cluster") in found


def unanswered(world: World, found: Symptoms) -> list[Found]:
    """Questions that nothing explains: what they are about is not known, and so not well."""
    causes: list[Found] = []
    for name in world.seen.reports:
        left = [one for one in found if one[:2] == ("unanswered", name)]
        if not left:
            continue
        cause = Cause(
            "question-unanswered",
            name,
            f"{name} gave no answer about {names([one[2] for one in left])}",
            [name],
            "its programs failed, or did not end within seconds: what they would have shown is not known"
            + (
                "; a storage whose server does not answer holds up the list of all"
                if ("unanswered", name, "storages") in left
                else ""
            ),
            world.on(name, "uptime && journalctl -b -p warning -n 50 --no-pager")
            + f"; then {world.make('doctor')} again",
        )
        causes.append((cause, left))
    return causes


def is_full(space: Space) -> bool:
    """Whether nothing of any size can be written any more."""
    few = space.free_mib < FREE_MIN_MIB and space.free_mib < space.total_mib * (FREE_MIN_SHARE * 10)
    share = space.free_mib < SHARE_UP_TO_MIB and space.free_mib < space.total_mib * FREE_MIN_SHARE
    return few or share or _lacks_inodes(space)


def _lacks_inodes(space: Space) -> bool:
    return space.free_inodes is not None and space.free_inodes < INODES_MIN


def _left(space: Space) -> str:
    if _lacks_inodes(space):
        return f"{space.free_inodes} inodes left"
    return f"{space.free_mib} MiB of {space.total_mib} left"


def clocks_apart(world: World, _found: Symptoms) -> list[Found]:
    """Clocks that differ from the others': certificates are then not valid yet, and HA takes agents for dead."""
    offsets = {name: offset for name, offset in world.seen.offsets_s.items() if name in world.seen.reports}
    if not offsets:
        return []
    least, most = min(offsets.values()), max(offsets.values())
    if most - least <= CLOCK_SKEW_MAX_S and min(abs(least), abs(most)) > CLOCK_SKEW_MAX_S:
        return [(_own_clock(list(offsets), (least + most) / 2), set())]
    # Of two that differ, the control machine says which one is wrong; of many, the most.
    right = statistics.median([*offsets.values(), 0.0]) if len(offsets) > 2 else 0.0  # noqa: PLR2004
    apart = {name: offset - right for name, offset in offsets.items() if abs(offset - right) > CLOCK_SKEW_MAX_S}
    return [
        (
            Cause(
                "clocks-apart",
                name,
                f"the clock of {name} is {abs(offset):.0f} s {'ahead' if offset > 0 else 'behind'}",
                [name],
                f"the others differ by less than {CLOCK_SKEW_MAX_S:g} s",
                world.on(name, "chronyc makestep") + "; `chronyc sources` shows its time servers",
            ),
            set(),
        )
        for name, offset in apart.items()
    ]


def _own_clock(machines: list[str], offset: float) -> Cause:
    """All machines agree with each other, and not with this one."""
    one = len(machines) == 1
    return Cause(
        "clocks-apart",
        "here",
        f"the clock of this machine is {abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} {'that' if one else 'those'} of {names(machines)}",
        machines,
        "there is no other clock to say which of the two is wrong" if one else "their clocks agree with each other",
        "timedatectl status on this machine shows whether its clock is synchronized"
        + ("; chronyc tracking there shows the other one" if one else ""),
    )


def own_name(world: World, found: Symptoms) -> list[Found]:
    """Nodes whose own name leads nowhere, or to the loopback: pmxcfs does not start there."""
    causes: list[Found] = []
    for name, report in world.nodes.items():
        if report.node != name:
            cause = Cause(
                "other-name",
                name,
                f"the machine at {world.address(name)} is called {report.node}, not {name}",
                [name],
                "its name is that of its directory in /etc/pve/nodes, and cannot be changed on a member",
                f"correct the name or the address of {name} in the stack file",
            )
            causes.append((cause, set()))
        elif wrong := _misleads(world, name, report):
            cause = Cause(
                "name-misleads",
                name,
                f"the name {name} {wrong} on {name} itself",
                [name],
                "pmxcfs does not start without an address of its own name, and other nodes would be given that one",
                world.on(name, f"grep -nw {name} /etc/hosts") + f"; the line should be: {world.address(name)} {name}",
            )
            causes.append((cause, of_pmxcfs(dict(found), name)))
    return causes


def _misleads(world: World, name: str, report: DiagnosisReport) -> str:
    if "resolves" in report.unanswered:
        return ""
    if not report.resolves:
        return "leads to no address"
    own = {address for card in report.cards for address in card.addresses}
    useful = [address for address in report.resolves if not ipaddress.ip_address(address).is_loopback]
    if not useful:
        return f"leads to {names(report.resolves)}"
    if own and not own & set(useful):
        return f"leads to {names(useful)}, which is none of its addresses"
    return "" if world.address(name) in useful or not own else f"leads to {names(useful)}, not to {world.address(name)}"


def other_versions(world: World, _found: Symptoms) -> list[Found]:
    """Nodes of one cluster with different versions: for the time of an upgrade only."""
    versions: dict[str, list[str]] = {}
    for name, report in world.joined.items():
        if report.version:
            versions.setdefault(report.version, []).append(name)
    if len(versions) < 2:  # noqa: PLR2004
        return []
    newest = max(versions, key=lambda text: [int(part) for part in text.split(".") if part.isdigit()])
    behind = [name for version, found in versions.items() if version != newest for name in found]
    cause = Cause(
        "versions-differ",
        "cluster",
        "; ".join(
            f"{names(found)} {'run' if len(found) > 1 else 'runs'} {version}" for version, found in versions.items()
        ),
        list(world.joined),
        "guests move live from an older to a newer node, and not always back",
        f"{world.make('upgrade')} brings {names(behind)} to the others' version",
    )
    return [(cause, set())]
