"""Looking at several members at once, over one connection each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, TypeVar

from cluster import formation
from cluster.call import note
from cluster.errors import AdminError
from cluster.reports import read
from cluster.transport import ssh
from cluster.transport.nodes import run_step
from cluster.waiting import QUIET_S
from onnode.contract.membership import MembershipReport
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

    from cluster.contract import Machine

T = TypeVar("T")
Opened = Mapping[str, "ssh.Connection | StepError"]

LOOK_S = 60.0
ANSWER = "to answer over SSH"


@asynccontextmanager
async def connections(
    machines: Iterable[Machine], private_key: str, *, timeout_s: float = ssh.CONNECT_TIMEOUT_S
) -> AsyncIterator[dict[str, ssh.Connection | StepError]]:
    """Connect to all machines concurrently; by name, a connection or why there is none."""
    async with AsyncExitStack() as stack:

        async def open_one(machine: Machine) -> ssh.Connection | StepError:
            try:
                return await stack.enter_async_context(ssh.connect(machine, private_key, timeout_s=timeout_s))
            except StepError as error:
                return error

        described = list(machines)
        opened = await asyncio.gather(*(open_one(machine) for machine in described))
        yield {machine.name: result for machine, result in zip(described, opened, strict=True)}


async def ask(
    opened: Opened, question: Callable[[ssh.Connection], Awaitable[T]], *, waiting: str = ANSWER
) -> dict[str, T | StepError]:
    """Ask all connected machines the same thing, concurrently; by name, the answer or why there is none.

    Args:
        opened: the connections.
        question: what each is asked.
        waiting: what a slow machine is waited for; empty where the question shows its own progress.
    """
    asked: dict[str, ssh.Connection] = {}

    async def ask_one(name: str, connection: ssh.Connection | StepError) -> T | StepError:
        if isinstance(connection, StepError):
            return connection
        asked[name] = connection
        try:
            return await question(connection)
        except StepError as error:
            return error
        finally:
            del asked[name]

    with _announced(asked, waiting):
        answers = await asyncio.gather(*(ask_one(name, connection) for name, connection in opened.items()))
    return dict(zip(opened, answers, strict=True))


@contextmanager
def _announced(asked: Mapping[str, ssh.Connection], waiting: str) -> Iterator[None]:
    """Say which machines are still waited for, once that takes long; of several questions at the same time the first says it."""

    def say() -> None:
        slow = {name: one for name, one in asked.items() if waiting and not one.is_announced}
        for connection in slow.values():
            connection.is_announced = True
        if slow:
            note(f"  waiting for {', '.join(slow)} {waiting}")

    timer = asyncio.get_running_loop().call_later(QUIET_S, say)
    try:
        yield
    finally:
        timer.cancel()


async def membership(connection: ssh.Connection) -> MembershipReport:
    """What a node itself reports about its cluster."""
    result = await run_step(connection, "membership", timeout_s=LOOK_S, quiet=True)
    return read(MembershipReport, connection.machine.name, result.facts)


def answered(answers: Mapping[str, T | StepError]) -> dict[str, T]:
    """Only the answers."""
    return {name: answer for name, answer in answers.items() if not isinstance(answer, StepError)}


def failed(answers: Mapping[str, T | StepError]) -> dict[str, StepError]:
    """Only the errors."""
    return {name: answer for name, answer in answers.items() if isinstance(answer, StepError)}


def all_answered(answers: Mapping[str, T | StepError]) -> dict[str, T]:
    """All answers; raises the first error there is instead."""
    raise_first(answers.values())
    return answered(answers)


def raise_first(answers: Iterable[T | StepError]) -> None:
    """Raise the first error there is."""
    for answer in answers:
        if isinstance(answer, StepError):
            raise answer


def connected(opened: Opened, name: str) -> ssh.Connection:
    """The connection to a machine; raises why there is none."""
    connection = opened[name]
    if isinstance(connection, StepError):
        raise connection
    return connection


async def first_working(opened: Opened, cluster: str = "") -> ssh.Connection:
    """The connection to the first member that is quorate and whose /etc/pve takes writes.

    Args:
        opened: the connections.
        cluster: where something is to be written; empty where what is written is found there first.

    Raises:
        StepError: member-not-working, other-cluster, or why no member answered.
    """
    answers = await ask(opened, membership)
    seen = answered(answers)
    if not seen:
        raise_first(answers.values())
    working = {name: look for name, look in seen.items() if look.works}
    if cluster:
        formation.refuse_other_cluster(cluster, working.values())
    if len({look.cluster for look in working.values()}) > 1:
        raise AdminError(
            "other-cluster",
            "the nodes belong to more than one cluster",
            observed=", ".join(f"{name} is in {look.cluster}" for name, look in sorted(working.items())),
            expected="nodes of one cluster",
        )
    if working:
        return connected(opened, next(iter(working)))
    raise AdminError(
        "member-not-working",
        "no member is quorate",
        observed="; ".join(formation.working(look) for look in seen.values()),
        expected="a quorate member with a writable /etc/pve",
        fix=formation.bring_back(
            seen, {name: one.machine.address for name, one in opened.items() if not isinstance(one, StepError)}
        ),
    )


def names(machines: Sequence[Machine]) -> str:
    """Their names, for a message."""
    return ", ".join(machine.name for machine in machines)
