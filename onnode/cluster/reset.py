"""Back to a stand-alone node: the documented way (pvecm.adoc, "Separate a Node Without Reinstalling").

Only for a node that is isolated, has no guests of its own, and is not in the live cluster's list: the caller has checked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from onnode.cluster import membership
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnode.system.machine import ThisMachine

LOCAL_PMXCFS = "nested-pve-ha-pmxcfs"
SERVICE_S = 60.0
DATABASE = "/var/lib/pve-cluster/config.db"
BACKUPS = "/var/lib/pve-cluster/backup"
SHARED_FILES = ("/etc/pve/corosync.conf", "/etc/pve/corosync.conf.new", "/etc/pve/ha/resources.cfg")


def to_stand_alone(machine: ThisMachine, guests: Sequence[str] = ()) -> None:
    """Take the cluster's configuration off this node; the database is backed up first.

    Args:
        machine: this node.
        guests: files of guests that the cluster has, too: a node with guests cannot join.

    The HA resources go before anything starts: alone, the node would be quorate and start the cluster's guests.

    Raises:
        StepError: reset-failed, or that of a failing command.
    """
    machine.check(["systemctl", "stop", "pve-ha-lrm", "pve-ha-crm", "pve-cluster", "corosync"], timeout_s=2 * SERVICE_S)
    _back_up(machine)
    _remove_shared_files(machine, guests)
    for directory in ("/etc/corosync", "/var/lib/corosync"):
        for name in machine.names(directory):
            if machine.path(f"{directory}/{name}").is_file():
                machine.remove(f"{directory}/{name}")
    machine.check(["systemctl", "start", "pve-cluster"], timeout_s=SERVICE_S)
    if not machine.wait_for(lambda: membership.pve_mounted(machine), SERVICE_S):
        raise StepError("reset-failed", "pmxcfs does not come up stand-alone", observed="/etc/pve is not mounted")
    machine.check(["pvecm", "updatecerts", "--force"], timeout_s=SERVICE_S)
    # Not a reload: without quorum, pveproxy may still be starting.
    machine.check(["systemctl", "restart", "pvedaemon", "pveproxy"], timeout_s=SERVICE_S)
    machine.check(["systemctl", "start", "pve-ha-crm", "pve-ha-lrm"], timeout_s=SERVICE_S)


def drop_database(machine: ThisMachine) -> None:
    """Let the next start of pmxcfs begin with the configuration in /etc/corosync instead of the node's own database."""
    machine.check(["systemctl", "stop", "pve-cluster"], timeout_s=SERVICE_S)
    _back_up(machine)
    for suffix in ("", "-wal", "-shm"):
        machine.remove(f"{DATABASE}{suffix}")


def _back_up(machine: ThisMachine) -> None:
    if machine.exists(DATABASE):
        backup = f"{BACKUPS}/config-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(machine.time()))}.db"
        machine.check(["install", "-D", "-m", "0600", str(machine.path(DATABASE)), str(machine.path(backup))])
        machine.note(f"the cluster database was copied to {backup}")


def _remove_shared_files(machine: ThisMachine, guests: Sequence[str]) -> None:
    """Remove files from /etc/pve, with pmxcfs in local mode: that forces quorum and ignores corosync.conf."""
    machine.check(["systemd-run", "--collect", f"--unit={LOCAL_PMXCFS}", "pmxcfs", "-l", "-f"])
    try:
        if not machine.wait_for(lambda: membership.pve_mounted(machine), SERVICE_S):
            raise StepError("reset-failed", "pmxcfs does not start in local mode", observed="/etc/pve is not mounted")
        machine.check(["rm", "-f", *guests, *SHARED_FILES], timeout_s=SERVICE_S)
    finally:
        machine.run(["systemctl", "stop", LOCAL_PMXCFS], timeout_s=SERVICE_S)
