"""The look itself: one connection for each machine, all its steps together, all machines at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli import chronicle
from cli.drift import images, intact_images, judge, power, questions, whose
from cluster.reports import read
from cluster.transport import members, shipped
from components.site import Site
from config import topology
from onnode.contract.look import Look, LookReport, LookStep
from onnode.contract.membership import MembershipReport
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.description import Description
    from cli.drift.model import Drift
    from cluster.contract import Machine
    from cluster.transport.ssh import Connection
    from onnode.contract.look import StepLook
    from onnode.contract.membership import Membership

CONNECT_S = 5.0
LOOK_S = 60.0
READ_S = 20.0
IMAGES_S = 300.0  # one that was touched is read whole
MEMBERSHIP = "membership"
ITSELF = LookStep(MEMBERSHIP, MEMBERSHIP, "null")
# The files in which Proxmox VE keeps what the provider made, what HA does with guests, those of libvirt's domains, and the notes on
# installed nodes.
_FILES = """\
for file in /etc/network/interfaces /var/lib/nested-pve-ha/install/*/*.json /etc/pve/datacenter.cfg /etc/pve/ha/*.cfg \
    /etc/pve/ha/manager_status /etc/pve/storage.cfg /etc/pve/replication.cfg \
    /etc/pve/nodes/*/qemu-server/*.conf /etc/pve/nodes/*/lxc/*.conf /etc/libvirt/qemu/*.xml
do if [ -f "$file" ]; then printf '=== %s\\n' "$file"; cat "$file"; echo; fi; done
"""


@dataclass(frozen=True)
class Answer:
    """One machine's answers.

    Attributes:
        steps: what its steps would do.
        altered: the files of the package there that are gone, or not as in this checkout.
        files: texts by path.
        membership: what it says of its cluster; None when it was not asked, or could not tell.
    """

    steps: list[StepLook] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    membership: Membership | None = None


def answer(machine: str, facts: dict[str, Any], files: dict[str, str]) -> Answer:
    """Read what the step `look` reports.

    Raises:
        AdminError: step-broken.
    """
    found = read(LookReport, machine, facts)
    member = next((one.facts for one in found.steps if one.name == MEMBERSHIP), None)
    return Answer(found.steps, found.altered, files, read(MembershipReport, machine, member) if member else None)


def machines(description: Description) -> tuple[list[Machine], list[Machine]]:
    """The described outer hosts, and the members, the seed first."""
    site = Site(description.config, description.credentials, description.stack)
    return [site.machine(host) for host in description.config.outer_hosts], site.machines


@dataclass(frozen=True)
class Found:
    """What the look found.

    Attributes:
        drifted: what differs from how its resource made it.
        memberships: what nodes say of their cluster, by name; also those of which nothing is recorded.
    """

    drifted: list[Drift] = field(default_factory=list)
    memberships: dict[str, Membership] = field(default_factory=dict)


async def over(opened: members.Opened, description: Description, state: questions.State) -> Found:
    """Look at everything that is recorded, over these connections.

    A machine that does not answer is named; the others are looked at all the same.
    """
    hosts, nodes = machines(description)
    names = [machine.name for machine in (*hosts, *nodes)]
    hosts_described = description.config.outer_hosts
    directories = {host.name: topology.image_directory(host, description.stack) for host in hosts_described}
    outer = set(directories)
    asked = questions.of(state, names, description.credentials.api_password.get_secret_value())
    there = {name: opened[name] for name in names if name in asked.there and name in opened}
    # Any member that works may answer for the cluster. Which ones work is known after all have answered; so the first is tried.
    speaker = next((node.name for node in nodes if not isinstance(there.get(node.name), StepError | None)), None)

    silent = [node.name for node in nodes if isinstance(opened.get(node.name), StepError)]

    async def ask(connection: Connection) -> Answer:
        name = connection.machine.name
        steps = [*asked.there[name], *([] if name in outer else [ITSELF])]
        steps += power.questions(description, asked, name, silent)
        steps += asked.cluster if name == speaker else []
        files = _FILES if name == speaker or name in outer else ""
        known = intact_images.known(connection.machine)
        looked = images.question(asked.provided, name, directories[name], known) if name in outer else ""
        told = await _ask(connection, Look(steps, shipped.digests()), files, looked)
        if looked:
            good = images.intact(asked.provided, name, directories[name], told.files)
            intact_images.remember(connection.machine, good)
        return told

    new = {node.name: opened[node.name] for node in nodes if node.name in opened and node.name not in there}
    answers, of_new = await asyncio.gather(members.ask(there, ask), members.ask(new, _ask_itself))
    works = [name for name in (node.name for node in nodes) if _works(answers.get(name))]
    if works and speaker not in works:
        speaker = works[0]
        answers |= await members.ask({speaker: there[speaker]}, ask)
    answered = _answered(answers)
    chronicle.current().looked(_cluster_seen(nodes, opened, answers))
    found = [*power.off(description, asked, answered), *judge.drift(asked, answered, speaker, outer)]
    files = judge.places(answered, speaker, outer)
    found = whose.explained(whose.Inventory(description, state, asked, files), found)
    again = {one.urn for one in found}
    unexplained = {name: answer for name, answer in answers.items() if asked.installations.get(name) not in again}
    told = {name: one.membership for name, one in {**answered, **_answered(of_new)}.items() if one.membership}
    return Found([*judge.silent(unexplained), *found], told)


def _cluster_seen(
    nodes: list[Machine], opened: members.Opened, answers: Mapping[str, Answer | StepError]
) -> dict[str, Membership | StepError]:
    """What the nodes say of their cluster; those that cannot tell are left out, and those that nobody asked."""
    found: dict[str, Membership | StepError] = {}
    for node in nodes:
        told = answers.get(node.name, opened.get(node.name))
        if isinstance(told, StepError):
            found[node.name] = told
        elif isinstance(told, Answer) and told.membership is not None:
            found[node.name] = told.membership
    return found


def _works(answer: Answer | StepError | None) -> bool:
    return isinstance(answer, Answer) and judge.works(answer)


def _answered(answers: Mapping[str, Answer | StepError]) -> dict[str, Answer]:
    return {name: answer for name, answer in answers.items() if not isinstance(answer, StepError)}


async def _ask_itself(connection: Connection) -> Answer:
    return await _ask(connection, Look([ITSELF], {}), "", "")


async def _ask(connection: Connection, wanted: Look, files: str, looked: str) -> Answer:
    result, texts, found = await asyncio.gather(
        shipped.run(connection, "look", wanted, timeout_s=LOOK_S),
        _files(connection, files, READ_S),
        _files(connection, looked, IMAGES_S),
    )
    return answer(connection.machine.name, result.facts, texts | found)


async def _files(connection: Connection, command: str, timeout_s: float) -> dict[str, str]:
    return judge.parse_files((await connection.run(command, timeout_s=timeout_s)).stdout) if command else {}
