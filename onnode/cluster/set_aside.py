"""What /etc/pve has of a node is kept on this machine, before it is removed there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

KEPT = "/var/lib/nested-pve-ha/removed"
PACK_S = 60.0
# Among other nodes' files there are secrets.
PACK = 'umask 077; mkdir -p "$1" && cd /etc/pve && exec tar -czf "$1/$2" --ignore-failed-read -- "nodes/$3" priv/authorized_keys priv/known_hosts'


def keep(machine: ThisMachine, node: str) -> None:
    """Pack its directory, and the keys and known hosts of the cluster.

    Raises:
        StepError: command-failed.
    """
    file = f"{node}-{_stamp(machine)}.tar.gz"
    machine.check(["sh", "-c", PACK, "sh", KEPT, file, node], timeout_s=PACK_S)
    machine.note(f"what /etc/pve had of {node} is kept in {KEPT}/{file}")


def keep_file(machine: ThisMachine, node: str, path: str) -> None:
    """Copy one file of /etc/pve that names the node, whole."""
    copy = f"{KEPT}/{node}-{_stamp(machine)}-{path.rpartition('/')[2]}"
    machine.write(copy, machine.read(path) or "", mode=0o600)
    machine.note(f"{path}, which names {node}, was copied to {copy}")


def _stamp(machine: ThisMachine) -> str:
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(machine.time()))
