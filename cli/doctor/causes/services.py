"""Services that do not run, or were started in the wrong order: corosync first, then pmxcfs, then what reads /etc/pve. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.doctor.causes import names
from cli.doctor.model import Cause
from cli.doctor.symptoms import ABOVE_PMXCFS, of_node, of_pmxcfs

if TYPE_CHECKING:
    from cli.doctor.causes import Found, Symptoms
    from cli.doctor.model import Symptom, World

PMXCFS = "systemctl restart pve-cluster && systemctl restart pvedaemon pveproxy"
IN_ORDER = f"systemctl restart corosync && {PMXCFS}"


def hanging(world: World, found: Symptoms) -> list[Found]:
    """A /etc/pve that does not answer: all that reads it hangs, too."""
    return [
        (
            Cause(
                "pve-hangs",
                name,
                f"/etc/pve of {name} does not answer",
                [name],
                "pmxcfs hangs; everything that reads /etc/pve waits for it, beyond the reach of signals",
                world.on(name, PMXCFS),
            ),
            of_pmxcfs(dict(found), name),
        )
        for name, report in world.nodes.items()
        if report.pve == "hangs" and ("pve", name) in found
    ]


def local_mode(world: World, found: Symptoms) -> list[Found]:
    """A pmxcfs that somebody started with -l: it ignores the cluster, and takes writes that nobody else sees."""
    causes: list[Found] = []
    for name, report in world.nodes.items():
        if report.pmxcfs != "local":
            continue
        in_cluster = report.local is not None or report.shared is not None
        cause = Cause(
            "pmxcfs-local",
            name,
            f"pmxcfs of {name} runs in local mode (pmxcfs -l)",
            [name],
            "it was started by hand: it ignores corosync, and what is written into /etc/pve now, no other node sees",
            world.on(
                name, "killall pmxcfs && sleep 2 && " + (IN_ORDER if in_cluster else "systemctl start pve-cluster")
            ),
        )
        causes.append((cause, of_node(dict(found), name)))
    return causes


def stopped(world: World, found: Symptoms) -> list[Found]:
    """Corosync or pmxcfs that does not run, and what follows on that node."""
    causes: list[Found] = []
    for name, report in world.nodes.items():
        corosync = ("corosync", name) in found
        pmxcfs = ("service", name, "pve-cluster") in found
        if not (corosync or pmxcfs):
            continue
        # systemd calls a unit failed whose program ended by itself.
        states = {unit: report.services.get(unit, "unknown") for unit in ("corosync", "pve-cluster")}
        shown = ", ".join(f"{unit} is {state}" for unit, state in states.items())
        failed = [unit for unit, state in states.items() if state == "failed"]
        which = "services-in-disorder" if corosync and pmxcfs else "corosync-stopped" if corosync else "pmxcfs-stopped"
        why = {
            "corosync-stopped": "without it the node neither votes nor writes; its guests run on until HA fences it",
            "pmxcfs-stopped": "corosync runs, so the node votes; but it has no /etc/pve, and none of its services works",
            "services-in-disorder": "they start in this order: corosync, pve-cluster, pvedaemon and pveproxy",
        }[which]
        start = PMXCFS if which == "pmxcfs-stopped" else IN_ORDER
        look = f"; if it stays so: journalctl -b -u {failed[0]} there" if failed else ""
        causes.append(
            (
                Cause(which, name, f"on {name} {shown}", [name], why, world.on(name, start) + look),
                of_node(dict(found), name),
            )
        )
    return causes


def read_only(world: World, found: Symptoms) -> list[Found]:
    """A quorate node whose /etc/pve takes no writes, or one that has none while pve-cluster is active."""
    return [
        (
            Cause(
                "pmxcfs-stuck",
                name,
                found["pve", name],
                [name],
                "pmxcfs runs, and has lost its connection to corosync",
                world.on(name, PMXCFS),
            ),
            of_pmxcfs(dict(found), name),
        )
        for name in world.nodes
        if ("pve", name) in found
    ]


def others(world: World, found: Symptoms) -> list[Found]:
    """Services above pmxcfs that do not run, one cause for each node."""
    causes: list[Found] = []
    for name, report in world.nodes.items():
        down = [unit for unit in ABOVE_PMXCFS if ("service", name, unit) in found]
        if not down:
            continue
        explained: set[Symptom] = {("service", name, unit) for unit in down}
        explained |= {("api", name)} & set(found) if {"pveproxy", "pvedaemon"} & set(down) else set()
        cause = Cause(
            "services-stopped",
            name,
            f"{names(down)} {'does' if len(down) == 1 else 'do'} not run on {name}",
            [name],
            ", ".join(f"{unit} is {report.services[unit]}" for unit in down),
            world.on(name, f"systemctl restart {' '.join(down)}"),
        )
        causes.append((cause, explained))
    return causes


def watchdog(world: World, found: Symptoms) -> list[Found]:
    """Nodes that HA could not fence: no watchdog, or no multiplexer for it (F18)."""
    causes: list[Found] = []
    for name, report in world.joined.items():
        stopped = ("service", name, "watchdog-mux") in found
        dog = report.watchdog
        if not (stopped or (dog and not (dog.device and dog.socket))):
            continue
        used = dog is not None and dog.used
        lacking = [
            *([] if dog is None or dog.device else ["no /dev/watchdog"]),
            *([] if dog is None or dog.socket else ["no socket of watchdog-mux"]),
            *(["watchdog-mux does not run"] if stopped else []),
        ]
        cause = Cause(
            "watchdog-missing",
            name,
            f"{name} has no working watchdog",
            [name],
            f"{names(lacking)}: its HA services do not start guests without one"
            + (", and it holds a watchdog open now: a restart of watchdog-mux would reset the node" if used else ""),
            f"{world.make('drain')} NODE={name}, then {world.make('reboot')} NODE={name}"
            if used
            else world.on(name, "systemctl restart watchdog-mux && systemctl restart pve-ha-crm pve-ha-lrm"),
        )
        units = ("watchdog-mux", "pve-ha-crm", "pve-ha-lrm")
        causes.append((cause, {("service", name, unit) for unit in units} & set(found)))
    return causes
