"""restore-corosync: this node's own corosync.conf is the given one again, and no corosync runs with another.

Only the file in /etc/corosync is written. The caller knows that it is the cluster's. A corosync that does not run is started by
`start-services`, with what stands on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode.cluster import corosync, corosync_file, diagnosis, membership, way_in
from onnode.contract.repair import CorosyncFile
from onnode.errors import StepError
from onnode.step import Action, Step

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

SERVICE_S = 60.0
LEAVE_S = 15.0
LOOK_S = 15.0


@dataclass(frozen=True)
class Observed:
    """This node: its file, and the version with which its corosync runs; None: it does not run."""

    node: str
    text: str | None = None
    loaded: int | None = None


def observe(machine: ThisMachine, _desired: CorosyncFile) -> Observed:
    """Look at both."""
    said = machine.run(["corosync-cmapctl", "-g", "totem.config_version"], timeout_s=LOOK_S)
    return Observed(membership.hostname(machine), machine.read(membership.LOCAL_CONF), diagnosis.parse_loaded(said.out))


def decide(observed: Observed, desired: CorosyncFile) -> list[Action]:
    """Write it, then stop a corosync that runs with another version.

    Raises:
        StepError: corosync-invalid.
    """
    conf = corosync.parse_conf(desired.text)
    problems = corosync_file.problems(desired.text)
    if conf is None or problems or conf.node(observed.node) is None:
        raise StepError(
            "corosync-invalid",
            f"the configuration that was to replace {membership.LOCAL_CONF} is not valid; nothing was changed",
            observed="; ".join(problems) or f"it does not list {observed.node}",
            expected="a configuration with which corosync starts on this node",
        )
    if observed.text != desired.text:
        return [Action("write", f"{membership.LOCAL_CONF}, version {conf.version}", desired.text)]
    if observed.loaded not in (None, conf.version):
        return [Action("stop", f"corosync, which runs with version {observed.loaded}")]
    return []


def act(machine: ThisMachine, _desired: CorosyncFile, action: Action) -> None:
    """Do one of them.

    Raises:
        StepError: command-failed, command-timeout.
    """
    if action.do == "write":
        machine.write(membership.LOCAL_CONF, action.text)
    else:
        if diagnosis.how_mounted(machine) == "mounted":
            way_in.open_up(machine)
        _stop(machine)


def _stop(machine: ThisMachine) -> None:
    """One that finds no membership cannot leave it, and does not end when it is asked to (corosync 3.1); systemd kills it after 90 s."""
    if machine.run(["systemctl", "stop", "corosync"], timeout_s=LEAVE_S).code != 0:
        machine.check(["systemctl", "kill", "--signal=SIGKILL", "corosync"])
        machine.check(["systemctl", "stop", "corosync"], timeout_s=SERVICE_S)


def facts(observed: Observed, _desired: CorosyncFile) -> dict[str, Any]:
    """Which version runs."""
    return {"node": observed.node, "loaded": observed.loaded}


def unchanged(observed: Observed, _desired: CorosyncFile) -> str:
    """Say what was found."""
    return f"{membership.LOCAL_CONF} of {observed.node} is the wanted one"


STEP = Step(CorosyncFile, observe, decide, act, facts, unchanged)
