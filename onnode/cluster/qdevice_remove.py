"""qdevice --remove: this member does not connect to a QDevice's server any more, and has no certificate for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode.cluster import qdevice
from onnode.contract.qdevice import QDevice
from onnode.step import Action, Step
from onnode.system import systemd

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

STOP_S = 60.0


@dataclass(frozen=True)
class Observed:
    """What is left of it."""

    unit: systemd.Unit
    files: bool = False


def observe(machine: ThisMachine, _desired: QDevice) -> Observed:
    """Look at this member."""
    return Observed(systemd.unit(machine, qdevice.UNIT), machine.exists(qdevice.DIRECTORY))


def decide(observed: Observed, _desired: QDevice) -> list[Action]:
    """The daemon first, then what it reads."""
    stop = observed.unit.active != "inactive" or observed.unit.enabled == "enabled"
    return [
        *([Action("stop", qdevice.UNIT)] if stop else []),
        *([Action("remove", qdevice.DIRECTORY)] if observed.files else []),
    ]


def act(machine: ThisMachine, _desired: QDevice, action: Action) -> None:
    """Do one thing."""
    if action.do == "stop":
        machine.check(["systemctl", "disable", "--now", qdevice.UNIT], timeout_s=STOP_S)
        # It ends with an error when its section goes from corosync.conf, as it does first.
        machine.run(["systemctl", "reset-failed", qdevice.UNIT], timeout_s=STOP_S)
    else:
        machine.remove_tree(qdevice.DIRECTORY)


def facts(_observed: Observed, _desired: QDevice) -> dict[str, Any]:
    """Nothing that anybody asks for."""
    return {}


def unchanged(_observed: Observed, _desired: QDevice) -> str:
    """Say what was found."""
    return "no QDevice's server is connected"


STEP = Step(QDevice, observe, decide, act, facts, unchanged)
