"""What the engine trusts, and where the cluster is asked, after a look at all machines; and who is refused."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Self, cast

import pytest

from cli.looks import trust
from cluster import surroundings
from cluster.call import Call
from cluster.contract import CheckCertificate, Machine, Secrets
from cluster.errors import AdminError
from cluster.steps import check_certificate
from cluster.transport import bundle, certificates, endpoint, members
from cluster.transport.certificates import Held
from cluster.transport.ssh import Completed
from components.recorded import VM_TYPE
from tests.support.tls import Authority, Capture, capturing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path

    from cli.description import Description
    from cluster.transport.ssh import Connection

HOST, NODES = "virtual", ("proxmox01", "proxmox02", "proxmox03")
ADDRESSES = {HOST: "127.0.0.1", "proxmox01": "127.0.0.11", "proxmox02": "127.0.0.12", "proxmox03": "127.0.0.13"}
MADE = {
    "deployment": {
        "resources": [{"type": VM_TYPE, "urn": f"urn::{vmid}", "inputs": {"vmId": vmid}} for vmid in (101, 102, 103)]
    }
}


class World:
    """Machines on the loopback, each with its API; what they hold is what SSH would tell."""

    def __init__(self, directory: Path, described: Description) -> None:
        self._directory = directory
        self.authority = {HOST: Authority("host"), **dict.fromkeys(NODES, Authority("cluster"))}
        pairs = {name: self.authority[name].issue(ADDRESSES[name], name) for name in ADDRESSES}
        self.shown = {name: [pair] for name, pair in pairs.items()}
        self.held = {name: Held(pair[0], self.authority[name].pem, quorate=True) for name, pair in pairs.items()}
        self.described = described
        self.servers: dict[str, Capture] = {}
        self.asked: list[str] = []
        self.looked: list[str] = []
        self.before: dict[str, Held] = {}  # what was held at the first look, where it was something else
        self.silent: set[str] = set()

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        port = 0
        for name, pairs in self.shown.items():
            if name in self.silent:
                self._stack.enter_context(socket.create_server((ADDRESSES[name], port)))
                continue
            # One port for all, as Proxmox has it; each machine has its own address.
            serving = capturing(self._directory / name, pairs, ADDRESSES[name], port)
            self.servers[name] = self._stack.enter_context(serving)
            port = self.servers[name].port
        self.port = port
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def description(self) -> Description:
        config = self.described.config
        host = config.outer_hosts[0].model_copy(
            update={"address": IPv4Address("127.0.0.1"), "endpoint": f"https://127.0.0.1:{self.port}"}
        )
        nodes = tuple(node.model_copy(update={"address": IPv4Address(ADDRESSES[node.name])}) for node in config.nodes)
        api = config.cluster.api.model_copy(update={"endpoint": f"https://pve.lab.internal:{self.port}"})
        cluster = config.cluster.model_copy(update={"api": api})
        changed = config.model_copy(update={"outer_hosts": (host,), "nodes": nodes, "cluster": cluster})
        return replace(self.described, config=changed)

    def look(self, state: dict[str, object] | None = None) -> dict[str, str]:
        with self:
            found, silent = asyncio.run(trust.looked(self.description(), state or MADE))
        assert set(silent) == {name for name in self.asked if name not in self.held}
        return found

    def endpoint(self, name: str) -> str:
        return f"https://{ADDRESSES[name]}:{self.port}"

    @asynccontextmanager
    async def connections(self, machines: Iterable[Machine], *_: object, **__: object) -> AsyncIterator[object]:
        self.asked = [machine.name for machine in machines]
        yield {name: name if name in self.held else AdminError("host-unreachable", "no") for name in self.asked}

    async def all_held(self, connection: Connection) -> Held:
        name = cast("str", connection)
        self.looked.append(name)
        return self.before.pop(name) if name in self.before else self.held[name]


@pytest.fixture
def world(tmp_path: Path, dev: Description, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path, dev)
    monkeypatch.setattr(bundle, "DIRECTORY", tmp_path / "authorities")
    monkeypatch.setattr(members, "connections", made.connections)
    monkeypatch.setattr(certificates, "all_held", made.all_held)
    monkeypatch.setattr(certificates, "OLD_WORKERS_S", 0.3)
    monkeypatch.setattr(trust, "JOIN_S", 2.0)
    monkeypatch.setattr(trust, "JOIN_POLL_S", 0.01)
    yield made
    # Whatever was looked at, nothing was said to anybody.
    assert not any(server.captured for server in made.servers.values())


def test_the_engine_trusts_the_system_and_each_machines_own_authority_and_asks_the_seed(world: World) -> None:
    given = world.look()
    assert given[surroundings.ENDPOINT] == world.endpoint("proxmox01")
    text = bundle.of("dev").read_text()
    assert given[bundle.VARIABLE] == str(bundle.of("dev"))
    assert all(world.authority[name].pem.strip() in text for name in ADDRESSES)
    assert text.count("BEGIN CERTIFICATE") > len(ADDRESSES) + 2, "the system's authorities are missing"


def test_another_member_is_asked_when_the_seed_is_dead_or_not_quorate(world: World) -> None:
    del world.held["proxmox01"]
    assert world.look()[surroundings.ENDPOINT] == world.endpoint("proxmox02")
    world.held["proxmox02"] = replace(world.held["proxmox02"], quorate=False)
    assert world.look()[surroundings.ENDPOINT] == world.endpoint("proxmox03")


def test_nodes_that_were_never_made_are_not_waited_for(world: World) -> None:
    given = world.look({"deployment": {}})
    assert world.asked == [HOST]
    assert given[surroundings.ENDPOINT] == world.endpoint("proxmox01")


def test_an_outer_host_that_takes_connections_and_says_nothing_is_refused_instead_of_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "TLS_S", 0.5)
    world.silent = {HOST}
    world.shown = {"proxmox01": world.shown["proxmox01"], **world.shown}  # somebody else's port is the port of all
    begin = time.monotonic()
    with pytest.raises(AdminError) as caught:
        world.look()
    assert time.monotonic() - begin < 30
    assert caught.value.code == "api-unreachable"
    assert world.endpoint(HOST) in caught.value.render()
    assert "systemctl restart pveproxy" in caught.value.fix


def test_a_silent_member_is_not_asked_and_a_cluster_of_silent_ones_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "TLS_S", 0.5)
    world.silent = {"proxmox01"}
    assert world.look()[surroundings.ENDPOINT] == world.endpoint("proxmox02")
    world.silent = set(NODES)
    with pytest.raises(AdminError) as caught:
        world.look()
    assert caught.value.code == "api-unreachable"


def test_a_member_that_does_not_speak_is_no_refusal_before_there_is_a_cluster(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "TLS_S", 0.5)
    world.silent = set(NODES)
    world.held = {name: replace(held, quorate=False) for name, held in world.held.items()}
    assert world.look()[surroundings.ENDPOINT] == world.endpoint("proxmox01")


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_foreign_server_in_place_of_any_api_is_refused(world: World, name: str) -> None:
    world.shown[name] = [Authority("foreign").issue(ADDRESSES[name], name)]
    with pytest.raises(AdminError) as caught:
        world.look()
    assert caught.value.code == "api-certificate"
    assert world.endpoint(name) in caught.value.render()


def test_a_foreign_server_on_the_machine_itself_is_refused_since_pveproxy_does_not_run(world: World) -> None:
    pair = Authority("foreign").issue(ADDRESSES["proxmox02"])
    world.shown["proxmox02"] = [pair]
    world.held["proxmox02"] = replace(world.held["proxmox02"], served=pair[0], serving=False)
    with pytest.raises(AdminError) as caught:
        world.look()
    assert caught.value.code == "api-certificate"


def test_a_pveproxy_with_the_certificate_of_before_a_join_is_left_to_the_steps(world: World) -> None:
    pair = Authority("before").issue(ADDRESSES["proxmox01"])
    world.shown["proxmox01"] = [pair]
    world.held["proxmox01"] = replace(world.held["proxmox01"], served=pair[0])
    assert world.look()[surroundings.ENDPOINT] == world.endpoint("proxmox02")


def test_a_node_that_joins_at_this_moment_is_looked_at_again(world: World) -> None:
    """The step of a killed run goes on without it: the cluster has the node, which has no certificate yet."""
    pair = Authority("before").issue(ADDRESSES["proxmox02"])
    world.shown["proxmox02"] = [pair]
    world.before = {"proxmox02": replace(world.held["proxmox02"], certificate=None)}
    world.held["proxmox02"] = replace(world.held["proxmox02"], served=pair[0])
    assert world.look()[surroundings.ENDPOINT] == world.endpoint("proxmox01")
    assert world.before == {}


def test_a_node_that_stays_without_a_certificate_is_refused(world: World) -> None:
    world.shown["proxmox02"] = [Authority("foreign").issue(ADDRESSES["proxmox02"])]
    world.held["proxmox02"] = replace(world.held["proxmox02"], certificate=None)
    with pytest.raises(AdminError) as caught:
        world.look()
    assert caught.value.code == "api-certificate"
    assert "the machine holds none" in caught.value.render()


def test_a_foreign_server_is_refused_at_the_first_look(world: World) -> None:
    world.shown["proxmox02"] = [Authority("foreign").issue(ADDRESSES["proxmox02"])]
    with pytest.raises(AdminError):
        world.look()
    assert world.looked.count("proxmox02") == 1


def test_the_old_workers_of_a_reload_are_outlived(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "OLD_WORKERS_S", 30.0)
    old = Authority("before").issue(ADDRESSES["proxmox01"])
    world.shown["proxmox01"] = [old, old, *world.shown["proxmox01"]]
    assert world.look()[surroundings.ENDPOINT] == world.endpoint("proxmox01")


def test_a_companys_certificate_is_trusted_as_it_is_and_the_cluster_asked_by_the_name_that_stands_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for all machines, by an authority that neither the system nor Proxmox knows."""
    shared = Authority("company").issue("localhost", ADDRESSES[HOST])
    for name, held in world.held.items():
        world.shown[name], world.held[name] = [shared], replace(held, certificate=shared[0])
    described = World.description

    def by_name(self: World) -> Description:
        made = described(self)
        api = made.config.cluster.api.model_copy(update={"endpoint": f"https://localhost:{self.port}"})
        cluster = made.config.cluster.model_copy(update={"api": api})
        return replace(made, config=made.config.model_copy(update={"cluster": cluster}))

    monkeypatch.setattr(World, "description", by_name)
    assert world.look()[surroundings.ENDPOINT] == f"https://localhost:{world.port}"
    assert shared[0].strip() in bundle.of("dev").read_text()


def test_an_endpoint_that_the_certificate_does_not_name_is_refused_with_the_names_it_has(world: World) -> None:
    world.shown[HOST] = [world.authority[HOST].issue("virtual", "virtual.lab.internal")]
    world.held[HOST] = replace(world.held[HOST], certificate=world.shown[HOST][0][0])
    with pytest.raises(AdminError) as caught:
        world.look()
    assert caught.value.code == "api-certificate"
    assert "for virtual, virtual.lab.internal" in caught.value.expected
    assert "not valid for '127.0.0.1'" in caught.value.observed


def test_members_whose_own_certificates_do_not_name_them_are_refused(world: World) -> None:
    for name in NODES:
        other = world.authority[name].issue("10.0.0.9", name)
        world.shown[name] = [other]
        world.held[name] = replace(world.held[name], certificate=other[0])
    with pytest.raises(AdminError) as refused:
        world.look()
    assert refused.value.code == "api-certificate"
    assert world.endpoint("proxmox01") in refused.value.what
    assert "which is for 10.0.0.9, proxmox01" in refused.value.expected


def test_nobody_at_the_endpoint_is_named(world: World) -> None:
    nowhere = "https://127.0.0.1:1"
    with world:
        assert asyncio.run(endpoint.who(world.endpoint("proxmox02"), world.held)) == "proxmox02"
    with pytest.raises(AdminError) as refused:
        asyncio.run(endpoint.who(nowhere, world.held))
    assert refused.value.code == "api-unreachable"
    assert nowhere in refused.value.what
    asyncio.run(endpoint.check(nowhere, world.held["proxmox02"]))  # which refuses strangers only


def test_a_renewed_certificate_of_the_same_authority_is_trusted(world: World) -> None:
    world.shown["proxmox01"] = [world.authority["proxmox01"].issue(ADDRESSES["proxmox01"])]
    assert world.look()[surroundings.ENDPOINT] == world.endpoint("proxmox01")


def test_a_verified_api_adds_nothing_to_what_the_system_trusts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    described = World.description

    def verified(self: World) -> Description:
        made = described(self)
        api = made.config.cluster.api.model_copy(update={"tls": "verified"})
        cluster = made.config.cluster.model_copy(update={"api": api})
        return replace(made, config=made.config.model_copy(update={"cluster": cluster}))

    monkeypatch.setattr(World, "description", verified)
    given = world.look()
    assert surroundings.ENDPOINT not in given
    text = bundle.of("dev").read_text()
    assert world.authority[HOST].pem.strip() in text
    assert world.authority["proxmox01"].pem.strip() not in text


def test_what_is_read_of_a_machine() -> None:
    authority = Authority()
    leaf, shown = authority.issue()[0], authority.issue()[0]
    said = [f"{leaf}{authority.pem}", authority.pem, "active\n", '{"cluster": { "quorate": 1 }}', f"CONNECTED\n{shown}"]

    class Answering:
        async def run(self, command: str, **_: object) -> Completed:
            assert command.count("echo --") == len(said) - 1
            return Completed(0, "\n--\n".join(said), "")

    found = asyncio.run(certificates.all_held(cast("Connection", Answering())))
    assert found == Held(leaf.strip(), authority.pem.strip(), serving=True, quorate=True, served=shown.strip())
    said[:] = ["", "", "inactive\n", "", ""]
    assert asyncio.run(certificates.all_held(cast("Connection", Answering()))) == Held(None, None, serving=False)


# -- the step ----------------------------------------------------------------------------------------------------------


def step() -> str:
    machines = [Machine(name, ADDRESSES[name], "ssh-ed25519 AAAA") for name in NODES]
    outcome = asyncio.run(check_certificate.bring_about(CheckCertificate(machines), Call(Secrets("key"))))
    return str(outcome.facts["machine"])


def test_the_step_adds_what_came_to_be_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world:
        monkeypatch.setenv(bundle.VARIABLE, str(bundle.of("dev")))
        monkeypatch.setenv(surroundings.ENDPOINT, world.endpoint("proxmox02"))
        before = bundle.of("dev").read_text()
        assert step() == "proxmox02"
        text = bundle.of("dev").read_text()
        assert step() == "proxmox02"
    assert text.startswith(before)
    assert world.authority["proxmox01"].pem.strip() in text
    assert bundle.of("dev").read_text() == text


@pytest.mark.parametrize("missing", [bundle.VARIABLE, surroundings.ENDPOINT])
def test_the_step_names_an_engine_that_runs_without_the_environment(
    world: World, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    with world:
        monkeypatch.setenv(bundle.VARIABLE, str(bundle.of("dev")))
        monkeypatch.setenv(surroundings.ENDPOINT, world.endpoint("proxmox02"))
        monkeypatch.delenv(missing)
        with pytest.raises(AdminError) as caught:
            step()
    assert caught.value.code == "engine-environment"


def test_a_bundle_is_of_the_callers_own_authorities_and_never_of_another_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "DIRECTORY", tmp_path / "authorities")
    company = Authority("company").pem
    (tmp_path / "company.pem").write_text(company)
    monkeypatch.setenv(bundle.VARIABLE, str(tmp_path / "company.pem"))
    first = bundle.of("one")
    assert company in first.read_text()
    monkeypatch.setenv(bundle.VARIABLE, str(first))
    assert company not in bundle.of("two").read_text()
    assert oct(first.stat().st_mode & 0o777) == "0o644"
