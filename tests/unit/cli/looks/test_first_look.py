"""The look before the engine is let go: one login for each machine, and nobody's silence hides what others show."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import tarfile
import time
from contextlib import asynccontextmanager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from cli import description, preview, shell
from cli.drift.kinds import SILENT
from cli.engine import engine, environment
from cli.looks import first_look
from cli.run import looking
from cli.run.loaded import LoadedStack
from cli.state.belongings import CLUSTER
from cli.status import command as status_command
from cluster import surroundings
from cluster.contract import Machine
from cluster.errors import AdminError
from cluster.transport import bundle, endpoint, ssh
from cluster.transport.ssh import Completed
from components.recorded import ON_NODE, VM_TYPE
from onnode.contract.documents import document
from onnode.contract.membership import MembershipReport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cli.description import Description
    from cli.engine.engine import Event
    from components.site import Site
    from config.model import OuterHost

HOST, NODES = "virtual", ("proxmox01", "proxmox02", "proxmox03")
MEMBER = document(MembershipReport("", "member", quorate=True))
EMPTY: dict[str, Any] = {"deployment": {}}


def recorded(*vmids: int) -> dict[str, Any]:
    """A state in which each machine has a step, and the cluster has one that any member may answer."""
    parents = {HOST: "HostPrep", **dict.fromkeys(NODES, "NestedPveNode")}
    steps = [
        {
            "urn": f"urn::{name}-step",
            "type": "command:remote:Command",
            "parent": f"urn:pulumi:dev::p::nested-pve-ha:index:{kind}::{name}",
            "inputs": {"create": f"{ON_NODE} dhcp", "stdin": "{}"},
        }
        for name, kind in parents.items()
    ]
    api = {"provider": f"urn:pulumi:dev::p::pulumi:providers:proxmoxve::{HOST}-api::1"}
    vms = [api | {"urn": f"urn::{vmid}", "type": VM_TYPE, "inputs": {"vmId": vmid, "nodeName": HOST}} for vmid in vmids]
    return {"deployment": {"resources": [*steps, *vms]}}


def packed(files: dict[str, str]) -> str:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return base64.b64encode(archive.getvalue()).decode()


class Machines:
    """What answers over SSH, each by its name; notes every login."""

    def __init__(self) -> None:
        self.logins: list[str] = []
        self.off: set[str] = set()
        self.hung: set[str] = set()
        self.membership: dict[str, dict[str, Any]] = dict.fromkeys(NODES, MEMBER)
        self.vms: tuple[int, ...] = (101, 102, 103)

    @asynccontextmanager
    async def connect(self, machine: Machine, _key: str, *, timeout_s: float) -> AsyncIterator[Any]:
        self.logins.append(machine.name)
        await asyncio.sleep(0)
        if machine.name in self.off:
            raise AdminError("host-unreachable", f"{machine.name} cannot be reached", observed=f"{timeout_s:g} s")

        async def run(command: str, *, stdin: str = "", timeout_s: float, **_: object) -> Completed:
            return await self.run(machine.name, command, stdin, timeout_s)

        yield SimpleNamespace(machine=machine, run=run)

    async def run(self, name: str, command: str, stdin: str, timeout_s: float) -> Completed:
        await asyncio.sleep(0)
        if name in self.hung:
            raise AdminError("ssh-timeout", f"a command on {name} did not end", observed=f"after {timeout_s:g} s")
        if command.startswith("cd /"):
            tags = "tags: nested-pve-ha;stack-dev\n"
            files = {f"etc/pve/nodes/{HOST}/qemu-server/{vmid}.conf": tags for vmid in self.vms} if name == HOST else {}
            state = base64.b64encode(f'{name}\n{{"cluster": {{"quorate": 1}}}}'.encode()).decode()
            return Completed(0, "\n".join([state, packed(files), "", *([""] if name == HOST else [])]) + "\n", "")
        if command.startswith("python3"):
            return Completed(0, json.dumps({"changed": False, "facts": self.looked(name, stdin)}), "")
        return Completed(0, "", "")

    def looked(self, name: str, stdin: str) -> dict[str, Any]:
        steps = [
            {"name": step["name"], "actions": [f"mend {name}"], "refusal": None, "facts": None}
            if step["name"] != "membership"
            else {"name": "membership", "actions": [], "refusal": None, "facts": self.membership[name]}
            for step in json.loads(stdin.split("\n", 1)[1])["steps"]
        ]
        return {"steps": steps, "altered": []}


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machines:
    made = Machines()
    monkeypatch.setattr(ssh, "connect", made.connect)
    monkeypatch.setattr(bundle, "DIRECTORY", tmp_path / "authorities")

    async def nobody(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("cluster.transport.certificates.distrust", nobody)
    monkeypatch.setattr(endpoint, "check", lambda *_: asyncio.sleep(0))
    return made


def test_each_machine_is_logged_in_to_once_and_asked_everything(machines: Machines, dev: Description) -> None:
    found = first_look.look(dev, recorded(101, 102, 103))
    assert sorted(machines.logins) == sorted((HOST, *NODES))
    assert set(found.looks) == {HOST, CLUSTER}
    assert len(found.looks[CLUSTER]) == len(NODES)
    assert found.trusted[surroundings.ENDPOINT]
    assert {one.where for one in found.drifted} == {HOST, *NODES}
    assert found.memberships.keys() == set(NODES)
    assert found.unreached == {}


def test_a_node_that_nothing_records_is_asked_when_its_host_has_it(machines: Machines, dev: Description) -> None:
    machines.vms = (102,)
    found = first_look.look(dev, EMPTY)
    assert sorted(machines.logins) == [NODES[1], HOST]
    assert [seen.machine for seen in found.looks[CLUSTER]] == [NODES[1]]
    assert {name: one.state for name, one in found.memberships.items()} == {NODES[1]: "member"}


@pytest.mark.parametrize("how", ["off", "hung"])
def test_a_machine_that_does_not_tell_is_named_and_hides_nothing_of_the_others(
    machines: Machines, dev: Description, how: str
) -> None:
    setattr(machines, how, {NODES[0]})
    found = first_look.look(dev, recorded(101, 102, 103))
    assert {one.where for one in found.drifted if one.kind != SILENT} == {HOST, *NODES[1:]}
    silent = [one for one in found.drifted if one.kind == SILENT]
    assert [one.where for one in silent] == [NODES[0]]
    assert NODES[0] in silent[0].what
    assert silent[0].next
    assert found.memberships.keys() == set(NODES[1:])
    assert {name: one.code for name, one in found.unreached.items()} == (
        {NODES[0]: "host-unreachable"} if how == "off" else {}
    )
    assert found.drifted_of(EMPTY) == silent, "what is not recorded any more did not drift; a silent machine is told"


@pytest.mark.parametrize("how", ["off", "hung"])
def test_an_outer_host_that_does_not_tell_ends_a_run_and_only_silences_itself_in_a_preview(
    machines: Machines, dev: Description, how: str
) -> None:
    setattr(machines, how, {HOST})
    with pytest.raises(AdminError) as refused:
        first_look.look(dev, recorded(101, 102, 103))
    assert HOST in refused.value.render()
    found = first_look.look(dev, recorded(101, 102, 103), all_hosts=False)
    assert [one.where for one in found.drifted if one.kind == SILENT] == [HOST]
    assert {one.where for one in found.drifted if one.kind != SILENT} == set(NODES)


def test_another_member_speaks_for_the_cluster_when_the_first_is_cut_off(machines: Machines, dev: Description) -> None:
    machines.membership = {**machines.membership, NODES[0]: {**MEMBER, "quorate": False, "pve_writable": False}}
    state = recorded(101, 102, 103)
    user = {"members": [], "api": {"endpoint": "https://pve:8006", "user": "pulumi@pve", "tls": "pinned"}}
    user |= {"stack_tag": "stack-dev", "role": "Administrator"}
    state["deployment"]["resources"].append(
        {
            "urn": "urn::cluster-api-user",
            "type": "command:local:Command",
            "inputs": {"create": ".venv/bin/python -m cluster api-user", "stdin": json.dumps(user)},
        }
    )
    found = first_look.look(dev, state)
    assert [(one.where, one.what) for one in found.drifted if one.urn == "urn::cluster-api-user"] == [
        ("cluster", f"not as described, to do: mend {NODES[1]}")
    ]


def test_silence_costs_no_more_than_one_wait(dev: Description, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Machines that accept nothing, at addresses where nobody is: all at once, and for one bound."""
    monkeypatch.setattr(bundle, "DIRECTORY", tmp_path)
    monkeypatch.setattr(ssh, "PORT", 1)
    monkeypatch.setattr(first_look, "CONNECT_S", 1.0)
    monkeypatch.setattr("components.site.Site.machine", _nowhere)
    begin = time.monotonic()
    with pytest.raises(AdminError) as refused:
        first_look.look(dev, recorded(101, 102, 103))
    assert refused.value.code == "host-unreachable"
    assert time.monotonic() - begin < 30


def _nowhere(site: Site, machine: OuterHost) -> Machine:
    return Machine(machine.name, "127.0.0.1", site.public_host_key(machine))


class Engine:
    """Runs nothing, and says so."""

    environment: ClassVar[dict[str, str]] = {}
    stack = "dev"

    def __init__(self, *_: object) -> None:
        self.ran: list[str] = []

    def export(self) -> dict[str, Any]:
        return recorded(101, 102, 103)

    def last_run(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def stack(machines: Machines, dev: Description, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stack dev beside these machines, with this state; the engine plans nothing."""
    state = recorded(101, 102, 103)
    monkeypatch.setattr(description, "read", lambda *_: dev)
    monkeypatch.setattr(environment, "for_engine", dict)
    monkeypatch.setattr(engine, "Engine", Engine)
    monkeypatch.setattr(Engine, "export", lambda _: state)
    monkeypatch.setattr(preview, "scratch", lambda runner, _: nullcontext(runner))
    monkeypatch.setattr(preview, "show", lambda *_: [])
    monkeypatch.setattr(LoadedStack, "trusting", lambda loaded, _: loaded)
    monkeypatch.setattr(looking, "let_guests_settle", lambda *_: None)
    assert machines.logins == []
    return state


@pytest.mark.usefixtures("stack")
def test_the_first_preview_of_all_looks_over_the_state_of_the_stack_that_it_makes(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine takes no state without a version: the first one that looked ended in its error."""
    made: dict[str, Any] = {"version": 3, "deployment": {}}
    states: list[dict[str, Any]] = []
    taken: list[dict[str, Any]] = []
    machines.vms = ()

    def scratch(runner: Engine, state: dict[str, Any]) -> nullcontext[Engine]:
        taken.append(state)
        return nullcontext(runner)

    monkeypatch.setattr(Engine, "export", lambda _: states[-1] if states else None)
    monkeypatch.setattr(Engine, "create_stack", lambda _: states.append(made), raising=False)
    monkeypatch.setattr(preview, "scratch", scratch)
    preview.preview("dev", look=True)
    assert taken == [made]


SILENCE = "the plan uses what is recorded"
INCOMPLETE = "the plan is not complete: the API user of the cluster was changed"
UNRECORDED = "nothing is recorded of stack dev here, so everything is planned as new"
DESTROYED = "stack dev was destroyed on 2026-11-28 at "
DESTROY = {"kind": "destroy", "result": "succeeded", "endTime": "2026-11-28T12:00:45.000Z"}


def looked(capsys: pytest.CaptureFixture[str]) -> str:
    preview.preview("dev", look=True)
    return capsys.readouterr().out


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(("off", "whom"), [((HOST, *NODES), "no machine answered:"), (NODES[:1], "for these machines")])
def test_a_preview_that_looks_names_who_did_not_answer(
    machines: Machines, capsys: pytest.CaptureFixture[str], off: tuple[str, ...], whom: str
) -> None:
    assert SILENCE not in looked(capsys)
    machines.off = {*off}
    said = looked(capsys)
    assert [said.count(f"not looked at: {name}: {name} cannot be reached") for name in off] == [1] * len(off)
    assert said.count("not looked at") == len(off)
    assert f"  {whom} {SILENCE}" in said


def test_machines_of_which_nothing_is_recorded_are_named_too(
    machines: Machines, stack: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """It said nothing at all of a new stack whose machines were all off."""
    stack["deployment"] = {}
    machines.off = {HOST}
    said = looked(capsys)
    assert f"not looked at: {HOST}" in said
    assert SILENCE in said


def test_a_plan_without_the_user_of_the_api_is_not_complete_and_says_so(
    stack: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert INCOMPLETE not in looked(capsys)
    user = {"members": [], "api": {"endpoint": "https://pve:8006", "user": "pulumi@pve", "tls": "pinned"}}
    user |= {"stack_tag": "stack-dev", "role": "Administrator"}
    step = {"create": ".venv/bin/python -m cluster api-user", "stdin": json.dumps(user)}
    stack["deployment"]["resources"].append({"urn": "urn::user", "type": "command:local:Command", "inputs": step})
    assert INCOMPLETE in looked(capsys)


@pytest.mark.parametrize("looking", [False, True])
def test_a_preview_of_what_nothing_records_says_so(
    machines: Machines,
    stack: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    looking: bool,
) -> None:
    preview.preview("dev", look=looking)
    assert UNRECORDED not in capsys.readouterr().out
    stack["deployment"] = {}
    if looking:
        with pytest.raises(AdminError, match="exists already"):
            preview.preview("dev", look=True)
    machines.vms = ()
    preview.preview("dev", look=looking)
    said = capsys.readouterr().out
    assert UNRECORDED in said
    assert "`make adopt STACK=dev`" in said
    monkeypatch.setattr(Engine, "last_run", lambda _: DESTROY)
    preview.preview("dev", look=looking)
    assert DESTROYED in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "result", "words"),
    [("destroy", "succeeded", DESTROYED), ("destroy", "failed", UNRECORDED), ("update", "succeeded", UNRECORDED)],
)
def test_why_everything_is_new_alarms_nobody_after_the_stack_was_destroyed(kind: str, result: str, words: str) -> None:
    """It said after each `make down` that the state may be elsewhere, or lost."""
    said = preview.why_new("dev", DESTROY | {"kind": kind, "result": result})
    assert words in said
    assert ("make adopt" in said) == (words == UNRECORDED)


@pytest.mark.usefixtures("stack")
def test_a_shell_names_who_did_not_answer_and_keeps_standard_output(
    machines: Machines, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.environment_of("dev")
    assert capsys.readouterr() == ("", "")
    machines.off = {NODES[0], HOST}
    shell.environment_of("dev")
    said = capsys.readouterr()
    assert said.out == ""
    assert [f"not looked at: {name}: " in said.err for name in (HOST, *NODES)] == [True, True, False, False]


@pytest.mark.parametrize("built", [True, False])
def test_status_names_the_outer_host_before_the_nodes_that_are_vms_on_it(
    machines: Machines, stack: dict[str, Any], capsys: pytest.CaptureFixture[str], *, built: bool
) -> None:
    """Of a stack that is not built, nobody had asked the host."""
    if not built:
        stack["deployment"] = {}
    machines.off = {HOST, *NODES}
    with pytest.raises(AdminError) as differs:
        status_command.status("dev", as_json=False)
    assert (differs.value.code, differs.value.observed) == ("not-as-described", "4 findings")
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✗") or "next:" in line]
    assert [line.split(":")[0] for line in found[::2]] == [f"✗ {name}" for name in (HOST, *NODES)]
    assert [line.strip() for line in found[3::2]] == [
        f"next: bring back {HOST} first: {name} is a VM on it" for name in NODES
    ]


@pytest.mark.usefixtures("stack")
def test_an_outer_host_that_answers_is_no_finding(machines: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    machines.off = {*NODES}
    with pytest.raises(AdminError, match="not-as-described"):
        status_command.status("dev", as_json=False)
    said = capsys.readouterr().out
    assert f"✗ {NODES[0]}" in said
    assert "is a VM on it" not in said


@pytest.mark.parametrize("looking", [False, True])
def test_a_preview_reaches_no_machine_unless_it_is_told_to_look(
    machines: Machines, dev: Description, monkeypatch: pytest.MonkeyPatch, *, looking: bool
) -> None:
    monkeypatch.setattr(description, "read", lambda *_: dev)
    monkeypatch.setattr(environment, "for_engine", dict)
    monkeypatch.setattr(engine, "Engine", Engine)
    monkeypatch.setattr(LoadedStack, "trusting", lambda loaded, _: loaded)
    monkeypatch.setattr(preview, "scratch", lambda runner, _: nullcontext(runner))
    previewed: list[str] = []

    def show(loaded: LoadedStack, *_: object) -> list[Event]:
        previewed.append(loaded.engine.stack)
        return []

    monkeypatch.setattr(preview, "show", show)
    preview.preview("dev", look=looking)
    assert previewed == ["dev"]
    assert sorted(machines.logins) == (sorted((HOST, *NODES)) if looking else [])
