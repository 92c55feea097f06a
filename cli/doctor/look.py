"""The look: one login for each machine, all at the same time. Nothing is changed, and nothing is left there."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from cli.doctor.model import Expected, Need, Seen, Silence
from cli.looks import whereabouts
from cluster.reports import read
from cluster.transport import members, shipped
from components import verified_host
from components.site import Site
from config.model import LibvirtHost, NestedNode, ProxmoxVeHost
from onnode.contract.diagnosis import Diagnose, DiagnosisReport, Neighbour
from onnode.contract.documents import document
from onnode.contract.look import Look, LookReport, LookStep
from onnode.errors import StepError

if TYPE_CHECKING:
    from cli.description import Description
    from cluster.contract import Member
    from cluster.transport.ssh import Connection
    from onnode.contract.look import Refusal

CONNECT_S = 5.0
LOOK_S = 40.0  # the longest question of a machine ends sooner


def expected_of(described: Description) -> Expected:
    """What the stack file makes doctor look for."""
    config = described.config
    site = Site(config, described.credentials, described.stack)
    return Expected(
        described.stack,
        config.cluster.name,
        config.pve_major,
        site.members,
        [site.machine(host) for host in config.outer_hosts],
        {node.name: node.host for node in config.nodes if isinstance(node, NestedNode)},
        sorted(storage.name for storage in config.storages),
        {
            host.name: Need(
                host.cores,
                {node.name: node.disk_gib for node in verified_host.nodes(site, host)},
                host.disk_storage if isinstance(host, ProxmoxVeHost) else None,
            )
            for host in config.outer_hosts
        },
        frozenset(host.name for host in config.outer_hosts if isinstance(host, LibvirtHost)),
    )


def look(described: Description, expected: Expected) -> Seen:
    """Look at every machine that is described."""
    return asyncio.run(_look(described, expected))


async def _look(described: Description, expected: Expected) -> Seen:
    site = Site(described.config, described.credentials, described.stack)
    verify = {host.name: verified_host.question(site, host) for host in described.config.outer_hosts}
    key = described.credentials.ssh_private_key.get_secret_value()
    offsets: dict[str, float] = {}
    refusals: dict[str, Refusal] = {}

    async def ask(connection: Connection) -> DiagnosisReport:
        name = connection.machine.name
        started = time.time()
        question = shipped.run(connection, "diagnosis", _question(expected, name), timeout_s=LOOK_S)
        if name in verify:
            step, wanted = verify[name]
            asked = LookStep(step, step, json.dumps(document(wanted)))
            done, other = await asyncio.gather(
                question, shipped.run(connection, "look", Look([asked]), timeout_s=LOOK_S)
            )
            refusals.update((name, one) for one in _refusals(read(LookReport, name, other.facts)))
        else:
            done = await question
        report = read(DiagnosisReport, name, done.facts)
        offsets[name] = _offset(report.time, started, time.time())
        return report

    async with members.connections([*expected.hosts, *expected.members], key, timeout_s=CONNECT_S) as opened:
        of_hosts = {name: connection for name, connection in opened.items() if name in verify}
        answers, places = await asyncio.gather(
            members.ask(opened, ask), whereabouts.over(of_hosts, described, all_hosts=False)
        )
    silent = {name: _silence(answer) for name, answer in answers.items() if isinstance(answer, StepError)}
    made = None
    if expected.hosts and set(places) == set(verify):
        made = frozenset(
            node.name
            for node in described.config.nodes
            if isinstance(node, NestedNode) and whereabouts.is_there(node, places)
        )
    return Seen(members.answered(answers), silent, offsets, time.time(), refusals, made)


def _question(expected: Expected, name: str) -> Diagnose:
    """What a machine is asked about its neighbours: a node about all others, an outer host about its own nodes."""
    own = next((member for member in expected.members if member.name == name), None)
    if own is None:
        carried = [member for member in expected.members if expected.housing.get(member.name) == name]
        return Diagnose([Neighbour(member.name, member.address) for member in carried])
    return Diagnose([_neighbour(member) for member in expected.members if member is not own], own.links)


def _neighbour(member: Member) -> Neighbour:
    return Neighbour(member.name, member.address, member.links)


def _refusals(report: LookReport) -> list[Refusal]:
    return [one.refusal for one in report.steps if one.refusal is not None]


def _silence(error: StepError) -> Silence:
    return Silence(error.code, error.observed or error.what, error.fix)


def _offset(then: float, started: float, ended: float) -> float:
    """How far a clock is off at least, that was read between two moments of this machine's."""
    return then - ended if then > ended else then - started if then < started else 0.0
