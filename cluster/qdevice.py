"""Setting a QDevice up and removing it, as `pvecm qdevice setup` and `remove` do it, and seeing from every member what became of it.

Differently from there, no node gets a way into the witness, and each member has a key of its own (decision 18).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import formation
from cluster.errors import AdminError
from cluster.planning.model import RemoveQDevice, SetQDevice
from cluster.reports import read
from cluster.transport import members
from cluster.transport.nodes import run_step
from cluster.waiting import until_async
from onnode.cluster import corosync, corosync_file, membership
from onnode.contract.corosync import CorosyncConfig, CorosyncReport
from onnode.contract.qdevice import QDevice, QDeviceReport, Witness, WitnessReport
from onnode.system.originals import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from cluster.contract import ClusterChange, QDeviceSetting
    from cluster.planning.model import Planned
    from cluster.transport.members import Opened
    from cluster.transport.nodes import StepResult
    from cluster.transport.ssh import Connection
    from onnode.cluster.corosync import Device
    from onnode.contract.membership import MembershipReport

POLL_S = 0.5
STEP_S = 120.0
INSTALL_S = 1900.0  # a package over a slow line
Members = dict[str, "Connection"]


def refuse_unknown(plan: Iterable[Planned], described: Collection[str]) -> None:
    """Refuse to remove a QDevice that this stack never described, whatever others it had: somebody may count on its vote.

    Raises:
        AdminError: qdevice-unknown.
    """
    goes = [one.transition.witness for one in plan if isinstance(one.transition, RemoveQDevice)]
    if not goes or goes[0] in described:
        return
    raise AdminError(
        "qdevice-unknown",
        "the live cluster has a QDevice that was never described",
        observed=f"a QDevice at {goes[0]}",
        expected="none, or one that the stack file describes",
        fix="describe it under cluster.qdevice in the stack file; to remove it: pvecm qdevice remove on a member",
    )


async def release(
    plan: Iterable[Planned], opened: Opened, described: ClusterChange, witnesses: Collection[str]
) -> bool:
    """Remove the QDevice, where the plan says so, or what is left on the members of one that a run began to remove.

    Args:
        plan: what is to be done.
        opened: the connections to all nodes that the cluster lists.
        described: the cluster as it is to be.
        witnesses: the servers that this stack describes, or described: daemons and keys of others are left alone.

    Returns:
        Whether anything was changed.

    Raises:
        StepError: as :func:`remove`.
    """
    kinds = {type(planned.transition) for planned in plan}
    if RemoveQDevice not in kinds and (SetQDevice in kinds or not witnesses):
        return False
    reports = members.answered(await members.ask(opened, members.membership))
    reached = {name: members.connected(opened, name) for name in reports}
    if RemoveQDevice in kinds:
        await remove(reached, reports, described.timeout_s, returns=described.witness is not None)
        return True
    if any(look.device for look in reports.values()):
        return False
    changed = await _disconnect(reached)
    if described.witness is None and any(look.works for look in reports.values()):
        changed |= await _configure(reached, reports, None)  # it does not come back
    return changed


async def remove(reached: Members, reports: Mapping[str, MembershipReport], timeout_s: float, *, returns: bool) -> None:
    """First out of the configuration, so that nobody counts its vote; then the daemons and certificates.

    Args:
        reached: the connections to the members that answer.
        reports: what these said.
        timeout_s: until they all expect their own votes only.
        returns: a QDevice is still described: what others wrote into its section is kept for then.

    Raises:
        StepError: corosync-edited, member-not-working, qdevice-not-as-described, those of the on-node steps.
    """
    await _configure(reached, reports, None, returns=returns)
    await _until(reached, lambda look: _problems(look, None), timeout_s)
    await _disconnect(reached)


async def _disconnect(reached: Members) -> bool:
    """No member has a daemon that connects, or a key; returns whether any had."""
    left = await _on_each(reached, "qdevice --remove", dict.fromkeys(reached, QDevice("")))
    return any(result.changed for result in left.values())


async def _on_each(reached: Members, step: str, wanted: Mapping[str, QDevice]) -> dict[str, StepResult]:
    """Run a step on these members at the same time."""

    async def run(connection: Connection) -> StepResult:
        return await run_step(connection, step, wanted[connection.machine.name], timeout_s=INSTALL_S)

    return members.all_answered(await members.ask({name: reached[name] for name in wanted}, run, waiting=""))


async def set_up(reached: Members, server: Connection, desired: QDeviceSetting) -> bool:
    """Certificates, the configuration, the daemons, in this order; whatever is there already stays.

    Args:
        reached: the connections to all members.
        server: the one to the witness.
        desired: the QDevice.

    Returns:
        Whether anything was changed.

    Raises:
        StepError: corosync-edited, member-not-working, qdevice-not-as-described, those of the on-node steps.
    """
    reports = members.all_answered(await members.ask(reached, members.membership))
    _refuse_silent(desired, reports)
    live = _newest(reports).device
    if live != desired.device:
        membership.refuse_edited(reports.values())
    if live is not None and live != desired.device:
        await remove(reached, reports, desired.timeout_s, returns=True)
    authority, changed = await _certify(reached, server, desired.cluster)
    changed |= await _configure(reached, reports, desired.device)
    # The daemon ends with an error where the running corosync has not read of it yet.
    await _until(reached, lambda look: _unread(look, desired.device), desired.timeout_s)
    serving = QDevice(desired.cluster, authority, serve=True)
    served = await _on_each(reached, "qdevice", dict.fromkeys(reached, serving))
    changed |= any(result.changed for result in served.values())
    await _until(reached, lambda look: _problems(look, desired.device), desired.timeout_s)
    return changed


def _newest(reports: Mapping[str, MembershipReport]) -> MembershipReport:
    return max(reports.values(), key=lambda look: (look.quorate, look.config_version or 0))


def _refuse_silent(desired: QDeviceSetting, reports: Mapping[str, MembershipReport]) -> None:
    """`pvecm qdevice setup` wants all nodes online: until the new vote is cast, theirs are all that there are."""
    newest = _newest(reports)
    silent = [member.name for member in desired.members if member.node_id not in newest.voters]
    if silent or not newest.works:
        raise AdminError(
            "member-not-working",
            "a QDevice is set up only while all members vote",
            observed=f"{formation.working(newest)}; no vote of {', '.join(silent) or 'nobody'}",
            expected="all members vote",
            fix=formation.bring_back(reports, {member.name: member.address for member in desired.members}),
        )


async def _certify(reached: Members, server: Connection, cluster: str) -> tuple[str, bool]:
    """Give every member without one a certificate; the witness' own, and whether anything was changed."""
    result = await run_step(server, "witness", Witness(cluster), timeout_s=INSTALL_S)
    authority = read(WitnessReport, server.machine.name, result.facts).authority
    asked = await _on_each(reached, "qdevice", dict.fromkeys(reached, QDevice(cluster, authority)))
    reported = {name: read(QDeviceReport, name, answer.facts).request for name, answer in asked.items()}
    requests = {name: request for name, request in reported.items() if request}
    if not requests:
        return authority, result.changed or any(answer.changed for answer in asked.values())
    result = await run_step(server, "witness", Witness(cluster, requests), timeout_s=STEP_S)
    signed = read(WitnessReport, server.machine.name, result.facts).certificates
    await _on_each(reached, "qdevice", {name: QDevice(cluster, authority, signed[name]) for name in requests})
    return authority, True


async def _configure(
    reached: Members, reports: Mapping[str, MembershipReport], device: Device | None, *, returns: bool = False
) -> bool:
    """Let corosync.conf have this QDevice, or none, through a member that works; returns whether anything was changed."""
    working = [name for name, look in reports.items() if look.works and name in reached]
    if not working:
        raise AdminError(
            "member-not-working",
            "no member is quorate",
            observed="; ".join(formation.working(look) for look in reports.values()),
            expected="a quorate member with a writable /etc/pve",
        )
    connection = reached[working[0]]
    result = await run_step(connection, "corosync-state", timeout_s=STEP_S, quiet=True)
    state = read(CorosyncReport, working[0], result.facts)
    text, kept = state.text, ""
    if state.device != device:
        kept = corosync_file.device_settings(text) if returns else ""
        text = corosync_file.with_device(text, device, state.kept)
        text = corosync_file.with_version(text, (state.config_version or 0) + 1)
    elif returns or not state.kept:
        return False
    wanted = CorosyncConfig(text, fingerprint(state.text), kept=kept)
    return (await run_step(connection, "edit-corosync", wanted, timeout_s=STEP_S)).changed


async def _until(reached: Members, problems: Callable[[MembershipReport], list[str]], timeout_s: float) -> None:
    async def look() -> list[str]:
        seen = members.all_answered(await members.ask(reached, members.membership))
        return [problem for report in seen.values() for problem in problems(report)]

    amiss = await until_async(look, lambda found: not found, timeout_s=timeout_s, poll_s=POLL_S)
    if amiss:
        raise AdminError(
            "qdevice-not-as-described",
            "the QDevice's vote is not what it should be",
            observed="; ".join(amiss),
            expected=f"the same on every member within {timeout_s:g} s",
        )


def _problems(look: MembershipReport, device: Device | None) -> list[str]:
    """What is not as wanted in the eyes of one member."""
    return _unread(look, device) or formation.device_problems(look)


def _unread(look: MembershipReport, device: Device | None) -> list[str]:
    """Whether a member has the configuration, and its running corosync has read it: then it expects those votes."""
    if look.device != device:
        return [f"{look.node} has {'another' if look.device else 'no'} QDevice in its corosync.conf"]
    expected = corosync.expected_votes(look.nodes, device)
    found = look.quorum.expected if look.quorum else 0
    return [] if found == expected else [f"{look.node} expects {found} votes, not {expected}"]
