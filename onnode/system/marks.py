"""Marks of what carries no comment in Proxmox VE: which stack made it.

A storage or a role has no place for a word of ours. So each of them has a small file in the cluster's own file system,
which every member sees and a backup of /etc/pve holds. One file for one thing: two stacks never write the same one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnode.errors import StepError
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

DIRECTORY = "/etc/pve/nested-pve-ha"
WRITE_S = 20.0


def path(kind: str, name: str) -> str:
    """The file that names the stack that made a thing, such as `storage-shared`."""
    return f"{DIRECTORY}/{kind}-{name}"


def owner(machine: ThisMachine, kind: str, name: str) -> str | None:
    """The tag of the stack that made it; None when nobody marked it."""
    return (machine.read(path(kind, name)) or "").strip() or None


def put(machine: ThisMachine, kind: str, name: str, stack_tag: str) -> None:
    """Mark a thing as made by a stack.

    Raises:
        StepError: mark-failed.
    """
    # By programs of their own: a hung pmxcfs blocks whoever writes there, beyond the reach of signals.
    _do(machine, ["mkdir", "-p", "--", DIRECTORY])
    _do(machine, ["dd", f"of={path(kind, name)}", "status=none"], f"{stack_tag}\n")


def take_away(machine: ThisMachine, kind: str, name: str) -> None:
    """Make sure that a thing is not marked.

    Raises:
        StepError: mark-failed.
    """
    _do(machine, ["rm", "-f", "--", path(kind, name)])


def _do(machine: ThisMachine, argv: list[str], text: str = "") -> None:
    result = machine.run(argv, stdin=text, timeout_s=WRITE_S)
    if result.code != 0:
        raise StepError(
            "mark-failed",
            "the file in /etc/pve that marks what a stack made cannot be changed",
            observed=f"`{' '.join(argv)}`: {tail(result.text)}",
            expected="a writable /etc/pve",
        )
