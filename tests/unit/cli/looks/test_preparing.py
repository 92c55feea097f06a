"""What is done before the engine is let go: by the steps, whatever else the stack file changes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli import up
from cli.drift import power
from cli.drift.kinds import STEP
from cli.drift.model import Drift
from cli.looks import first_look, preparing
from cli.run import loading
from cli.run.loaded import LoadedStack
from cli.state.belongings import CLUSTER
from cluster import marks
from cluster.errors import AdminError
from cluster.transport import members, shipped
from cluster.transport.nodes import StepResult
from onnode.contract.formation import ApiUser
from onnode.contract.host import VmPower
from onnode.errors import StepError
from tests.unit.cli.looks.test_settling import POWER, RECORDED, Runs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from cli.description import Description
    from cluster.contract import Machine

START = preparing.start  # as it is; `Runs` only notes it
USER = "urn:pulumi:dev::p::nested-pve-ha:index:CorosyncCluster$command:local:Command::cluster-api-user"


class Machines:
    """All that were asked, and what they were asked to do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *silent: str) -> None:
        self.silent = silent
        self.asked: list[tuple[str, str, Any]] = []
        self.fails: dict[str, StepError] = {}
        self.narrated: set[str] = set()
        monkeypatch.setattr(members, "connections", self.connections)
        monkeypatch.setattr(shipped, "run", self.run)

    @asynccontextmanager
    async def connections(self, machines: Iterable[Machine], *_: object, **__: object) -> AsyncIterator[dict[str, Any]]:
        silence = AdminError("host-unreachable", "no answer")
        yield {one.name: silence if one.name in self.silent else SimpleNamespace(machine=one) for one in machines}

    async def run(  # a double
        self,
        connection: Any,  # noqa: ANN401
        step: str,
        wanted: Any,  # noqa: ANN401
        *,
        quiet: bool = True,
        **_: object,
    ) -> StepResult:
        await asyncio.sleep(0)
        self.narrated |= set() if quiet else {step}
        self.asked.append((connection.machine.name, step, wanted))
        if error := self.fails.get(wanted.name if isinstance(wanted, VmPower) else ""):
            raise error
        return StepResult(changed=True, facts={})


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Machines:
    return Machines(monkeypatch)


def seen(name: str, cluster: str = "proxmox") -> marks.Look:
    return marks.Look(name, name, quorate=True, things=(), cluster=cluster)


def test_each_node_that_is_off_is_started_at_its_host_and_no_other(dev: Description, machines: Machines) -> None:
    preparing.start(dev, {"proxmox02-install", "proxmox03-install"})
    assert {(where, step, wanted.name) for where, step, wanted in machines.asked} == {
        ("virtual", "vm-power", "proxmox02"),
        ("virtual", "vm-power", "proxmox03"),
    }
    wanted = machines.asked[0][2]
    assert wanted == power.powered(dev, next(one for one in dev.config.nodes if one.name == wanted.name))  # type: ignore[arg-type]
    assert wanted.ssh_host_key.startswith("ecdsa-sha2-nistp256 ")
    assert machines.narrated == set(), "the run has said already what is started, and why"


def test_a_node_that_does_not_come_up_is_told_after_the_others_were_started(
    dev: Description, machines: Machines
) -> None:
    machines.fails["proxmox02"] = StepError("node-not-up", "proxmox02 did not answer")
    with pytest.raises(StepError) as failed:
        preparing.start(dev, {"proxmox02-install", "proxmox03-install"})
    assert failed.value.code == "node-not-up"
    assert len(machines.asked) == 2


def test_the_user_is_put_back_by_a_member_and_never_on_a_machine_that_is_still_to_join(
    dev: Description, machines: Machines
) -> None:
    looks = [seen("proxmox01", cluster=""), seen("proxmox02"), seen("proxmox03")]
    assert preparing.put_access_back(dev, looks)
    [(where, step, wanted)] = machines.asked
    assert (where, step) == ("proxmox02", "api-user")
    assert machines.narrated == {"api-user"}
    assert isinstance(wanted, ApiUser)
    assert (wanted.user, wanted.stack_tag) == (dev.config.cluster.api.user, "stack-dev")
    assert wanted.password == dev.credentials.api_password.get_secret_value()


@pytest.mark.parametrize("looks", [[], [seen("proxmox01", cluster="")]])
def test_without_a_working_member_nothing_is_done(
    dev: Description, machines: Machines, looks: list[marks.Look]
) -> None:
    with pytest.raises(AdminError) as refused:
        preparing.put_access_back(dev, looks)
    assert refused.value.code == "member-not-working"
    assert machines.asked == []


def test_no_run_of_the_engine_is_about_some_resources_only(dev: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a guest out of the stack file the engine refused such runs, by names that nobody had typed."""
    user = {"type": "command:local:Command", "urn": USER, "inputs": {"create": "admin step api-user", "stdin": "{}"}}
    state = {"deployment": {"resources": [*RECORDED["deployment"]["resources"], user]}}
    looks = {CLUSTER: [seen("proxmox01")]}
    gone = Drift(USER, "cluster", "add pulumi@pve", STEP)
    machines = Machines(monkeypatch)
    runs = Runs(monkeypatch, dev, first_look.FirstLook(looks, {}, [POWER]), first_look.FirstLook(looks, {}, [gone]))
    monkeypatch.setattr(preparing, "start", START)
    loaded = LoadedStack(dev, runs.engine, state)  # type: ignore[arg-type]
    runs.engine.state = state
    monkeypatch.setattr(loading, "load", lambda *_, **__: loaded)
    up.up("dev", yes=True)
    assert [step for _, step, _ in machines.asked] == ["vm-power", "api-user"]
    assert [one for one in runs.done if one.startswith("up")] == ["up refresh  drifted: cluster: add pulumi@pve"]
