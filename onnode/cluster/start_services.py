"""start-services: corosync, pmxcfs, and what reads /etc/pve run; what does not is started, in the order that it needs.

What runs already is left alone, except what depends on something that is started before it. A pmxcfs that somebody started with
-l is ended first: it ignores the cluster. The QDevice's daemon ends with corosync, and does not start with it
(`Requires=corosync.service`); it comes last, so that one that does not start keeps nothing else from running.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import admission, corosync, diagnosis, membership, qdevice, way_in
from onnode.contract.repair import StartServices
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import systemd
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

ORDER = ("corosync", "pve-cluster", "pvedaemon", "pveproxy", "pvestatd", "pve-ha-crm", "pve-ha-lrm")
ON_PMXCFS = ("pvedaemon", "pveproxy")  # lose what they hold of /etc/pve when pmxcfs starts anew
SERVICE_S = 120.0  # without quorum, pveproxy waits for certificates before it starts
MOUNT_S = 30.0
END_S = 30.0
LOOK_S = 15.0


@dataclass(frozen=True)
class Observed:
    """This node.

    Attributes:
        node: its name.
        clustered: whether it has a cluster's configuration: corosync does not run without one.
        pmxcfs, pve: as doctor sees them.
        down: units that do not run.
        stuck: corosync has quorum, and /etc/pve takes no writes.
        way_in: whether the second way in is still open.
    """

    node: str
    clustered: bool = True
    pmxcfs: str = "cluster"
    pve: str = "mounted"
    down: list[str] = field(default_factory=list)
    stuck: bool = False
    way_in: bool = False


def observe(machine: ThisMachine, _desired: StartServices) -> Observed:
    """Look at the units, and whether /etc/pve does its work."""
    states = systemd.units(machine, [*ORDER, *([qdevice.UNIT] if qdevice.is_due(machine) else [])])
    pve = diagnosis.how_mounted(machine)
    quorum = corosync.parse_quorum(machine.run(["corosync-quorumtool", "-siH"], timeout_s=LOOK_S).out)
    quorate = quorum is not None and quorum.quorate
    return Observed(
        membership.hostname(machine),
        machine.read(membership.LOCAL_CONF) is not None,
        diagnosis.pmxcfs_mode(machine),
        pve,
        [name for name, unit in states.items() if unit.active != "active"],
        quorate and pve == "mounted" and not membership.pve_writable(machine),
        way_in.is_open(machine),
    )


def decide(observed: Observed, desired: StartServices) -> list[Action]:
    """What does not run, and what stands on it, in order; then quorum, so that without it nothing is left as it was."""
    if observed.pmxcfs == "local":
        return [Action("end", "pmxcfs in local mode")]
    down = set(observed.down) - (set() if observed.clustered else {"corosync"})
    if observed.pve != "mounted" or observed.stuck or "corosync" in down:
        down.add("pve-cluster")
    if "pve-cluster" in down:
        down |= set(ON_PMXCFS)
    if down:
        waits = desired.quorate and observed.clustered and "pve-cluster" in down
        restarts = [Action("restart", unit) for unit in (*ORDER, qdevice.UNIT) if unit in down]
        return [*restarts, *([Action("wait", "for the quorum")] if waits else [])]
    return [Action("close-way-in")] if observed.way_in else []


def act(machine: ThisMachine, desired: StartServices, action: Action) -> None:
    """Do one of them.

    Raises:
        StepError: services, no-quorum.
    """
    if action.do == "close-way-in":
        way_in.close(machine)
        return
    if action.do == "wait":
        way_in.close(machine)  # /etc/pve is back, even if it takes no writes
        admission.wait_for_quorum(machine, desired.timeout_s)
        return
    if diagnosis.how_mounted(machine) == "mounted":
        way_in.open_up(machine)  # root's keys are a link into /etc/pve, which is away for a moment
    if action.do == "end":
        _end_local_mode(machine)
    else:
        _restart(machine, action.what)


def _end_local_mode(machine: ThisMachine) -> None:
    machine.run(["pkill", "-x", "pmxcfs"])
    if not machine.wait_for(lambda: diagnosis.pmxcfs_mode(machine) == "", END_S):
        raise StepError(
            "services",
            "pmxcfs in local mode does not end",
            observed=f"it runs {END_S:g} s after it was told to",
            fix="on the node: `pgrep -a pmxcfs` shows it, `killall -9 pmxcfs` ends it; then run the same command again",
        )


def _restart(machine: ThisMachine, unit: str) -> None:
    machine.run(["systemctl", "reset-failed", unit])  # one that failed often is not started for a while
    said = machine.run(["systemctl", "restart", unit], timeout_s=SERVICE_S)
    is_up = said.code == 0 and systemd.unit(machine, unit).active == "active"
    if is_up and unit == "pve-cluster":
        is_up = bool(machine.wait_for(lambda: diagnosis.how_mounted(machine) == "mounted", MOUNT_S))
    if not is_up:
        log = machine.run(["journalctl", "--no-pager", "-n", "5", "-o", "cat", "-u", unit]).out
        raise StepError(
            "services",
            f"{unit} does not start",
            observed=tail(log or said.text),
            expected=f"{unit} active",
            fix=f"`journalctl -b -u {unit}` on the node shows why; then run the same command again",
        )


def facts(observed: Observed, _desired: StartServices) -> dict[str, Any]:
    """What does not run all the same."""
    return {"node": observed.node, "down": observed.down}


def unchanged(observed: Observed, _desired: StartServices) -> str:
    """Say what was found."""
    return f"corosync, pmxcfs and what stands on them run on {observed.node}"


STEP = Step(StartServices, observe, decide, act, facts, unchanged)
