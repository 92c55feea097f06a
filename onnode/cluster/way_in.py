"""The administrator's way in while /etc/pve is away.

On a Proxmox node root's authorized_keys is a link into /etc/pve. From the moment a join stops pmxcfs until the new
member has the cluster's data, nobody could log in, and a join that was cut off in between could not be finished.
sshd reads a second file by default, outside of /etc/pve: for that time a marked block at its beginning holds the same
keys. Whatever else is in that file is the administrator's, and stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

FIRST = "/root/.ssh/authorized_keys"
SECOND = "/root/.ssh/authorized_keys2"
BEGIN = "# Made by nested-pve-ha: the way in while /etc/pve is away. It ends below.\n"
MADE = "# The file was made for it.\n"  # else it was there, perhaps empty
END = "# The end of what nested-pve-ha made.\n"


def is_open(machine: ThisMachine) -> bool:
    """Whether this product's block is there."""
    return _split(machine.read(SECOND) or "") is not None


def open_up(machine: ThisMachine) -> None:
    """Put a copy of the keys at the second file's beginning."""
    keys = machine.read(FIRST)
    theirs = machine.read(SECOND)
    if not keys or _split(theirs or "") is not None:
        return
    block = [BEGIN, *([MADE] if theirs is None else []), keys, "" if keys.endswith("\n") else "\n", END]
    machine.write(SECOND, "".join(block) + (theirs or ""), mode=0o600 if theirs is None else None)


def close(machine: ThisMachine) -> None:
    """Take this product's block out, and the file only where it was made for that and holds nothing else."""
    found = _split(machine.read(SECOND) or "")
    if found is None:
        return
    block, theirs = found
    if not theirs and block.startswith(BEGIN + MADE):
        machine.remove(SECOND)
    else:
        machine.write(SECOND, theirs)


def _split(text: str) -> tuple[str, str] | None:
    """The block of this product, and everything else; None without a block."""
    before, begin, rest = text.partition(BEGIN)
    keys, end, after = rest.partition(END)
    return (begin + keys + end, before + after) if end else None
