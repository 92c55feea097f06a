"""The administrator's way in while /etc/pve is away.

On a Proxmox node root's authorized_keys is a link into /etc/pve. From the moment a join stops pmxcfs until the new
member has the cluster's data, nobody could log in, and a join that was cut off in between could not be finished.
sshd reads a second file by default, outside of /etc/pve: it holds the same keys for that time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnode.machine import Machine

FIRST = "/root/.ssh/authorized_keys"
SECOND = "/root/.ssh/authorized_keys2"
MARK = "# Made by nested-pve-ha: the way in while /etc/pve is away.\n"


def is_open(machine: Machine) -> bool:
    """Whether this product's second file is there."""
    return (machine.read(SECOND) or "").startswith(MARK)


def open_up(machine: Machine) -> None:
    """Copy the keys; a second file of the administrator's own stays, and the keys with it."""
    keys = machine.read(FIRST)
    if keys and machine.read(SECOND) is None:
        machine.write(SECOND, MARK + keys, mode=0o600)


def close(machine: Machine) -> None:
    """Remove this product's second file."""
    machine.remove(SECOND)
