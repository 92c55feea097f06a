"""Looks at guests again and again, through each node's own API: nodes that are up answer while another one is down."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster.drilling import Sample
from cluster.errors import AdminError
from cluster.transport import certificates, members
from cluster.transport.cluster_api import Api

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cluster.contract import Member
    from cluster.transport.ssh import Connection

INTERVAL_S = 0.5
ANSWER_S = 3.0  # a node that died takes no connection, or lets one hang
KINDS = {"vm": "qemu", "ct": "lxc"}


@dataclass
class Watch:
    """Sessions with nodes, and what they answered.

    Attributes:
        sessions: by the node's name.
        kinds: of the guests that count: `vm`, `ct`.
        zero: the moment from which samples count, of the monotonic clock.
    """

    sessions: dict[str, Api]
    kinds: frozenset[str]
    zero: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)

    def begin(self) -> None:
        """Now is moment 0; samples so far were taken before it."""
        shift = time.monotonic() - self.zero
        self.zero += shift
        self.samples = [
            Sample(one.node, one.sent - shift, one.received - shift, one.places, one.running) for one in self.samples
        ]

    def now(self) -> float:
        """Seconds since moment 0."""
        return time.monotonic() - self.zero

    async def run(self) -> None:
        """Look at all nodes until cancelled."""
        await asyncio.gather(*(self._node(name) for name in self.sessions))

    async def _node(self, name: str) -> None:
        while True:
            began = time.monotonic()
            with suppress(AdminError):  # it does not answer: that is what is watched for
                self.samples.append(await self._look(name, began))
            await asyncio.sleep(max(0.0, began + INTERVAL_S - time.monotonic()))

    async def _look(self, name: str, began: float) -> Sample:
        places, running = await asyncio.to_thread(_asked, self.sessions[name], name, self.kinds)
        # The moment 0 may have been set meanwhile.
        return Sample(name, began - self.zero, time.monotonic() - self.zero, places, running)


def _asked(session: Api, name: str, kinds: Collection[str]) -> tuple[dict[str, tuple[str, str]], frozenset[str]]:
    """What HA records, then what runs there: so no guest runs in a sample whose record is older than that."""
    entries = session.get("/cluster/ha/status/current")
    places = {
        one["sid"]: (str(one.get("node")), str(one.get("crm_state") or one.get("state")))
        for one in entries
        if one["type"] == "service"
    }
    running = {
        f"{kind}:{one['vmid']}"
        for kind in kinds
        for one in session.get(f"/nodes/{name}/{KINDS[kind]}")
        if one.get("status") == "running"
    }
    return places, frozenset(running)


async def watch(nodes: Sequence[Member], key: str, user: str, password: str, guests: Collection[str]) -> Watch:
    """Log in to the API of every node; its certificate is the one that the node holds, read over SSH.

    Args:
        nodes: whom to look at.
        key: that opens SSH on them.
        user: of the API.
        password: the user's.
        guests: those that count, as HA calls them.

    Raises:
        StepError: why a node cannot be reached or logged in to.
    """

    async def session(connection: Connection) -> Api:
        machine = connection.machine
        fingerprint = await certificates.held(connection)
        if fingerprint is None:
            raise AdminError("api-unreachable", f"{machine.name} holds no certificate for its API", observed="none")
        opened = Api(f"https://{machine.address}:{certificates.API_PORT}", fingerprint, answer_s=ANSWER_S)
        await asyncio.to_thread(opened.login, user, password)
        return opened

    async with members.connections(nodes, key) as opened:
        sessions = members.all_answered(await members.ask(opened, session))
    return Watch(sessions, frozenset(sid.partition(":")[0] for sid in guests))
