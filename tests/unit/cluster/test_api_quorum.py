"""A member that is not quorate takes no changes: its API is not used, and another member's is."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cluster.contract import Api, Machine, Secrets
from cluster.errors import AdminError
from cluster.transport import api, certificates, pins, ssh
from tests.unit.cluster.test_api import PASSWORD, Server, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NO_LOGIN = Secrets(ssh_private_key="", api_password=PASSWORD)


class Cluster:
    """Members on addresses of their own, with one port, as Proxmox VE has it; each is quorate or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path, stack: ExitStack, *quorate: int) -> None:
        self.servers: dict[str, Server] = {}
        port = 0
        for number, one in enumerate(quorate, start=1):
            place = directory / str(number)
            place.mkdir()
            host = f"127.0.0.{10 + number}"
            self.servers[host] = stack.enter_context(serving(place, host=host, port=port, quorate=one))
            port = self.servers[host].port
        self.described = Api(f"https://pve.lab.internal:{port}", "pulumi@pve", "pinned")
        monkeypatch.setattr(pins, "FILE", directory / "certificates.json")
        monkeypatch.setattr(ssh, "connect", self.connect)
        monkeypatch.setattr(certificates, "held", self.held)

    @asynccontextmanager
    async def connect(self, machine: Machine, *_: object, **__: object) -> AsyncIterator[Machine]:
        await asyncio.sleep(0)
        yield machine

    async def held(self, machine: Any) -> str:  # noqa: ANN401 - a double of a connection
        await asyncio.sleep(0)
        return self.servers[machine.address].fingerprint

    def session(self) -> api.Api:
        members = [Machine(f"proxmox0{n}", host, "ssh-ed25519 AAAA") for n, host in enumerate(self.servers, start=1)]
        return asyncio.run(api.connect(members, self.described, NO_LOGIN))

    def changed(self) -> list[str]:
        """The addresses at which something was created."""
        return [host for host, one in self.servers.items() if ("POST", "/nodes/a/qemu", "c") in one.asked]


@pytest.mark.parametrize(
    ("quorate", "used"),
    [
        ((1,), "127.0.0.11"),
        ((0, 1), "127.0.0.12"),
        ((1, 0), "127.0.0.11"),
        ((0, 0, 1), "127.0.0.13"),
    ],
)
def test_a_quorate_member_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quorate: tuple[int, ...], used: str
) -> None:
    with ExitStack() as stack:
        cluster = Cluster(monkeypatch, tmp_path, stack, *quorate)
        cluster.session().post("/nodes/a/qemu", vmid=1)
    assert cluster.changed() == [used]


@pytest.mark.parametrize("quorate", [(0,), (0, 0)])
def test_without_a_quorate_member_there_is_no_session(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quorate: tuple[int, ...]
) -> None:
    with ExitStack() as stack:
        cluster = Cluster(monkeypatch, tmp_path, stack, *quorate)
        with pytest.raises(AdminError) as refused:
            cluster.session()
    assert refused.value.code == "api-unreachable"
    assert refused.value.observed.count("not quorate") == len(quorate)
    assert refused.value.expected == "a quorate member whose API answers"


def test_a_quorate_member_that_is_slow_to_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quick = asyncio.open_connection

    async def open_connection(host: str, port: int) -> Any:  # noqa: ANN401 - as the library's
        await asyncio.sleep(0.5 if host == "127.0.0.12" else 0)
        return await quick(host, port)

    monkeypatch.setattr(asyncio, "open_connection", open_connection)
    with ExitStack() as stack:
        cluster = Cluster(monkeypatch, tmp_path, stack, 0, 1)
        cluster.session().post("/nodes/a/qemu", vmid=1)
    assert cluster.changed() == ["127.0.0.12"]
