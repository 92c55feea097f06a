"""systemd: what a unit does, and whether it keeps doing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnode.machine import Machine

SETTLE_S = 15.0


@dataclass(frozen=True)
class Unit:
    """A unit's state."""

    active: str = "inactive"
    enabled: str = ""

    @property
    def running(self) -> bool:
        """Whether it runs now and will after a reboot."""
        return self.active == "active" and self.enabled == "enabled"


def parse_show(text: str) -> Unit:
    """Read `systemctl show -p ActiveState,UnitFileState UNIT`."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return Unit(values.get("ActiveState", "inactive"), values.get("UnitFileState", ""))


def units(machine: Machine, names: list[str]) -> dict[str, Unit]:
    """The states of several units at this moment."""
    out = machine.check(["systemctl", "show", "-p", "ActiveState,UnitFileState", *names])
    return dict(zip(names, map(parse_show, out.strip().split("\n\n")), strict=True))


def unit(machine: Machine, name: str) -> Unit:
    """A unit's state at this moment."""
    return units(machine, [name])[name]


def systemctl(machine: Machine, *arguments: str, timeout_s: float = 90.0) -> None:
    """Tell systemd to do something; it must accept it.

    Raises:
        StepError: command-failed or command-timeout.
    """
    machine.check(["systemctl", *arguments], timeout_s=timeout_s)


def settled(machine: Machine, name: str) -> bool:
    """Whether a unit that was just started is still active a moment later."""

    def active() -> bool:
        return unit(machine, name).active == "active"

    if not machine.wait_for(active, SETTLE_S):
        return False
    machine.sleep(1)
    return active()
