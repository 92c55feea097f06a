"""The picture: the nodes, who sees whom on which link, and the causes in order; and all of it as JSON."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cli.console import cell, line, red
from cli.doctor.causes.machines import is_full

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from cli.doctor.model import Cause, World
    from onnode.contract.diagnosis import DiagnosisReport

CONNECTED, PINGED, CUT, UNKNOWN = "✓", "p", "✗", "·"
LEGEND = (
    f"{CONNECTED} Corosync is connected, {PINGED} only ping passes, {CUT} nothing passes, {UNKNOWN} nobody could look"
)
CLOCK_SHOWN_S = 1.0


def show(console: Console, world: World, causes: Sequence[Cause]) -> None:
    """Print the nodes, the links, the causes, and a line that sums up."""
    console.print(_nodes(world))
    if world.listed and len(rows(world)) > 1:
        console.print("who sees whom, on which link", markup=False)
        console.print(_matrix(world))
        console.print(f"  {LEGEND}\n", markup=False, soft_wrap=True)
    for number, cause in enumerate(causes, start=1):
        console.print(_told(number, cause), markup=False, soft_wrap=True)
    console.print(line(summary(world, causes)), markup=False, soft_wrap=True)


def rows(world: World) -> list[str]:
    """The machines that are shown: outer hosts, described nodes, and nodes that only the cluster lists."""
    hosts = [host.name for host in world.expected.hosts]
    return list(dict.fromkeys([*hosts, *world.members, *world.listed]))


def _nodes(world: World) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("node", "version", "vote", "conf", "/etc/pve", "services", "room", "clock", "API until", "storage"):
        # What is long is wrong, and wraps.
        table.add_column(column, no_wrap=column in ("node", "vote"), overflow="fold")
    for name in rows(world):
        report = world.seen.reports.get(name)
        table.add_row(cell(name), *(_row(world, name, report) if report else _empty(world, name)))
    return table


def _empty(world: World, name: str) -> list[str]:
    silence = world.seen.silent.get(name)
    if silence is None:
        what = "not in the stack file"
    elif name in world.members and not world.is_to_answer(name):
        what = "not made yet"
    else:
        what = red(silence.code)
    return [what, _vote(world, name), *[""] * 7]


def _row(world: World, name: str, report: DiagnosisReport) -> list[str]:
    offset = world.seen.offsets_s.get(name, 0.0)
    clock = CONNECTED if abs(offset) < CLOCK_SHOWN_S else red(f"{offset:+.0f} s")
    if name in world.expected.of_libvirt:
        return ["libvirt", *["-"] * 4, _room(report), clock, *["-"] * 2]
    return [
        cell(report.version) or (UNKNOWN if "version" in report.unanswered else red("no Proxmox VE")),
        _vote(world, name),
        _versions(report),
        _pve(report),
        _services(report),
        _room(report),
        clock,
        _certificate(world, report),
        " ".join(_storage(storage, report) for storage in world.expected.storages if name in world.members) or "-",
    ]


def _vote(world: World, name: str) -> str:
    node = world.listed.get(name)
    if node is None:
        return "-"
    return f"{node.votes} {CONNECTED}" if name in world.voting else red(f"{node.votes} {CUT}")


def _versions(report: DiagnosisReport) -> str:
    """Of the files in /etc/corosync and /etc/pve, and of what corosync has loaded, where they differ."""
    local, shared = report.local, report.shared
    if local is None and shared is None:
        return "-"
    if (
        local
        and shared
        and local.digest == shared.digest
        and not local.faults
        and report.loaded in (local.version, None)
    ):
        return f"v{local.version}"
    texts = ["none" if one is None else "broken" if one.faults else str(one.version) for one in (local, shared)]
    loaded = "-" if report.loaded is None else str(report.loaded)
    return red(f"local {texts[0]}, shared {texts[1]}, loaded {loaded}")


def _pve(report: DiagnosisReport) -> str:
    if {"pve", "pve_writable"} & set(report.unanswered):
        return UNKNOWN
    if report.pve != "mounted":
        return red(report.pve)
    if report.pmxcfs == "local":
        return red("local mode")
    return "writable" if report.pve_writable else red("read-only")


def _services(report: DiagnosisReport) -> str:
    in_cluster = report.local is not None or report.shared is not None
    down = [name for name, state in report.services.items() if state != "active" and (in_cluster or name != "corosync")]
    return red(" ".join(down)) if down else "run" if report.services else "-"


def _room(report: DiagnosisReport) -> str:
    if not report.spaces:
        return "-"
    least = min(report.spaces, key=lambda space: space.free_mib)
    size = f"{least.free_mib // 1024} GiB" if least.free_mib >= 1024 else f"{least.free_mib} MiB"  # noqa: PLR2004
    return red(f"{size} on {least.path}") if is_full(least) else size


def _certificate(world: World, report: DiagnosisReport) -> str:
    one = report.certificate
    if one is None or one.ends is None:
        return "-"
    day = datetime.fromtimestamp(one.ends, UTC).date().isoformat()
    good = one.ends > world.seen.now and one.signed is not False and one.served == one.fingerprint
    return day if good else red(day)


def _storage(name: str, report: DiagnosisReport) -> str:
    found = (report.storages or {}).get(name)
    if found is None:
        return f"{cell(name)} {UNKNOWN}"
    return f"{cell(name)} {CONNECTED}" if found.status == "active" else red(f"{name} {CUT}")


def matrix(world: World) -> dict[str, dict[str, dict[int, str]]]:
    """By node, by other node, by link: "connected", "pinged", "cut" or "unknown"."""
    listed = [name for name in rows(world) if name in world.listed]
    return {near: {far: _between(world, near, far) for far in listed if far != near} for near in listed}


def _between(world: World, near: str, far: str) -> dict[int, str]:
    report = world.nodes.get(near)
    states = {}
    for number in sorted(set(world.listed[near].links) & set(world.listed[far].links)):
        identity = world.listed[far].id
        connected = report is not None and any(
            (one.node_id, one.link, one.connected) == (identity, number, True) for one in report.links
        )
        pinged = world.pinged(near, far, number)
        # Corosync that runs lists its links, also those that are down.
        unknown = report is None or (not report.links and (pinged is None or report.quorum is not None))
        states[number] = "connected" if connected else "pinged" if pinged else "unknown" if unknown else "cut"
    return states


_SIGNS = {"connected": CONNECTED, "pinged": f"[yellow]{PINGED}[/]", "cut": f"[red]{CUT}[/]", "unknown": UNKNOWN}


def _matrix(world: World) -> Table:
    found = matrix(world)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("from", *found):
        table.add_column(cell(column), no_wrap=True)
    for near, peers in found.items():
        cells = [" ".join(f"{number}{_SIGNS[state]}" for number, state in peers.get(far, {}).items()) for far in found]
        table.add_row(cell(near), *cells)
    return table


def _told(number: int, cause: Cause) -> str:
    lines = [f"{number}. {cause.what}  [{cause.name}]"]
    lines += [f"     seen by: {', '.join(cause.seen_by)}"] if any(cause.seen_by) else []
    lines += [f"     why: {cause.why}"] if cause.why else []
    lines += [f"     with it: {'; '.join(cause.explains)}"] if cause.explains else []
    return "\n".join([*map(line, [*lines, f"     next: {cause.next}"]), ""])


def summary(world: World, causes: Sequence[Cause]) -> str:
    """One line: the cluster, and how many causes there are."""
    if world.conf is None:
        cluster = "there is no cluster yet" if world.seen.reports else "nobody could say whether there is a cluster"
    else:
        votes = f"{world.present} of {world.votes_of(world.listed)} votes, {world.needed} needed"
        state = f"{'quorate' if world.has_quorum else 'without quorum'} with {votes}"
        told = state if world.is_vote_known else "nobody could say how the vote stands"
        cluster = f"cluster {world.conf.cluster}: {len(world.listed)} members, {told}"
    count = (
        f"{len(causes)} cause{'s' if len(causes) > 1 else ''}, the first one first" if causes else "nothing is wrong"
    )
    return f"{cluster}; {count}"


def as_json(world: World, causes: Sequence[Cause]) -> dict[str, Any]:
    """All of it, for programs."""
    return {
        "healthy": not causes,
        "causes": [dataclasses.asdict(cause) for cause in causes],
        "cluster": None
        if world.conf is None
        else {
            "name": world.conf.cluster,
            "version": world.conf.version,
            "quorate": world.has_quorum,
            "votes": {"present": world.present, "needed": world.needed, "listed": world.votes_of(world.listed)},
            "members": {
                name: {"id": node.id, "votes": node.votes, "voting": name in world.voting}
                for name, node in world.listed.items()
            },
        },
        "links": matrix(world),
        "machines": {
            name: dataclasses.asdict(world.seen.reports[name])
            if name in world.seen.reports
            else {"error": world.seen.silent[name].code, "observed": world.seen.silent[name].observed}
            for name in rows(world)
            if name in world.seen.reports or name in world.seen.silent
        },
        "clock_offsets_s": dict(world.seen.offsets_s),
    }
