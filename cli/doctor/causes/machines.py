"""What a machine needs before any part of a cluster can work on it: room, the right time, its own name. Pure."""

from __future__ import annotations

import ipaddress
import statistics
from typing import TYPE_CHECKING

from cli.doctor.causes import names
from cli.doctor.model import Cause
from cli.doctor.symptoms import of_node, of_pmxcfs
from cluster.formation import CLOCK_SKEW_MAX_S

if TYPE_CHECKING:
    from cli.doctor.causes import Found, Symptoms
    from cli.doctor.model import World
    from onnode.contract import DiagnosisReport, Space

FREE_MIN_MIB = 100
FREE_MIN_SHARE = 0.01
INODES_MIN = 1000


def not_proxmox(world: World, _found: Symptoms) -> list[Found]:
    """Machines without Proxmox VE, or with another major version than described."""
    causes: list[Found] = []
    for name, report in world.seen.reports.items():
        if report.version and report.version.split(".")[0] == str(world.expected.pve_major):
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
    """File systems without room: pmxcfs, corosync and their logs stop, one after another."""
    causes: list[Found] = []
    for name, report in world.seen.reports.items():
        full = [space for space in report.spaces if is_full(space)]
        if not full:
            continue
        shown = ", ".join(f"{space.path} ({_left(space)})" for space in full)
        cause = Cause(
            "disk-full",
            name,
            f"no room is left on {shown}",
            [name],
            "pmxcfs writes every change into its database there; without room it stops, and its services with it",
            world.on(name, f"du -xhd2 {full[0].path}")
            + " shows what is large; free some, then `systemctl restart pve-cluster` there",
        )
        causes.append((cause, of_node(dict(found), name)))
    return causes


def is_full(space: Space) -> bool:
    """Whether nothing of any size can be written any more."""
    few = space.free_mib < FREE_MIN_MIB and space.free_mib < space.total_mib * (FREE_MIN_SHARE * 10)
    return few or space.free_mib < space.total_mib * FREE_MIN_SHARE or (space.free_inodes or INODES_MIN) < INODES_MIN


def _left(space: Space) -> str:
    if space.free_inodes is not None and space.free_inodes < INODES_MIN:
        return f"{space.free_inodes} inodes left"
    return f"{space.free_mib} MiB of {space.total_mib} left"


def clocks_apart(world: World, _found: Symptoms) -> list[Found]:
    """Clocks that differ from the others': certificates are then not valid yet, and HA takes agents for dead."""
    offsets = {name: offset for name, offset in world.seen.offsets_s.items() if name in world.seen.reports}
    if not offsets:
        return []
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
