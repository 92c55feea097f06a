"""Clusters for `doctor`: what each node would report, from what is broken there."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from cli.doctor.model import Expected, Seen, Silence
from cluster.contract import Machine, Member
from onnode.cluster.corosync import ConfNode, PeerLink, Quorum, Voter
from onnode.cluster.diagnosis import SERVICES
from onnode.contract.diagnosis import Card, Certificate, ConfFile, Datastore, DiagnosisReport, HaFiles, Reached, Space
from onnode.contract.health import Watchdog
from onnode.contract.links import ClusterLink
from tests.unit.onnode.test_cases import merge

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

READ = TypeAdapter(DiagnosisReport)
NOW = 1_800_000_000.0
YEAR = 365 * 24 * 3600.0
LINKS = (0, 1)
NETWORKS = ("10.10.1", "10.20.1")
Cut = tuple[str, str, int]


def member(number: int) -> Member:
    """The described node pveN."""
    links = [ClusterLink(link, f"{NETWORKS[link]}.10{number}") for link in LINKS]
    return Member(f"pve{number}", f"192.168.0.10{number}", "ssh-ed25519 AAAA", number, 1, links)


def expected(count: int, **changes: Any) -> Expected:  # noqa: ANN401 - fields of Expected
    """The stack file: so many existing nodes with two links, one shared storage."""
    return dataclasses.replace(
        Expected("home", "proxmox", 9, [member(n + 1) for n in range(count)], storages=["shared"]), **changes
    )


def conf(count: int, version: int = 3, **changes: Any) -> ConfFile:  # noqa: ANN401 - fields of ConfFile
    """The configuration of a cluster of so many nodes."""
    nodes = [
        ConfNode(m.name, m.node_id, m.votes, {link.number: link.address for link in m.links})
        for m in expected(count).members
    ]
    return dataclasses.replace(ConfFile(f"digest {version} of {count}", version, "proxmox", nodes), **changes)


def seen(
    count: int,
    *,
    dead: Collection[str] = (),
    cut: Sequence[Cut] = (),
    stopped: Collection[str] = (),
    listed: int | None = None,
) -> Seen:
    """What the machines show.

    Args:
        count: of nodes.
        dead: nodes without power.
        cut: links that do not connect, with their ends in any order.
        stopped: nodes on which corosync does not run.
        listed: so many nodes are in the configuration; all when left out.
    """
    names = [f"pve{n + 1}" for n in range(count)]
    on = [name for name in names if name not in dead]
    gone = {(a, b, link) for one, other, link in cut for a, b in ((one, other), (other, one))}
    running = [name for name in on if name not in stopped]
    sides = {name: _side(name, running, gone) if name in running else set() for name in on}
    reports = {name: _report(name, names, sides, gone, conf(listed or count)) for name in on}
    silent = {name: Silence("host-unreachable", "no answer within 5 s", "power it on") for name in dead}
    return Seen(reports, silent, dict.fromkeys(on, 0.0), NOW)


def _report(name: str, names: list[str], sides: dict[str, set[str]], gone: set[Cut], file: ConfFile) -> DiagnosisReport:
    number = int(name[3:])
    own = member(number)
    side = sides[name]
    runs = bool(side)
    votes = [Voter(int(one[3:]), 1, f"{NETWORKS[0]}.10{one[3:]}", one == name) for one in sorted(side)]
    needed = len(file.nodes) // 2 + 1
    quorate = len(votes) >= needed
    peers = [peer for peer in names if peer != name]
    services = dict.fromkeys(SERVICES, "active") | ({} if runs else {"corosync": "inactive"})
    return DiagnosisReport(
        node=name,
        resolves=[own.address],
        version="9.1.2",
        time=NOW,
        cores=8,
        memory_mib=16384,
        pve="mounted",
        pve_writable=quorate,
        pmxcfs="cluster",
        authkey="key of the cluster",
        local=file,
        shared=file,
        loaded=file.version if runs else None,
        quorum=Quorum(quorate, len(file.nodes), len(votes), needed, votes) if runs else None,
        links=[
            PeerLink(int(peer[3:]), link, bool(sides.get(peer)) and (name, peer, link) not in gone)
            for peer in peers
            for link in LINKS
            if runs
        ],
        services=services,
        online=sorted(side) or [name],
        certified=[node.name for node in file.nodes],
        spaces=[Space("/", 30000, 20000, 10**6)],
        certificate=Certificate(f"/etc/pve/nodes/{name}/pve-ssl.pem", f"AA:0{number}", NOW + YEAR, NOW + 9 * YEAR, signed=True, served=f"AA:0{number}"),
        watchdog=Watchdog(device=True, socket=True),
        ha=HaFiles(1, "pve1", 2.0, dict.fromkeys(names, 2.0), {"vm:200": "started"}),
        storages={"local": Datastore("dir", "active"), "shared": Datastore("nfs", "active")},
        cards=[Card("vmbr0", [own.address], 1500, up=True), *(Card(f"eth{link + 1}", [f"{NETWORKS[link]}.10{number}"], 1500, up=True) for link in LINKS)],
        reached=[
            Reached(peer, link, member(int(peer[3:])).address if link is None else f"{NETWORKS[link]}.10{peer[3:]}",
                    small=(answers := peer in sides and (name, peer, link) not in gone), large=answers or None if link is not None else None)
            for peer in peers
            for link in (None, *LINKS)
        ],
    )  # fmt: skip


def _side(name: str, running: list[str], gone: set[Any]) -> set[str]:
    """Who votes together with a node: everybody that it sees on any link, over others, too."""
    side, to_ask = {name}, [name]
    while to_ask:
        near = to_ask.pop()
        new = {far for far in running if far not in side and any((near, far, link) not in gone for link in LINKS)}
        side |= new
        to_ask += new
    return side


def changed(base: Seen, changes: dict[str, Any]) -> Seen:
    """The same with other facts of some nodes, as they would come over the wire."""
    reports = {
        name: READ.validate_python(merge(dataclasses.asdict(report), changes[name])) if name in changes else report
        for name, report in base.reports.items()
    }
    return dataclasses.replace(base, reports=reports)


def host(name: str = "virtual") -> Machine:
    """An outer host."""
    return Machine(name, "192.168.0.2", "ssh-ed25519 AAAA")


def answer(name: str) -> Reached:
    """An answer to a ping at a node's management address."""
    return Reached(name, None, member(int(name[3:])).address, small=True)
