"""Nodes at the other end of SSH, which report what they are and change when a step makes them members.

The code under test connects, asks and reads as always; only the connection itself is a double.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.call import Call
from cluster.contract import Secrets
from cluster.errors import AdminError
from cluster.transport import certificates, pins, ssh
from cluster.transport.nodes import PACKAGE
from cluster.transport.ssh import Completed
from onnode.contract.documents import parse
from onnode.contract.formation import ApiUser, CreateCluster, JoinCluster, Storage
from onnode.contract.links import LinkPreflight
from onnode.contract.node import ArmNetwork, NodeNetwork
from onnode.contract.qdevice import QDevice, Witness
from onnode.contract.removal import EvacuateNode, KeepMembers, NodeGone, RemoveMember
from onnode.contract.repair import CorosyncFile, StartServices
from tests.support.program import PRIVATE_KEY
from tests.unit.cluster.worlds import joined, member, stand_alone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import pytest

    from cluster.contract import Machine
    from onnode.contract.membership import MembershipReport
    from onnode.errors import StepError

OWN_KEY = ssh.fingerprint(ssh.client_keys(PRIVATE_KEY)[0].public_data)
CALL = Call(Secrets(PRIVATE_KEY, root_password="root-secret", api_password="api-secret"))
DOWN = AdminError("host-unreachable", "it cannot be reached over SSH", observed="no answer")
PROGRESS = "at work"  # what a program says on its standard error, to who listens
HEALTHY_LINKS = {"silent": [], "latency_ms": {"0": 0.2}}


@dataclass(frozen=True)
class Act:
    """Something that was run on a node, other than a look at its membership."""

    node: str
    what: str  # a step's name, or a command as it is
    wanted: Any
    timeout_s: float


class Connection(ssh.Connection):
    """Hands every command to the nodes."""

    def __init__(self, machine: Machine, nodes: LiveNodes) -> None:
        self.machine = machine
        self._nodes = nodes

    async def run(
        self,
        command: str,
        *,
        stdin: str = "",
        timeout_s: float,
        on_stderr: Callable[[str], None] | None = None,
    ) -> Completed:
        await asyncio.sleep(0)
        if on_stderr is not None:
            on_stderr(PROGRESS)
        return self._nodes.run(self.machine.name, command, stdin, timeout_s)


class LiveNodes:
    """What each node reports, and what was run there.

    Attributes:
        reports: by name.
        silent: nodes that take no connection, and why.
        logins: the machines that a connection was asked for, and for how long that was tried.
        acts: everything but looks, in order.
        shown: the certificate that the API of each node presents; of a node that is not in it, the one that it reports.
        errors: how a step ends instead, by its name.
        refusals: the same, once for each.
        breaks: how the connection ends during a step, by its name: once for each.
        facts: what a step reports, by its name; those that are named here have changed something.
        own_facts: what a step reports that only looks, by its name and the node's.
        when: what a step does to the nodes, by its name.
        commands: what a command prints that is no step, by its beginning.
        after: called after each look with the number of looks so far.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path, *reports: MembershipReport) -> None:
        self.reports = {report.node: report for report in reports}
        self.silent: dict[str, StepError] = {}
        self.logins: list[tuple[str, float]] = []
        self.acts: list[Act] = []
        self.shown: dict[str, str | None] = {}
        self.errors: dict[str, StepError] = {}
        self.refusals: dict[str, list[StepError]] = {}
        self.breaks: dict[str, list[AdminError]] = {}
        self.facts: dict[str, dict[str, Any]] = {}
        self.own_facts: dict[str, dict[str, dict[str, Any]]] = {}
        self.when: dict[str, Callable[[], None]] = {}
        self.commands: dict[str, Callable[[str], Completed]] = {}
        self.links: dict[str, Any] = HEALTHY_LINKS
        self.looks = 0
        self.staying: list[KeepMembers] = []
        self.is_leaving = False  # whether a removal was begun of a node that stays
        self.after: Callable[[int], None] = lambda _looks: None
        monkeypatch.setattr(ssh, "connect", self.connect)
        monkeypatch.setattr(certificates, "presented", self.presented)
        monkeypatch.setattr(certificates, "OLD_WORKERS_S", 0.0)
        monkeypatch.setattr(pins, "FILE", directory / "certificates.json")

    @property
    def done(self) -> list[tuple[str, str]]:
        """What was run, and where."""
        return [(act.node, act.what) for act in self.acts]

    @asynccontextmanager
    async def connect(
        self, machine: Machine, private_key: str, *, timeout_s: float = 10.0
    ) -> AsyncIterator[Connection]:
        assert private_key == PRIVATE_KEY
        self.logins.append((machine.name, timeout_s))
        await asyncio.sleep(0)
        if machine.name in self.silent:
            raise self.silent[machine.name]
        yield Connection(machine, self)

    async def presented(self, host: str, _port: int = certificates.API_PORT) -> str | None:
        await asyncio.sleep(0)
        name = next(name for name in self.reports if member(int(name[-1])).address == host)
        return self.shown.get(name, self.reports[name].api_fingerprint)

    def run(self, node: str, command: str, stdin: str, timeout_s: float) -> Completed:
        _, _, step = command.partition(f"python3 {PACKAGE} ")
        if command.startswith("python3 -c "):  # with its own code, in the first line
            step, (_, _, stdin) = command.rsplit(maxsplit=1)[-1], stdin.partition("\n")
        if step == "membership":
            assert stdin == "", "it takes no input"
            self.looks += 1
            facts = dataclasses.asdict(self.reports[node])
            self.after(self.looks)
            return _result(changed=False, facts=facts)
        if step == "keep-members":
            self.staying.append(parse(KeepMembers, json.loads(stdin)))
            was_leaving, self.is_leaving = self.is_leaving, False
            return _result(changed=was_leaving, facts={"nodes": self.staying[-1].nodes})
        if not step:
            self.acts.append(Act(node, command, None, timeout_s))
            answer = next(answer for beginning, answer in self.commands.items() if command.startswith(beginning))
            return answer(node)
        wanted = parse(_INPUTS[step], json.loads(stdin)) if stdin else None
        self.acts.append(Act(node, step, wanted, timeout_s))
        if breaks := self.breaks.get(step):
            raise breaks.pop(0)
        refusals = self.refusals.get(step)
        if error := refusals.pop(0) if refusals else self.errors.get(step):
            return Completed(1, "", f"{error.render()}\n")
        self.when.get(step, lambda: None)()
        own = self.own_facts.get(step, {}).get(node)
        if own is not None or step in self.facts:
            return _result(changed=own is None, facts=self.facts[step] if own is None else own)
        return _result(changed=self._change(node, wanted), facts=self.links if step == "link-preflight" else {})

    def _change(self, node: str, wanted: object) -> bool:
        before = dict(self.reports)
        if isinstance(wanted, CreateCluster):
            self.form(int(node[-1]), *self._numbers(node))
        elif isinstance(wanted, JoinCluster):
            sponsor = next(name for name in self.reports if member(int(name[-1])).address == wanted.seed_address)
            self.form(*self._numbers(sponsor), int(node[-1]))
        elif isinstance(wanted, RemoveMember):
            self.form(*(number for number in self._numbers(node) if f"proxmox0{number}" != wanted.node))
        elif isinstance(wanted, ApiUser):
            return sum(act.what == "api-user" for act in self.acts) == 1
        return self.reports != before

    def _numbers(self, node: str) -> list[int]:
        return [listed.id for listed in self.reports[node].nodes]

    def form(self, *numbers: int) -> None:
        """Those nodes are a healthy cluster from now on."""
        count = tuple(dict.fromkeys(numbers))
        for number in count:
            report = joined(number, *count, authorized_keys=[OWN_KEY])
            self.reports[report.node] = report

    def change(self, number: int, **changes: Any) -> None:  # noqa: ANN401 - fields as they are
        """One node reports something else from now on."""
        name = f"proxmox0{number}"
        self.reports[name] = dataclasses.replace(self.reports[name], **changes)


_INPUTS: dict[str, Any] = {
    "create-cluster": CreateCluster,
    "join-cluster": JoinCluster,
    "link-preflight": LinkPreflight,
    "api-user": ApiUser,
    "evacuate-node": EvacuateNode,
    "node-gone": NodeGone,
    "remove-member": RemoveMember,
    "storage": Storage,
    "storage --remove": Storage,
    "node-network": NodeNetwork,
    "arm-network": ArmNetwork,
    "witness --remove": Witness,
    "qdevice --remove": QDevice,
    "restore-corosync": CorosyncFile,
    "start-services": StartServices,
}


def _result(*, changed: bool, facts: dict[str, Any]) -> Completed:
    return Completed(0, f"{json.dumps({'changed': changed, 'facts': facts})}\n", "")


def fresh(number: int, **changes: Any) -> MembershipReport:  # noqa: ANN401 - fields as they are
    """A stand-alone node that lets the administrator in."""
    return stand_alone(number, **{"authorized_keys": [OWN_KEY], **changes})
