"""Who is asked, in which order, and whom nobody logs in to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from cli.adopt import look
from cluster.contract import Machine
from cluster.errors import AdminError
from cluster.transport import certificates, endpoint, members, shipped, ssh
from cluster.transport.certificates import Held
from cluster.transport.nodes import StepResult
from onnode.contract.documents import document
from tests.support import live_cluster
from tests.unit.cli.adopt.test_describe import FOUND, first_says

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from cli.adopt.found import Found
    from onnode.errors import StepError

URL = "https://192.168.0.101:8006"
KEY = live_cluster.host_key("pve1")
CONFIRMED = ssh.fingerprint_of(KEY)


class Connection:
    """To a member, which answers as it was found."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine


class World:
    """A live cluster, and who logs in to whom in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, found: Found) -> None:
        self.found, self.logins, self.compared = found, [], {}  # type: tuple[Found, list[Machine], Mapping[str, Held]]
        self.silent: dict[str, StepError] = {}
        monkeypatch.setattr(ssh, "presented", self.presented)
        monkeypatch.setattr(ssh, "connect", self.connect)
        monkeypatch.setattr(members, "connections", self.connections)
        monkeypatch.setattr(members, "ask", self.ask)
        monkeypatch.setattr(shipped, "run", self.run)
        monkeypatch.setattr(certificates, "all_held", self.held)
        monkeypatch.setattr(endpoint, "who", self.who)

    async def presented(self, address: str) -> str | None:
        return KEY if address == "192.168.0.101" else None

    @asynccontextmanager
    async def connect(self, machine: Machine, _key: str) -> AsyncIterator[Connection]:
        self.logins.append(machine)
        yield Connection(machine)

    @asynccontextmanager
    async def connections(self, machines: Iterable[Machine], _key: str) -> AsyncIterator[dict[str, Connection]]:
        self.logins += (others := list(machines))
        yield {one.name: Connection(one) for one in others}

    async def ask(self, opened: dict[str, Connection], question: object) -> dict[str, object]:
        return {name: self.silent.get(name) or await question(one) for name, one in opened.items()}  # type: ignore[operator]

    async def run(self, connection: Connection, step: str, _desired: None, *, timeout_s: float) -> StepResult:
        assert (step, timeout_s) == ("inventory", look.LOOK_S)
        name = connection.machine.name if connection.machine.name in self.found.members else self.found.first
        return StepResult(changed=False, facts=document(self.found.members[name]))

    async def held(self, connection: Connection) -> Held:
        return Held(f"of {connection.machine.address}", None)

    async def who(self, _url: str, own: Mapping[str, Held]) -> str:
        self.compared = own
        return self.found.first

    def look(self, *, url: str = URL, confirmed: str = CONFIRMED) -> Found:
        return asyncio.run(look.look(url, confirmed, "key"))


def refused(world: World, **given: str) -> AdminError:
    with pytest.raises(AdminError) as refusal:
        world.look(**given)
    return refusal.value


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch, FOUND)


def test_the_others_are_trusted_by_what_the_confirmed_one_has_of_them(world: World) -> None:
    found = world.look()
    assert found == FOUND
    assert world.logins == [
        Machine("192.168.0.101", "192.168.0.101", KEY),
        *(Machine(f"pve{n}", f"192.168.0.10{n}", live_cluster.host_key(f"pve{n}")) for n in (2, 3)),
    ]
    assert {name: one.certificate for name, one in world.compared.items()} == {
        f"pve{n}": f"of 192.168.0.10{n}" for n in (1, 2, 3)
    }


@pytest.mark.parametrize(
    "confirmed",
    ["", "SHA256:of another", ssh.fingerprint_of(live_cluster.host_key("pve2"))],
    ids=["none", "no fingerprint", "that of another member"],
)
def test_nobody_logs_in_where_no_fingerprint_is_confirmed(world: World, confirmed: str) -> None:
    error = refused(world, confirmed=confirmed)
    assert error.code == "adopt-unconfirmed"
    assert f"(ssh-ed25519) has the fingerprint {CONFIRMED}" in error.observed
    assert "ssh-keygen -lf" in error.fix
    assert world.logins == []


def test_a_fingerprint_may_be_given_without_its_kind(world: World) -> None:
    assert world.look(confirmed=f" {CONFIRMED.removeprefix('SHA256:')}\n") == FOUND


def test_nobody_answers_there(world: World) -> None:
    assert refused(world, url="https://192.168.0.99:8006").code == "host-unreachable"
    assert world.logins == []


def test_no_other_member_is_asked_of_a_cluster_that_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, first_says(FOUND, quorum=None))
    assert refused(world).code == "adopt-no-quorum"
    assert [machine.name for machine in world.logins] == ["192.168.0.101"]
    assert world.compared == {}


def test_a_member_that_does_not_answer_is_named(world: World) -> None:
    world.silent["pve3"] = AdminError("ssh-auth-failed", "pve3 refuses the key")
    error = refused(world)
    assert (error.code, error.what) == ("ssh-auth-failed", "pve3 refuses the key")
