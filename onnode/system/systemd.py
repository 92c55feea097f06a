"""systemd: reading the state of units, and giving it commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine


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


def units(machine: ThisMachine, names: list[str], *, timeout_s: float = 60.0) -> dict[str, Unit]:
    """The states of several units at this moment."""
    out = machine.check(["systemctl", "show", "-p", "ActiveState,UnitFileState", *names], timeout_s=timeout_s)
    return dict(zip(names, map(parse_show, out.strip().split("\n\n")), strict=True))


def unit(machine: ThisMachine, name: str) -> Unit:
    """A unit's state at this moment."""
    return units(machine, [name])[name]


def systemctl(machine: ThisMachine, *arguments: str, timeout_s: float = 90.0) -> None:
    """Give systemd a command, which it must accept.

    Raises:
        StepError: command-failed or command-timeout.
    """
    machine.check(["systemctl", *arguments], timeout_s=timeout_s)
