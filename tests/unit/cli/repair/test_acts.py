"""Which steps a repair takes, on which machines, in which order; and that nothing is done before a copy is kept."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli import chronicle
from cli.doctor.diagnose import diagnose
from cli.doctor.model import World
from cli.repair import acts, backup, command, plan
from cli.repair.model import Guests, Repair, Situation
from cli.rolling import session
from cluster import replacing
from cluster.errors import AdminError
from cluster.transport import members, shipped
from cluster.transport.nodes import StepResult
from onnode.contract.corosync import CorosyncConfig
from onnode.contract.documents import document
from onnode.contract.health import Health
from onnode.contract.membership import Membership, MembershipReport
from onnode.contract.removal import ReleaseMember, ResetNode
from onnode.contract.repair import CorosyncFile, ExpectVotes, KeptConf, KeptConfs, StartServices
from onnode.system import originals
from tests.support import doctored
from tests.unit.cli.doctor.test_diagnose import CASES as WORLDS
from tests.unit.cli.doctor.test_diagnose import world
from tests.unit.cli.repair.test_plan import BROKEN, GOOD, conf, situation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from cli.doctor.model import Cause
    from cluster.contract import Machine


class Held(session.Session):
    """Stack home with the nodes of doctor's worlds."""

    def __init__(self, count: int = 3) -> None:
        config = SimpleNamespace(cluster=SimpleNamespace(timeout_s=1, name="proxmox"))
        described: Any = SimpleNamespace(config=config, stack="home")
        super().__init__(described, doctored.expected(count).members, "")


class Machines:
    """Steps are noted, with the node; `seen` is what a node still sees of others, `listing` who lists whom."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[tuple[str, object]] = []
        self.seen: dict[str, list[str]] = {}
        self.listing: dict[str, list[int]] = {}
        self.cluster = "proxmox"
        self.slow: set[str] = set()
        self.down: set[str] = set()
        monkeypatch.setattr(members, "connections", self.connections)
        monkeypatch.setattr(shipped, "run", self.run)
        monkeypatch.setattr(replacing, "RECOVERY_POLL_S", 0.01)

    @asynccontextmanager
    async def connections(
        self, machines: Sequence[Machine], _key: str, **_more: object
    ) -> AsyncIterator[dict[str, Any]]:
        yield self.opened(*(machine.name for machine in machines))

    def opened(self, *names: str) -> dict[str, Any]:
        async def run(text: str, **_more: object) -> SimpleNamespace:
            assert text.startswith("ls /etc/pve/nodes/")
            return SimpleNamespace(stdout="")

        return {name: SimpleNamespace(machine=SimpleNamespace(name=name), run=run) for name in names}

    async def run(self, connection: SimpleNamespace, step: str, wanted: object, **_more: object) -> StepResult:
        name = connection.machine.name
        if name in self.slow:
            await asyncio.sleep(0.02)
        if step == "start-services" and name in self.down:
            raise AdminError("command-failed", f"{name} does not start")
        if step == "corosync-files":
            return StepResult(
                changed=False, facts=document(KeptConfs(name, [KeptConf("/etc/pve/corosync.conf", BROKEN)]))
            )
        if step == "node-gone":
            return StepResult(changed=False, facts={"seen": self.seen.get(name, [])})
        if step == "cluster-health":
            return StepResult(changed=False, facts=document(Health(name, "member")))
        if step == "membership":
            listed = doctored.conf(4).nodes
            own = Membership(
                name,
                "member",
                cluster=self.cluster,
                nodes=[one for one in listed if one.id in self.listing.get(name, [1, 2])],
                quorum=doctored.seen(2).reports["pve1"].quorum,
                quorate=True,
                pve_writable=True,
            )
            return StepResult(
                changed=False, facts=document(MembershipReport(**vars(own), pve_version="9.1.2", time=0.0))
            )
        self.ran.append((name, wanted))
        return StepResult(changed=True, facts={})

    def do(self, situation: Situation, one: Repair) -> list[tuple[str, object]]:
        context = acts.Context(Held(5), situation.world, situation.guests, self.opened(*one.machines))
        asyncio.run(acts.ACTS[one.name](context, one))
        return self.ran


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Machines:
    return Machines(monkeypatch)


def first(name: str, kept: list[str] | None = None) -> tuple[Situation, Repair]:
    given, causes = situation(name, kept)
    one = next(one for one in plan.plan(given, causes) if isinstance(one, Repair))
    return given, one


def test_services_wait_for_a_quorum_that_can_be(machines: Machines) -> None:
    assert machines.do(*first("corosync does not run on one node")) == [
        ("pve2", StartServices(quorate=True, timeout_s=1))
    ]


def test_one_nodes_file_comes_back_before_its_services_start(machines: Machines) -> None:
    assert machines.do(*first("corosync.conf of one node is broken")) == [
        ("pve2", CorosyncFile(GOOD)),
        ("pve2", StartServices(quorate=True, timeout_s=1)),
    ]


def test_with_a_quorum_only_the_shared_file_is_replaced(machines: Machines) -> None:
    ((node, wanted),) = machines.do(*first("the shared corosync.conf is broken"))
    assert node == "pve1"
    assert wanted == CorosyncConfig(
        GOOD.replace("config_version: 3", "config_version: 5"), originals.fingerprint(BROKEN)
    )


def test_without_corosync_anywhere_all_start_before_the_shared_file_is_replaced(machines: Machines) -> None:
    ran = machines.do(*first("the shared corosync.conf is broken, and no corosync runs"))
    nodes = ["pve1", "pve2", "pve3"]
    own = CorosyncFile(GOOD.replace("config_version: 3", "config_version: 5"))
    assert ran[:3] == [(name, own) for name in nodes]
    assert ran[3:6] == [(name, StartServices(quorate=True, timeout_s=1)) for name in nodes]
    ((node, last),) = ran[6:]
    assert node == "pve1"
    assert isinstance(last, CorosyncConfig)
    assert "config_version: 6\n" in last.text


def test_a_node_that_does_not_start_does_not_keep_the_others_from_starting(machines: Machines) -> None:
    """The first error ended the work on all of them."""
    machines.down, machines.slow = {"pve1"}, {"pve3"}
    with pytest.raises(AdminError, match="pve1 does not start"):
        machines.do(*first("the shared corosync.conf is broken, and no corosync runs"))
    started = [name for name, wanted in machines.ran if isinstance(wanted, StartServices)]
    assert started == ["pve2", "pve3"]
    assert not any(isinstance(wanted, CorosyncConfig) for _, wanted in machines.ran)


def test_what_all_run_comes_to_the_shared_file_and_no_corosync_is_touched(machines: Machines) -> None:
    expected, seen = world(WORLDS["all nodes run a newer file than that in /etc/pve"])
    text = conf(6)
    files = {name: KeptConfs(name, [KeptConf("/etc/corosync/corosync.conf", text)]) for name in seen.reports}
    reports = {
        name: dataclasses.replace(report, local=dataclasses.replace(report.local, digest=originals.fingerprint(text)))
        for name, report in seen.reports.items()
        if report.local
    }
    given = Situation(World(expected, dataclasses.replace(seen, reports=reports)), files)
    (one,) = plan.plan(given, diagnose(expected, dataclasses.replace(seen, reports=reports)))
    assert isinstance(one, Repair)
    (step,) = one.steps
    assert "on pve1: /etc/pve/corosync.conf becomes version 6, from pve1 (/etc/corosync/corosync.conf)" in step
    assert machines.do(given, one) == [("pve1", CorosyncConfig(text, originals.fingerprint(BROKEN)))]


LOST = "quorum is lost by three of five"


def test_a_quorum_comes_back_when_all_that_are_left_see_nothing_of_the_lost(machines: Machines) -> None:
    given, one = first(LOST)
    ran = machines.do(given, one)
    assert ran[0::2] == [("pve1", ExpectVotes(2, [2, 3, 4], 1))] * 3, (
        "the votes of those that are still listed come back"
    )
    assert ran[1::2] == [("pve1", ReleaseMember(f"pve{number}", number)) for number in (2, 3, 4)]


@pytest.mark.parametrize("node", ["pve1", "pve5"])
def test_a_lost_node_of_which_any_sees_something_is_not_lost(machines: Machines, node: str) -> None:
    machines.seen = {node: ["10.10.1.103 answers ping"]}
    given, one = first(LOST)
    with pytest.raises(AdminError) as refused:
        machines.do(given, one)
    assert refused.value.code == "node-still-there"
    assert machines.ran == []


def test_those_that_leave_are_reset_when_none_that_stays_lists_them(machines: Machines) -> None:
    expected, seen = world(WORLDS["two sides after a bad removal"])
    guests = Guests({100: "pve1"}, {"pve3": [100], "pve4": []})
    given = Situation(World(expected, seen), guests=guests)
    (one,) = [one for one in plan.plan(given, diagnose(expected, seen)) if isinstance(one, Repair)]
    machines.listing = {"pve1": [1, 2], "pve2": [1, 2, 3]}
    with pytest.raises(AdminError) as refused:
        machines.do(given, one)
    assert refused.value.code == "still-a-member"
    assert machines.ran == []
    machines.listing, machines.cluster = {}, "other"
    with pytest.raises(AdminError) as refused:
        machines.do(given, one)
    assert refused.value.code == "cluster-not-visible"
    assert machines.ran == []
    machines.cluster = "proxmox"
    ran = machines.do(given, one)
    assert [node for node, _ in ran] == ["pve3", "pve4"]
    assert ran[0][1] == ResetNode("proxmox", [3, 4], [100])
    assert ran[1][1] == ResetNode("proxmox", [3, 4], [])


# -- the command -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Calls:
    """What the command does, in order; `worlds`: what each look shows, the last one for ever."""

    done: list[str]
    worlds: list[str]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, machines: Machines) -> Calls:
    found = Calls([], ["corosync does not run on one node", "healthy"])

    @contextmanager
    def opened(_stack: str) -> Iterator[Held]:
        yield Held()

    def look(_held: object) -> tuple[Situation, list[Cause]]:
        return situation(found.worlds.pop(0) if len(found.worlds) > 1 else found.worlds[0])

    async def take(connection: SimpleNamespace, stack: str, *, shared: bool) -> Path:
        found.done.append(f"keep {stack} {connection.machine.name} {shared}")
        return Path("files.tar.gz")

    async def act(_context: object, one: Repair) -> None:
        found.done.append(f"{one.name} {', '.join(one.machines)}")

    del machines
    monkeypatch.setattr(session, "opened", opened)
    monkeypatch.setattr(command, "_look", look)
    monkeypatch.setattr(command, "POLL_S", 0.01)
    monkeypatch.setattr(backup, "take", take)
    monkeypatch.setattr(acts, "ACTS", dict.fromkeys(acts.ACTS, act))
    return found


def test_a_copy_is_kept_then_it_is_done_then_looked_at(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    with chronicle.kept() as kept:
        command.repair("home", only="", lost="", yes=True)
    assert calls.done == ["keep home pve2 True", "services pve2"]
    assert [(one.where, one.what) for one in kept.acts] == [
        ("pve2", "repair services: on pve2 corosync is inactive, pve-cluster is active")
    ]
    shown = capsys.readouterr().out
    assert "lost at worst: " in shown
    assert "what pve2 has is kept in files.tar.gz" in shown
    assert shown.rstrip().endswith("nothing is wrong")


def test_a_healthy_cluster_is_left_as_it_is(calls: Calls) -> None:
    calls.worlds = ["healthy"]
    with chronicle.kept() as kept:
        command.repair("home", only="", lost="", yes=True)
    assert (calls.done, kept.acts) == ([], [])


def test_after_an_answer_it_is_looked_again(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between the question and the answer, somebody may have mended it."""
    asked: list[str] = []
    monkeypatch.setattr(command, "_ask", lambda one, *_, **_more: asked.append(one.name))
    command.repair("home", only="", lost="", yes=False)
    assert (asked, calls.done) == (["services"], [])
    assert "is another one meanwhile" in capsys.readouterr().out
    calls.worlds = ["corosync does not run on one node"] * 2 + ["healthy"]
    command.repair("home", only="", lost="", yes=False)
    assert calls.done == ["keep home pve2 True", "services pve2"]


def test_without_a_copy_nothing_is_done(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    async def take(*_given: object, **_more: object) -> Path:
        raise AdminError("backup-failed", "what pve2 has could not be kept on this machine")

    monkeypatch.setattr(backup, "take", take)
    with pytest.raises(AdminError) as refused:
        command.repair("home", only="", lost="", yes=True)
    assert refused.value.code == "backup-failed"
    assert calls.done == []


def test_a_cause_that_stays_ends_the_command(calls: Calls) -> None:
    calls.worlds = ["corosync does not run on one node"]
    with pytest.raises(AdminError) as refused:
        command.repair("home", only="", lost="", yes=True)
    assert refused.value.code == "repair-without-effect"
    assert calls.done == ["keep home pve2 True", "services pve2"]


def test_one_repair_after_another_until_a_person_is_needed(calls: Calls) -> None:
    calls.worlds = [
        "two of three are broken, so there is no quorum",
        *["corosync does not run on one node"] * 2,
        *["one node is off"] * 2,
    ]
    with pytest.raises(AdminError) as refused:
        command.repair("home", only="", lost="", yes=True)
    assert refused.value.code == "repair-left"
    assert [one for one in calls.done if not one.startswith("keep")] == ["corosync-conf pve2", "services pve2"]


def test_other_repairs_than_the_named_one_are_not_done(calls: Calls) -> None:
    command.repair("home", only="quorum", lost="", yes=True)
    assert calls.done == []


def test_what_pve_hangs_on_is_not_read_for_the_copy(calls: Calls) -> None:
    calls.worlds = ["/etc/pve hangs", "healthy"]
    command.repair("home", only="", lost="", yes=True)
    assert calls.done == ["keep home pve2 False", "services pve2"]
