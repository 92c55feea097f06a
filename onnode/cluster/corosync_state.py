"""corosync-state: how far the cluster's corosync.conf has come on this node: its copy, and the running corosync. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnode.cluster import corosync, corosync_restarts, device_settings, membership
from onnode.contract.corosync import CorosyncReport
from onnode.contract.documents import document
from onnode.step import Step, act_never, decide_nothing

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine


def observe(machine: ThisMachine, _desired: object = None) -> CorosyncReport:
    """Look at this node."""
    seen = membership.observe(machine)
    runs = seen.quorum is not None
    version = machine.run(["corosync-cmapctl", "-g", "totem.config_version"], timeout_s=membership.LOOK_S)
    links = machine.run(["corosync-cfgtool", "-s"], timeout_s=membership.LOOK_S).out if runs else ""
    return CorosyncReport(
        **vars(membership.told(seen)),
        text=(machine.read(membership.PVE_CONF) or "") if seen.pve_mounted else "",
        local_version=seen.local_conf.version if seen.local_conf else 0,
        running_version=corosync.parse_version(version.out) if version.code == 0 else None,
        addresses=corosync.parse_addresses(links),
        restarts=corosync_restarts.wanted(machine) if seen.pve_mounted else [],
        kept=device_settings.kept(machine) if seen.pve_mounted else "",
    )


def facts(seen: CorosyncReport, _desired: object) -> dict[str, Any]:
    """All that was seen."""
    return document(seen)


def unchanged(seen: CorosyncReport, _desired: object) -> str:
    """Say what was found."""
    return f"{seen.node}: version {seen.running_version} runs"


STEP = Step(None, observe, decide_nothing, act_never, facts, unchanged, lock="shared")
