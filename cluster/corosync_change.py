"""One change of a live cluster's corosync.conf: written on one member, seen on all, and undone where it does not work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import motion, proxmox_ve
from cluster.call import note
from cluster.errors import AdminError
from cluster.planning import gate, rewriting
from cluster.reports import read
from cluster.transport import members
from cluster.transport.nodes import run_step
from cluster.waiting import until_async
from onnode.cluster import membership
from onnode.contract.corosync import CorosyncConfig, CorosyncReport, CorosyncRestart
from onnode.errors import StepError
from onnode.system.originals import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.marks import Look
    from cluster.planning.rewriting import Rewriting
    from cluster.transport.members import Opened
    from cluster.transport.ssh import Connection

POLL_S = 0.25
LOOK_S = 60.0
WRITE_S = 360.0  # the wait for another step on the machine included
RESTART_MARGIN_S = 420.0  # the services' own times, beyond the time for the quorum
Answers = dict[str, "CorosyncReport | StepError"]


class _NotInForceError(Exception):
    """A configuration did not come into force within its time."""

    def __init__(self, amiss: list[str]) -> None:
        super().__init__("; ".join(amiss))


@dataclass(frozen=True)
class CorosyncChange:
    """Changes the configuration of a live cluster.

    Attributes:
        opened: connections to all of its members.
        stack: who asks.
        timeout_s: for each configuration to come into force.
        leaving: those of the members that leave after this.
    """

    opened: Opened
    stack: str
    timeout_s: float
    leaving: frozenset[str] = frozenset()

    async def run(self, transition: Rewriting, words: str) -> None:
        """Run one transition.

        Raises:
            AdminError: change-not-ready, change-undone, change-stuck.
            StepError: corosync-edited, and the others of the step `edit-corosync`, before anything was changed.
        """
        answers = await self._ready(words)
        membership.refuse_edited(members.answered(answers).values())
        former = _working(answers)
        target = rewriting.rewritten(former.text, transition)
        links = rewriting.touched(former.text, target)
        broken = gate.broken(rewriting.parsed(former.text), answers)
        but = frozenset(one for one in broken if one[2] not in links)
        if apart := gate.apart(rewriting.parsed(former.text), links, broken):
            raise AdminError(
                "change-not-ready",
                f"links are changed only while others connect all members ({words})",
                observed="; ".join(apart),
                expected="another connected link between every two members",
            )
        try:
            await self._bring(former.text, target, but)
        except _NotInForceError as failed:
            await self._undo(former.text, words, failed)

    async def restart(self) -> bool:
        """Restart corosync on the members where that is still wanted, one after another; returns whether any was.

        Raises:
            AdminError: change-not-ready, change-stuck.
            StepError: those of the step `restart-corosync`.
        """
        reports = members.answered(await self._look())
        if not any(report.works and set(report.restarts) & self.opened.keys() for report in reports.values()):
            return False
        answers = await self._ready("corosync is restarted")
        report = _working(answers)
        conf = rewriting.parsed(report.text)
        but = gate.broken(conf, answers)
        for name in sorted(set(report.restarts) & self.opened.keys()):  # a node that left since is no matter
            await self._wait_for_ha(name)
            await run_step(
                members.connected(self.opened, name),
                "restart-corosync",
                CorosyncRestart(int(self.timeout_s)),
                timeout_s=self.timeout_s + RESTART_MARGIN_S,
            )
            if amiss := await self._amiss(report.text, but):
                raise _stuck(f"corosync of {name} was restarted, and the cluster is not well since", amiss)
        return True

    async def _wait_for_ha(self, name: str) -> None:
        """No guest is on its way while /etc/pve is away on a node: the restart takes seconds, an agent's watchdog waits 60.

        Raises:
            AdminError: change-not-ready.
        """

        async def look() -> list[str]:
            looks = members.answered(await members.ask(self.opened, lambda one: proxmox_ve.look(one, self.stack)))
            return _unrest(looks)

        if unrest := await until_async(look, lambda found: not found, timeout_s=self.timeout_s, poll_s=POLL_S):
            raise AdminError(
                "change-not-ready",
                f"corosync of {name} is restarted only while no guest is on its way",
                observed="; ".join(unrest),
                expected=f"an HA manager at rest within {self.timeout_s:g} s",
            )

    async def _ready(self, words: str) -> Answers:
        """Wait until every member votes and runs the present configuration, whatever its links do.

        Raises:
            AdminError: change-not-ready.
        """

        async def look() -> tuple[Answers, list[str]]:
            answers = await self._look()
            reports = members.answered(answers)
            if not any(report.works for report in reports.values()):
                return answers, ["no member is quorate"]
            conf = rewriting.parsed(_working(answers).text)
            return answers, gate.amiss(conf, answers, but=gate.broken(conf, answers), leaving=self.leaving)

        answers, amiss = await until_async(look, lambda looked: not looked[1], timeout_s=self.timeout_s, poll_s=POLL_S)
        if amiss:
            raise AdminError(
                "change-not-ready",
                f"a cluster is changed only while all its members are well ({words})",
                observed="; ".join(amiss),
                expected=f"every member votes and runs the present configuration, within {self.timeout_s:g} s",
            )
        return answers

    async def _look(self) -> Answers:
        return await members.ask(self.opened, _state)

    async def _bring(self, text: str, target: str, but: gate.Broken | None) -> None:
        """Put configurations in force, one after another.

        Args:
            text: the present one.
            target: the last one.
            but: connections that need not work; None where none has to.

        Raises:
            _NotInForceError: one of them is not in force within its time.
        """
        former = text
        for stage in rewriting.stages(text, target):
            await self._put(text, stage)
            if amiss := await self._amiss(stage, but):
                raise _NotInForceError(amiss)
            text = stage
        if rewriting.needs_restart(former, target):
            await self.restart()

    async def _put(self, text: str, stage: str) -> None:
        conf = rewriting.parsed(stage)
        restarts = [node.name for node in conf.nodes] if rewriting.needs_restart(text, stage) else []
        writer = _working(await self._look()).node
        wanted = CorosyncConfig(stage, fingerprint(text), restarts)
        await run_step(members.connected(self.opened, writer), "edit-corosync", wanted, timeout_s=WRITE_S)

    async def _amiss(self, text: str, but: gate.Broken | None) -> list[str]:
        conf = rewriting.parsed(text)

        async def look() -> list[str]:
            answers = await self._look()
            accepted = gate.broken(conf, answers) if but is None else but
            return gate.amiss(conf, answers, but=accepted, leaving=self.leaving)

        return await until_async(look, lambda found: not found, timeout_s=self.timeout_s, poll_s=POLL_S)

    async def _undo(self, former: str, words: str, failed: _NotInForceError) -> None:
        """Put the former configuration in force again, under a higher number. A link that is cut by now connects nobody with it either.

        Raises:
            AdminError: change-undone, or change-stuck when that did not work either.
        """
        note(f"  {failed}: the former configuration goes back")
        try:
            await self._bring(_working(await self._look()).text, former, None)
        except (_NotInForceError, StepError) as error:
            raise _stuck(f"a change failed, and could not be undone ({words})", [str(failed), str(error)]) from error
        raise AdminError(
            "change-undone",
            f"a change did not work, and the former configuration is in force again ({words})",
            observed=str(failed),
            expected=f"the new configuration is in force on all members within {self.timeout_s:g} s",
        )


def _unrest(looks: Mapping[str, Look]) -> list[str]:
    speaker = next((look.motion for look in looks.values() if look.quorate), None)
    if speaker is None:
        return ["no quorate member answers"]
    running = frozenset[str]().union(*(look.motion.running for look in looks.values()))
    guests = {*speaker.services, *speaker.migrating}
    return [one.what for one in motion.unrest(speaker, guests, frozenset(looks), running)]


def _working(answers: Answers) -> CorosyncReport:
    """The report of the member that changes the configuration: the first that works, of those with the newest one.

    Raises:
        AdminError: change-stuck.
    """
    works = [report for report in members.answered(answers).values() if report.works]
    if not works:
        raise _stuck("no member can change the configuration any more", ["no member is quorate"])
    return max(works, key=lambda report: report.config_version or 0)


def _stuck(what: str, amiss: list[str]) -> AdminError:
    return AdminError(
        "change-stuck",
        what,
        observed="; ".join(amiss),
        expected="a quorate cluster whose members all run the same configuration",
    )


async def _state(connection: Connection) -> CorosyncReport:
    result = await run_step(connection, "corosync-state", timeout_s=LOOK_S, quiet=True)
    return read(CorosyncReport, connection.machine.name, result.facts)
