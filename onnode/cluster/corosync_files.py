"""corosync-files: every corosync.conf that this node has, and what its corosync has loaded. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnode.cluster import diagnosis, edit_corosync, loaded_conf, membership
from onnode.contract.documents import document
from onnode.contract.repair import KeptConf, KeptConfs
from onnode.step import Step, act_never, decide_nothing
from onnode.system.originals import fingerprint

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

LOOK_S = 15.0
LOADED = "what its corosync has loaded"
BY_PEOPLE = (f"{membership.PVE_CONF}.bak", f"{membership.LOCAL_CONF}.bak")  # the former is Proxmox VE's manual's


def observe(machine: ThisMachine, _desired: object = None) -> KeptConfs:
    """Read them all."""
    mounted = diagnosis.how_mounted(machine) == "mounted"
    kept = [f"{edit_corosync.BACKUPS}/{name}" for name in machine.names(edit_corosync.BACKUPS)]
    places = [membership.LOCAL_CONF, membership.PVE_CONF, *kept, *BY_PEOPLE]
    readable = [place for place in places if mounted or not place.startswith("/etc/pve/")]
    texts = {place: machine.read(place) for place in readable}
    texts[LOADED] = loaded_conf.rebuild(machine.run(["corosync-cmapctl"], timeout_s=LOOK_S).out)
    return KeptConfs(
        membership.hostname(machine),
        [KeptConf(place, text) for place, text in texts.items() if text is not None],
        fingerprint(machine.read(membership.AUTHKEY)),
    )


def facts(seen: KeptConfs, _desired: object) -> dict[str, Any]:
    """All of them."""
    return document(seen)


def unchanged(seen: KeptConfs, _desired: object) -> str:
    """Say what was found."""
    return f"{seen.node}: {len(seen.files)} of corosync's configurations"


STEP = Step(None, observe, decide_nothing, act_never, facts, unchanged, lock="none")
