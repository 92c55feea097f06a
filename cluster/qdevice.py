"""Setting a QDevice up and removing it, as `pvecm qdevice setup` and `remove` do it, and seeing from every member what became of it.

Differently from there, no node gets a way into the witness, and each member has a key of its own (decision 18).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import formation
from cluster.errors import AdminError
from cluster.planning.model import RemoveQDevice
from cluster.reports import read
from cluster.transport import members
from cluster.transport.nodes import run_step
from cluster.waiting import until_async
from onnode.cluster import corosync, corosync_file
from onnode.contract import CorosyncConfig, CorosyncReport, QDevice, QDeviceReport, Witness, WitnessReport
from onnode.system.originals import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from cluster.contract import QDeviceSetting
    from cluster.planning.model import Planned
    from cluster.transport.members import Opened
    from cluster.transport.ssh import Connection
    from onnode.cluster.corosync import Device
    from onnode.contract import MembershipReport

POLL_S = 0.5
STEP_S = 120.0
INSTALL_S = 1900.0  # a package over a slow line
Members = dict[str, "Connection"]


def refuse_unknown(plan: Iterable[Planned], described: Collection[str]) -> None:
    """Refuse to remove a QDevice that this stack never described: somebody may count on its vote.

    Raises:
        AdminError: qdevice-unknown.
    """
    goes = [one.transition.witness for one in plan if isinstance(one.transition, RemoveQDevice)]
    if described or not goes:
        return
    raise AdminError(
        "qdevice-unknown",
        "the live cluster has a QDevice that was never described",
        observed=f"a QDevice at {goes[0]}",
        expected="none, or one that the stack file describes",
        fix="describe it under cluster.qdevice in the stack file; to remove it: pvecm qdevice remove on a member",
    )


async def release(plan: Iterable[Planned], opened: Opened, timeout_s: float) -> bool:
    """Remove the QDevice, where the plan says so.

    Args:
        plan: what is to be done.
        opened: the connections to all nodes that the cluster lists.
        timeout_s: until all members expect their own votes only.

    Raises:
        StepError: as :func:`remove`.
    """
    if not any(isinstance(planned.transition, RemoveQDevice) for planned in plan):
        return False
    reports = members.answered(await members.ask(opened, members.membership))
    await remove({name: members.connected(opened, name) for name in reports}, reports, timeout_s)
    return True


async def remove(reached: Members, reports: Mapping[str, MembershipReport], timeout_s: float) -> None:
    """First out of the configuration, so that nobody counts its vote; then the daemons and certificates.

    Args:
        reached: the connections to the members that answer.
        reports: what these said.
        timeout_s: until they all expect their own votes only.

    Raises:
        StepError: member-not-working, qdevice-not-as-described, those of the on-node steps.
    """
    await _configure(reached, reports, None)
    await _until(reached, lambda look: _problems(look, None), timeout_s)
    for connection in reached.values():
        await run_step(connection, "qdevice --remove", QDevice(""), timeout_s=STEP_S)


async def set_up(reached: Members, server: Connection, desired: QDeviceSetting) -> bool:
    """Certificates, the configuration, the daemons, in this order; whatever is there already stays.

    Args:
        reached: the connections to all members.
        server: the one to the witness.
        desired: the QDevice.

    Returns:
        Whether anything was changed.

    Raises:
        StepError: member-not-working, qdevice-not-as-described, those of the on-node steps.
    """
    reports = members.all_answered(await members.ask(reached, members.membership))
    _refuse_silent(desired, reports)
    live = _newest(reports).device
    if live is not None and live != desired.device:
        await remove(reached, reports, desired.timeout_s)
    authority, changed = await _certify(reached, server, desired.cluster)
    if live != desired.device:
        await _configure(reached, reports, desired.device)
        changed = True
    # The daemon ends with an error where the running corosync has not read of it yet.
    await _until(reached, lambda look: _unread(look, desired.device), desired.timeout_s)
    serving = QDevice(desired.cluster, authority, serve=True)
    for connection in reached.values():
        changed |= (await run_step(connection, "qdevice", serving, timeout_s=STEP_S)).changed
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
    changed, requests = result.changed, {}
    for name, connection in reached.items():
        asked = await run_step(connection, "qdevice", QDevice(cluster, authority), timeout_s=INSTALL_S)
        changed |= asked.changed
        if request := read(QDeviceReport, name, asked.facts).request:
            requests[name] = request
    if not requests:
        return authority, changed
    result = await run_step(server, "witness", Witness(cluster, requests), timeout_s=STEP_S)
    signed = read(WitnessReport, server.machine.name, result.facts).certificates
    for name in requests:
        wanted = QDevice(cluster, authority, signed[name])
        await run_step(reached[name], "qdevice", wanted, timeout_s=STEP_S)
    return authority, True


async def _configure(reached: Members, reports: Mapping[str, MembershipReport], device: Device | None) -> None:
    """Let corosync.conf have this QDevice, or none, through a member that works."""
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
    if state.device == device:
        return
    text = corosync_file.with_version(corosync_file.with_device(state.text, device), (state.config_version or 0) + 1)
    await run_step(connection, "edit-corosync", CorosyncConfig(text, fingerprint(state.text)), timeout_s=STEP_S)


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
