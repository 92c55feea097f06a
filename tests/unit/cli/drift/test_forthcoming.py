"""Steps that are only planned are asked, too: a preview that looks refuses what their run would refuse."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cli import preview
from cli.drift import forthcoming
from cli.looks import first_look
from cli.run import engine_runs
from cli.run import planned as shown_plan
from cli.run.engine_runs import RunError
from cli.run.loaded import LoadedStack
from cli.state.belongings import CLUSTER
from cluster.transport import members, shipped
from cluster.transport.nodes import StepResult
from components.recorded import ADMIN, LOCAL_STEP, ON_NODE, REMOTE_STEP
from onnode import look as on_node
from onnode.cluster import storage
from onnode.contract.documents import document
from onnode.contract.formation import Storage
from onnode.contract.host import Bridge, BridgePorts, Dhcp, NfsExport, VerifyHost
from onnode.contract.membership import MembershipReport
from onnode.errors import StepError
from onnode.host import dhcp, nfs_export, verify_host
from onnode.step import converge
from onnode.system import marks
from tests.support.fake_machine import FakeMachine
from tests.support.onnode_worlds import Systemd, interfaces, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from cli.description import Description
    from cluster.contract import Machine
    from onnode.step import Step

HOST, SEED = "virtual", "proxmox01"
PARENT = f"urn:pulumi:dev::p::nested-pve-ha:index:HostPrep::{HOST}"
BRIDGES = [Bridge("vmbr1", "10.10.1.1/24", "10.10.1.10", "10.10.1.20")]
DHCP = Dhcp("dev", BRIDGES)
EXPORT = NfsExport("dev", "/srv/dev", "10.30.1.0/24")
VERIFY = VerifyHost("dev", 9, [101], BRIDGES, 1024, None, [])
SHARED = Storage("stack-dev", "shared", "10.30.1.1", "/srv/dev", ["images"])
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # what the engine shows for what it does not know


def urn(name: str, kind: str) -> str:
    return f"urn:pulumi:dev::p::{kind}::{name}"


def planned(name: str, step: str, stdin: object, *, op: str = "create", before: str = "") -> dict[str, Any]:
    inputs = {"create": f"{ON_NODE} {step}", "stdin": json.dumps(stdin) if isinstance(stdin, dict) else stdin}
    metadata = {
        "op": op,
        "urn": urn(name, REMOTE_STEP),
        "type": REMOTE_STEP,
        "old": {"inputs": {"stdin": before}},
    }
    return {"resourcePreEvent": {"metadata": {**metadata, "new": {"inputs": inputs, "parent": PARENT}}}}


def planned_here(name: str, step: str, wanted: dict[str, Any]) -> dict[str, Any]:
    inputs = {"create": f"{ADMIN} {step}", "stdin": json.dumps(wanted)}
    metadata = {"op": "create", "urn": urn(name, LOCAL_STEP), "type": LOCAL_STEP}
    return {"resourcePreEvent": {"metadata": {**metadata, "new": {"inputs": inputs, "parent": ""}}}}


class Machines:
    """Each answers the look as the real on-node code finds it; notes who was logged in to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.made: dict[str, FakeMachine] = {}
        self.logins: list[str] = []
        self.working = {SEED}
        for name in (HOST, SEED, "proxmox02"):
            self.made[name] = FakeMachine(root / name)
            Systemd(self.made[name])
            interfaces(self.made[name], {"name": "vmbr0"})
            self.made[name].programs["dpkg-query"] = lambda *_: "installed 9.1.1\n"
            self.made[name].write("/proc/cpuinfo", "flags: vmx\n")
            self.made[name].write("/proc/meminfo", "MemTotal: 99999999 kB\n")
        monkeypatch.setattr(members, "connections", self.connections)
        monkeypatch.setattr(shipped, "run", self.run)

    @asynccontextmanager
    async def connections(self, machines: Iterable[Machine], *_: object, **__: object) -> AsyncIterator[dict[str, Any]]:
        found = list(machines)
        self.logins += [machine.name for machine in found]
        yield {machine.name: SimpleNamespace(machine=machine) for machine in found}

    async def run(self, connection: Any, step: str, wanted: Any, **_: object) -> StepResult:  # noqa: ANN401 - a double
        await asyncio.sleep(0)
        assert step == "look"
        name = connection.machine.name
        asked = [one for one in wanted.steps if one.name != "membership"]
        facts = converge(on_node.STEP, self.made[name], type(wanted)(asked, {})).facts
        if len(asked) < len(wanted.steps):
            member = document(MembershipReport(name, "member", quorate=name in self.working))
            facts["steps"].append({"name": "membership", "actions": [], "refusal": None, "facts": member})
        return StepResult(changed=False, facts=facts)


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machines:
    return Machines(monkeypatch, tmp_path)


def foreign_file(machine: FakeMachine) -> None:
    machine.write("/etc/nested-pve-ha/dhcp/vmbr1.conf", "# by hand\n")


def foreign_unit(machine: FakeMachine) -> None:
    machine.write(dhcp.UNIT_FILE, "[Unit]\n")


def foreign_exports(machine: FakeMachine) -> None:
    machine.write(nfs_export.exports_file("dev"), "/srv *(rw)\n")


def foreign_subnet(machine: FakeMachine) -> None:
    interfaces(machine, {"name": "vmbr7", "address": "10.10.1.5/24"})


def no_card(_: FakeMachine) -> None:
    """It is as all machines here are."""


def refusal(machine: FakeMachine, step: Any, wanted: object) -> StepError:  # noqa: ANN401 - of any step
    with pytest.raises(StepError) as refused:
        run(machine, step, wanted)
    return refused.value


def contents(machine: FakeMachine) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in machine.path("/").rglob("*") if path.is_file()}


CARD = VerifyHost("dev", 9, [], [], 1024, None, [BridgePorts("vmbr1", ["eno9"])])


class Case(NamedTuple):
    """What is in the way, and the step that finds it."""

    world: Callable[[FakeMachine], None]
    code: str
    step: Step[Any, Any]
    wanted: object


@pytest.mark.parametrize(
    "case",
    [
        Case(foreign_file, "foreign-file", dhcp.STEP, DHCP),
        Case(foreign_unit, "foreign-file", dhcp.STEP, DHCP),
        Case(foreign_exports, "foreign-file", nfs_export.STEP, EXPORT),
        Case(foreign_subnet, "foreign-subnet", verify_host.STEP, VERIFY),
        Case(no_card, "interface-missing", verify_host.STEP, CARD),
    ],
    ids=lambda case: f"{case.code} {case.world.__name__}",
)
@pytest.mark.parametrize("op", ["create", "update"])
def test_what_is_in_the_way_on_a_host_is_refused_in_the_words_of_the_run(
    dev: Description, machines: Machines, case: Case, op: str
) -> None:
    world, code, step, wanted = case
    host = machines.made[HOST]
    name = step.observe.__module__.rpartition(".")[2].replace("_", "-")
    events = [planned(f"{HOST}-{name}", name, document(wanted), op=op, before="{}")]
    assert forthcoming.forecast(dev, forthcoming.planned(events), [HOST]).refused == [] or world is no_card, (
        "nothing is in the way yet"
    )
    world(host)
    before = contents(host)
    (told,) = forthcoming.forecast(dev, forthcoming.planned(events), [HOST]).refused
    assert (told.code, told.resource) == (code, f"{HOST}-{name}")
    assert contents(host) == before
    assert told.text == refusal(host, step, wanted).render()


def test_a_storage_of_somebody_else_is_refused_where_one_is_planned(dev: Description, machines: Machines) -> None:
    text = "nfs: shared\n\tserver 10.30.1.1\n\texport /srv/dev\n\tpath /mnt/pve/shared\n\tcontent images\n"
    for machine in machines.made.values():
        machine.write(storage.FILE, text)
    events = [planned_here("cluster-storage-shared", "storage", {"members": [], "storage": document(SHARED)})]
    (told,) = forthcoming.forecast(dev, forthcoming.planned(events), [HOST, SEED, "proxmox02"]).refused
    assert told.code == "storage-foreign"
    assert told.text == f"{refusal(machines.made[SEED], storage.STEP, SHARED).render()}\n  on: {SEED}"
    assert sorted(machines.logins) == [SEED, "proxmox02"]
    machines.made[SEED].write(marks.path("storage", "shared"), "stack-dev\n")
    assert forthcoming.forecast(dev, forthcoming.planned(events), [SEED]).refused == []


def test_a_member_that_does_not_work_does_not_speak_for_the_cluster(dev: Description, machines: Machines) -> None:
    machines.working = set()
    events = [planned_here("cluster-storage-shared", "storage", {"members": [], "storage": document(SHARED)})]
    found = forthcoming.forecast(dev, forthcoming.planned(events), [SEED])
    assert (found.refused, found.unasked) == ([], ["cluster-storage-shared"])


def test_what_cannot_be_asked_is_named_and_nobody_is_logged_in_to_for_it(dev: Description, machines: Machines) -> None:
    """What it finds is changed by the steps before it, or its machine or its input is not there yet."""
    events = [
        planned("proxmox01-install", "install-node", "[secret]"),
        planned(f"{HOST}-dhcp", "dhcp", UNKNOWN),
        planned("proxmox01-verify", "verify-node", {}),
        planned(f"{HOST}-nfs-export", "nfs-export", document(EXPORT), op="same", before="{}"),
        planned(f"{HOST}-kvm-nested", "kvm-nested", {"a": 1}, op="update", before='{"a": 1}'),
        planned(f"{HOST}-verify-host", "verify-host", document(VERIFY)),
    ]
    found = forthcoming.forecast(dev, forthcoming.planned(events), [])
    assert (found.refused, machines.logins) == ([], [])
    assert found.unasked == ["proxmox01-install", "proxmox01-verify", f"{HOST}-dhcp", f"{HOST}-verify-host"]
    assert found.silence.startswith(f"not looked at: what proxmox01-install, proxmox01-verify, {HOST}-dhcp and 1 more ")
    assert forthcoming.forecast(dev, forthcoming.planned(events[3:5]), [HOST]) == forthcoming.Forecast()


def test_an_existing_guest_is_known_from_the_first_look_once_there_is_a_cluster(dev: Description) -> None:
    events = [planned_here("web-existing-guest", "existing-guest", {})]
    assert forthcoming.forecast(dev, forthcoming.planned(events), [CLUSTER]).unasked == []
    assert forthcoming.forecast(dev, forthcoming.planned(events), [SEED]).unasked == ["web-existing-guest"]


def test_a_host_whose_bridge_only_the_journal_will_know_is_not_refused(dev: Description, machines: Machines) -> None:
    """Of a bridge with this stack's mark, the step before writes down that it is ours."""
    interfaces(machines.made[HOST], {"name": "vmbr1", "address": "10.10.1.1/24"})
    events = [planned(f"{HOST}-verify-host", "verify-host", document(VERIFY))]
    assert forthcoming.forecast(dev, forthcoming.planned(events), [HOST]).refused == []


def test_a_preview_that_looks_ends_with_it_and_one_that_does_not_look_is_green(
    dev: Description, machines: Machines, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign_file(machines.made[HOST])
    events = [planned(f"{HOST}-dhcp", "dhcp", document(DHCP)), planned("proxmox01-install", "install-node", "[secret]")]
    loaded: Any = LoadedStack(dev, None, {"deployment": {}})  # type: ignore[arg-type]
    seen = first_look.FirstLook({HOST: []}, {}, [])
    with pytest.raises(RunError) as refused:
        preview.refuse_planned(loaded, events, seen)
    assert "/etc/nested-pve-ha/dhcp/vmbr1.conf already exists" in refused.value.render()
    shown = "".join(capsys.readouterr())
    assert "Planned steps" in shown
    assert "not looked at: what proxmox01-install would find" in shown
    preview.refuse_planned(loaded, [], seen)
    assert "Planned steps" not in "".join(capsys.readouterr()), "nothing is planned, so there is nothing to look at"
    monkeypatch.setattr(engine_runs, "judged", lambda *_: SimpleNamespace(events=events))
    monkeypatch.setattr(shown_plan, "show", lambda *_: [])
    machines.logins.clear()
    assert preview.show(loaded) == events
    assert machines.logins == []
