"""The status as a table, and as JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cli.console import cell, line, red
from cli.status.verdict import names_of_running, quorate_view
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from cli.status.look import NodeStatus, NodeStatuses
    from cli.status.model import Finding, Wanted
    from cluster.contract import Member

GOOD, BAD = "[green]✓[/]", "[red]✗[/]"


def show(
    console: Console, wanted: Wanted, seen: NodeStatuses, found: Sequence[Finding], passing: Sequence[Finding] = ()
) -> None:
    """Print the nodes, then what passes by itself, then findings, each with the next step, then a line that sums up."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("node", "version", "votes", "links", "/etc/pve", "API", "HA agent", "storage", "runs"):
        table.add_column(column, no_wrap=True)
    for member in wanted.members:
        table.add_row(*_row(wanted, member, seen))
    console.print(table)
    for note in passing:
        console.print(f"  {line(f'{note.where}: {note.what}')}\n    {line(note.next)}", markup=False, soft_wrap=True)
    for finding in found:
        console.print(
            f"✗ {line(f'{finding.where}: {finding.what}')}\n    next: {line(finding.next)}",
            markup=False,
            soft_wrap=True,
        )
    nodes = {name: look for name, look in seen.items() if not isinstance(look, StepError)}
    console.print(_sum(wanted, nodes, found), markup=False, soft_wrap=True)


def _row(wanted: Wanted, member: Member, seen: NodeStatuses) -> list[str]:
    look = seen[member.name]
    if isinstance(look, StepError):
        return [member.name, red(look.code), *[""] * 7]
    health = look.health
    view = quorate_view({name: other for name, other in seen.items() if not isinstance(other, StepError)})
    agents = view.health.ha.lrm if view and view.health.ha else {}
    connected = sum(link.connected for link in health.links)
    all_links = sum(len(peer.links) for peer in wanted.members if peer.name != member.name)
    votes = f"{health.quorum.total}/{health.quorum.expected}" if health.quorum else "-"
    guarded = health.watchdog is not None and health.watchdog.device and health.watchdog.socket
    return [
        member.name,
        cell(health.pve_version),
        votes if health.quorate else red(votes),
        f"{connected}/{all_links}" if connected == all_links else red(f"{connected}/{all_links}"),
        "writable" if health.pve_writable else red("read-only"),
        _mark(good=look.api),
        cell(agents.get(member.name, "-")) + ("" if guarded else " [red]no watchdog[/]"),
        " ".join(f"{name} {_mark(good=look.storages.get(name, False))}" for name in wanted.storages) or "-",
        cell(", ".join(names_of_running(look))) or "-",
    ]


def _mark(*, good: bool) -> str:
    return GOOD if good else BAD


def _sum(wanted: Wanted, nodes: dict[str, NodeStatus], found: Sequence[Finding]) -> str:
    if found:
        count = f"{len(found)} finding{'s' if len(found) > 1 else ''}"
        return f"cluster {wanted.cluster} is not as described: {count}; {len(nodes)} of {len(wanted.members)} nodes answered"
    view = quorate_view(nodes)
    votes = f"{view.health.quorum.total} of {view.health.quorum.expected} votes" if view and view.health.quorum else ""
    links = len(wanted.members[0].links)
    ha = view.health.ha if view else None
    count = f"{len(wanted.guests)} guest{'s' if len(wanted.guests) > 1 else ''}"
    guests = f", {count} under HA (master {ha.master})" if wanted.guests and ha else ""
    witness = f" (QDevice {wanted.device.host} included)" if wanted.device else ""
    return (
        f"cluster {wanted.cluster} is as described: {len(wanted.members)} members, quorate with {votes}{witness}, "
        f"{links} link{'s' if links > 1 else ''} between every pair{guests}"
    )


def as_json(seen: NodeStatuses, found: Sequence[Finding], passing: Sequence[Finding] = ()) -> dict[str, Any]:
    """All of it, for programs."""
    return {
        "as_described": not found,
        "findings": [dataclasses.asdict(finding) for finding in found],
        "passing": [dataclasses.asdict(finding) for finding in passing],
        "nodes": {
            name: {"error": look.code, "observed": look.observed}
            if isinstance(look, StepError)
            else dataclasses.asdict(look)
            for name, look in seen.items()
        },
    }
