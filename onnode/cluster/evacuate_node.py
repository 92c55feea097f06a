"""evacuate-node: all guests leave a node for good, before it is taken out of the cluster. Asked on another member.

All of them are looked at before the first one moves: one that cannot go is refused, and nothing was changed. HA rules of the
stack lose the node first: HA would bring a guest back to a node that a rule prefers. What others made and names the node stays as it
is; Proxmox VE ignores the names of nodes that do not exist.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.contract import EvacuateNode
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system.machine import tail
from onnode.system.pve import parse_guest_config, parse_sections

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from onnode.system.machine import ThisMachine
    from onnode.system.pve import Section

MOVE_S = 1800.0  # for one guest: memory of many GiB over a slow network
IDLE_S = 60.0  # HA's manager takes commands up every 10 s
RECOVERY_S = 360.0  # fencing takes HA 60 s, the lock of a dead node's agent another 120 s
COMMAND_S = 60.0
LOOK_S = 20.0
KINDS = {"qemu-server": ("vm", "qemu"), "lxc": ("ct", "lxc")}
CONFIGURATION = re.compile(r"(\d+)\.conf")
# In whatever part of a guest's configuration: snapshots hold disks, too.
DISK = re.compile(
    r"^((?:ide|sata|scsi|virtio|efidisk|tpmstate|unused|mp)\d+|rootfs|vmstate):\s*([^,\s]+)(.*)$", re.MULTILINE
)
HARDWARE = re.compile(r"^(?:(hostpci\d+|dev\d+):|(usb\d+):.*\bhost=)", re.MULTILINE)
NO_DISK = "none"
# Storages that every node reaches by their nature; others say so by `shared` (PVE::Storage::Plugin).
SHARED = ("nfs", "cifs", "cephfs", "rbd", "iscsi", "iscsidirect", "glusterfs", "zfs", "pbs", "esxi")
# The states of HA's manager in which a guest stays where it is (pve-ha-manager, Manager.pm).
AT_REST = ("started", "stopped", "error", "ignored", "")


@dataclass(frozen=True)
class Guest:
    """A guest of the node.

    Attributes:
        kind: as the API names it, "qemu" or "lxc".
        vmid: its number.
        name: for people.
        running: whether it runs.
        lock: of its configuration; empty without one.
        bound: what ties it to the node, "scsi0 on local".
        storages: where its disks are.
        managed: whether HA looks after it.
        state: in which HA has it.
        failback: whether HA brings it back to a node that it prefers.
    """

    kind: str
    vmid: int
    name: str = ""
    running: bool = False
    lock: str = ""
    bound: list[str] = field(default_factory=list)
    storages: list[str] = field(default_factory=list)
    managed: bool = False
    state: str = ""
    failback: bool = True

    @property
    def sid(self) -> str:
        """As HA calls it, "vm:200"."""
        return f"{'vm' if self.kind == 'qemu' else 'ct'}:{self.vmid}"

    @property
    def shown(self) -> str:
        """For people."""
        return f"{self.sid} ({self.name})" if self.name else self.sid


@dataclass(frozen=True)
class Rule:
    """A rule of HA about nodes, or a group of Proxmox VE 8.

    Attributes:
        name: of it.
        group: whether it is a group.
        nodes: the priorities, by node; the higher one wins.
        guests: those that it is about, each as "vm:200".
        strict: no other nodes are allowed.
        ours: it carries the mark of the stack.
    """

    name: str
    group: bool
    nodes: dict[str, int]
    guests: list[str]
    strict: bool = False
    ours: bool = False


@dataclass(frozen=True)
class Observed:
    """What the cluster's files show.

    Attributes:
        online: whether the cluster sees the node.
        guests: what is on it.
        rules: those that are in force.
        places: of each storage, the nodes that have it; None: all of them.
        crowd: by target, how many guests are on it.
    """

    online: bool
    guests: list[Guest] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    places: dict[str, list[str] | None] = field(default_factory=dict)
    crowd: dict[str, int] = field(default_factory=dict)


# -- observe -----------------------------------------------------------------------------------------------------------


def observe(machine: ThisMachine, desired: EvacuateNode) -> Observed:
    """Read the files of the whole cluster, and ask which guests run."""
    storages = {one.id: one for one in parse_sections(machine.read("/etc/pve/storage.cfg") or "")}
    resources = _resources(machine)
    rules = [*_rules(machine, desired.stack_tag), *_groups(machine, resources, desired.stack_tag)]
    found = list(_configurations(machine, desired.node))
    running = _running(machine) if found else set()
    guests = [
        _guest(kind, vmid, text, storages, resources, running=vmid in running, states=_services(machine))
        for kind, vmid, text in found
    ]
    return Observed(
        online=bool(_members(machine).get(desired.node, {}).get("online")),
        guests=guests,
        rules=rules,
        places={name: _nodes_of(one) for name, one in storages.items() if one.values.get("disable") != "1"},
        crowd={target: len(list(_numbers(machine, target))) for target in desired.targets},
    )


def _numbers(machine: ThisMachine, node: str) -> Iterator[tuple[str, int]]:
    for directory in KINDS:
        for name in machine.names(f"/etc/pve/nodes/{node}/{directory}"):
            if found := CONFIGURATION.fullmatch(name):
                yield directory, int(found[1])


def _configurations(machine: ThisMachine, node: str) -> Iterator[tuple[str, int, str]]:
    for directory, vmid in _numbers(machine, node):
        # One that is gone by now has moved, or was destroyed.
        if (text := machine.read(f"/etc/pve/nodes/{node}/{directory}/{vmid}.conf")) is not None:
            yield KINDS[directory][1], vmid, text


def _guest(  # noqa: PLR0913 - what is known of it comes from many files
    kind: str,
    vmid: int,
    text: str,
    storages: Mapping[str, Section],
    resources: Mapping[str, Section],
    *,
    running: bool,
    states: Mapping[str, str],
) -> Guest:
    values = parse_guest_config(text).values
    sid = f"{'vm' if kind == 'qemu' else 'ct'}:{vmid}"
    resource = resources.get(sid)
    disks = list(_disks(text, storages))
    return Guest(
        kind,
        vmid,
        values.get("name") or values.get("hostname", ""),
        running,
        values.get("lock", ""),
        [where for where, storage in disks if storage is None]
        + [one or other for one, other in HARDWARE.findall(text)],
        sorted({storage for _, storage in disks if storage is not None}),
        managed=resource is not None and resource.values.get("state") != "ignored",
        state=states.get(sid, ""),
        failback=resource is None or resource.values.get("failback", "1") == "1",
    )


def _disks(text: str, storages: Mapping[str, Section]) -> Iterator[tuple[str, str | None]]:
    """Each disk, and the shared storage that it is on; None where it is the node's own."""
    for key, volume, options in DISK.findall(text):
        storage, colon, _ = volume.partition(":")
        if volume == NO_DISK or "shared=1" in options:
            continue
        section = storages.get(storage) if colon else None
        if section is not None and (section.type in SHARED or section.values.get("shared") == "1"):
            yield key, storage
        else:
            yield f"{key} on {storage if colon else volume}", None


def _nodes_of(storage: Section) -> list[str] | None:
    return storage.values["nodes"].split(",") if "nodes" in storage.values else None


def _resources(machine: ThisMachine) -> dict[str, Section]:
    sections = parse_sections(machine.read("/etc/pve/ha/resources.cfg") or "")
    return {f"{one.type}:{one.id}": one for one in sections}


def _rules(machine: ThisMachine, mark: str) -> Iterator[Rule]:
    for one in parse_sections(machine.read("/etc/pve/ha/rules.cfg") or ""):
        if one.type == "node-affinity" and one.values.get("disable") != "1":
            guests = _listed(one.values.get("resources", ""))
            strict = one.values.get("strict") == "1"
            yield Rule(one.id, False, _priorities(one), guests, strict, _has(one, mark))  # noqa: FBT003 - no group


def _groups(machine: ThisMachine, resources: Mapping[str, Section], mark: str) -> Iterator[Rule]:
    for one in parse_sections(machine.read("/etc/pve/ha/groups.cfg") or ""):
        guests = [sid for sid, resource in resources.items() if resource.values.get("group") == one.id]
        strict = one.values.get("restricted") == "1"
        yield Rule(one.id, True, _priorities(one), guests, strict, _has(one, mark))  # noqa: FBT003 - a group


def _has(section: Section, mark: str) -> bool:
    return section.values.get("comment", "").strip().lower() == mark


def _listed(text: str) -> list[str]:
    return re.findall(r"[^,;\s]+", text)


def _priorities(section: Section) -> dict[str, int]:
    pairs = [one.partition(":") for one in _listed(section.values.get("nodes", ""))]
    return {name: int(priority) if priority.isdigit() else 0 for name, _, priority in pairs}


def _members(machine: ThisMachine) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(machine.read("/etc/pve/.members") or "{}").get("nodelist")
    except ValueError:
        return {}
    return dict(found or {})


def _services(machine: ThisMachine) -> dict[str, str]:
    """By guest, the state in which HA has it; one that it was asked to move counts as on its way."""
    try:
        found = json.loads((machine.read("/etc/pve/ha/manager_status") or "{}").rstrip("\0")).get("service_status")
    except ValueError:  # written at this moment
        return {}
    return {sid: "asked" if one.get("cmd") else str(one.get("state", "")) for sid, one in (found or {}).items()}


def _running(machine: ThisMachine) -> set[int]:
    text = machine.check(
        ["pvesh", "get", "/cluster/resources", "--type", "vm", "--output-format", "json"], timeout_s=LOOK_S
    )
    return {int(one["vmid"]) for one in json.loads(text) if one.get("status") == "running"}


# -- decide ------------------------------------------------------------------------------------------------------------


def decide(observed: Observed, desired: EvacuateNode) -> list[Action]:
    """Rules let go of the node first; then each guest moves.

    Raises:
        StepError: guest-cannot-leave.
    """
    ways = [(guest, _targets(observed, desired, guest)) for guest in observed.guests]
    _refuse_bound(observed, desired, ways)
    if ours := [rule for rule in observed.rules if rule.ours and desired.node in rule.nodes]:
        return [Action("release", rule.name, _without(rule, desired)) for rule in ours]
    if not observed.online:
        return [Action("await", guest.sid) for guest in observed.guests]
    crowd, actions = dict(observed.crowd), []
    for guest, targets in ways:
        target = min(targets, key=lambda name: (-targets[name], crowd[name], name))
        crowd[target] += 1
        actions.append(Action("move", guest.sid, target))
    return actions


def _without(rule: Rule, desired: EvacuateNode) -> str:
    """The nodes of a rule without this one; all that stay where it named no other."""
    left = {name: priority for name, priority in rule.nodes.items() if name != desired.node}
    return ",".join(f"{name}:{left[name]}" for name in sorted(left)) or ",".join(desired.targets)


def _targets(observed: Observed, desired: EvacuateNode, guest: Guest) -> dict[str, int]:
    """Where a guest can go, each with the priority that HA gives it."""
    able = [
        name
        for name in desired.targets
        if all(
            storage in observed.places and _has_storage(observed.places[storage], name) for storage in guest.storages
        )
    ]
    found = dict.fromkeys(able, 0)
    for rule in observed.rules:
        left = {name: priority for name, priority in rule.nodes.items() if name != desired.node}
        if guest.managed and guest.sid in rule.guests and (left or not rule.ours):
            found = {name: left.get(name, -1) for name in found if name in left or not rule.strict}
    return found


def _has_storage(nodes: list[str] | None, name: str) -> bool:
    return nodes is None or name in nodes


def _refuse_bound(observed: Observed, desired: EvacuateNode, ways: Sequence[tuple[Guest, Mapping[str, int]]]) -> None:
    stuck = [(guest, why) for guest, targets in ways if (why := _why_not(observed, desired, guest, targets))]
    if stuck:
        raise StepError(
            "guest-cannot-leave",
            f"guests of {desired.node} cannot go to another node; nothing was moved",
            observed="; ".join(f"{guest.shown}: {why}" for guest, why in stuck),
            expected=f"guests that can run on {', '.join(desired.targets) or 'another member'}",
        )


def _why_not(observed: Observed, desired: EvacuateNode, guest: Guest, targets: Mapping[str, int]) -> str:
    """Why a guest cannot go; the first reason that there is."""
    back = next((one.name for one in observed.rules if _brings_back(one, desired, guest)), "")
    left = observed.online or guest.managed
    reasons = {
        f"it has {', '.join(guest.bound)}, which no other node has": bool(guest.bound),
        f"it is locked ({guest.lock})": bool(guest.lock),
        "HA has it in state error": guest.managed and guest.state == "error",
        f"{desired.node} is off, and HA does not look after it": not left,
        f"{desired.node} is off, and HA recovers no guest that is stopped": not observed.online
        and guest.state == "stopped",
        f"none of {', '.join(desired.targets)} has its storages and is allowed by its HA rule": not targets,
        f"HA rule {back}, which this stack did not make, prefers {desired.node} and brings it back": bool(back),
    }
    return next((why for why, so in reasons.items() if so), "")


def _brings_back(rule: Rule, desired: EvacuateNode, guest: Guest) -> bool:
    here = rule.nodes.get(desired.node)
    concerned = not rule.ours and guest.managed and guest.failback and guest.sid in rule.guests
    above = here is not None and all(here > other for name, other in rule.nodes.items() if name != desired.node)
    return concerned and above


# -- act ---------------------------------------------------------------------------------------------------------------


def act(machine: ThisMachine, desired: EvacuateNode, action: Action) -> None:
    """Do one of them, and wait for its end.

    Raises:
        StepError: guest-did-not-leave, command-failed.
    """
    if action.do == "release":
        _release(machine, desired, action)
        return
    kind, _, vmid = action.what.partition(":")
    if action.do == "await":
        machine.note(f"waiting for HA to recover {action.what} from {desired.node}, which is off")
        if not machine.wait_for(lambda: _has_left(machine, desired.node, int(vmid)), RECOVERY_S):
            raise _stays(machine, desired, action, "HA has not recovered it")
        return
    resource = _resources(machine).get(action.what)
    machine.note(f"{action.what} goes to {action.text}")
    if resource is not None and resource.values.get("state") != "ignored":
        said = machine.run(["ha-manager", "crm-command", "migrate", action.what, action.text], timeout_s=COMMAND_S).text
        _wait(machine, desired.node, action.what, int(vmid))
    else:
        said = _migrate(machine, desired.node, "qemu" if kind == "vm" else "lxc", vmid, action.text)
    if not _has_left(machine, desired.node, int(vmid)):
        raise _stays(machine, desired, action, said)


def _release(machine: ThisMachine, desired: EvacuateNode, action: Action) -> None:
    groups = {one.id for one in parse_sections(machine.read("/etc/pve/ha/groups.cfg") or "")}
    words = ["groupset", action.what] if action.what in groups else ["rules", "set", "node-affinity", action.what]
    machine.note(f"HA rule {action.what} lets go of {desired.node}: nodes {action.text}")
    machine.check(["ha-manager", *words, "--nodes", action.text], timeout_s=COMMAND_S)


def _migrate(machine: ThisMachine, node: str, kind: str, vmid: str, target: str) -> str:
    """A guest that HA does not look after: a running VM goes on running, a running container is restarted there."""
    way = ("--online" if kind == "qemu" else "--restart", "1") if int(vmid) in _running(machine) else ()
    path = f"/nodes/{node}/{kind}/{vmid}/migrate"
    return machine.run(["pvesh", "create", path, "--target", target, *way], timeout_s=MOVE_S).text


def _has_left(machine: ThisMachine, node: str, vmid: int) -> bool:
    return vmid not in {number for _, number in _numbers(machine, node)}


def _wait(machine: ThisMachine, node: str, sid: str, vmid: int) -> None:
    """Wait until the guest is elsewhere and at rest, or HA leaves it where it is."""
    now = machine.monotonic()
    deadline, idle = now + MOVE_S, now
    while now < deadline:
        at_rest = _services(machine).get(sid, "") in AT_REST
        if at_rest and _has_left(machine, node, vmid):
            return
        if not at_rest:
            idle = now
        elif now - idle >= IDLE_S:
            return
        machine.sleep(1)
        now = machine.monotonic()


def _stays(machine: ThisMachine, desired: EvacuateNode, action: Action, said: str) -> StepError:
    state = _services(machine).get(action.what)
    return StepError(
        "guest-did-not-leave",
        f"{action.what} did not leave {desired.node}",
        observed=f"{tail(said)}{f'; HA has it in state {state}' if state else ''}",
        expected=f"{action.what} on {action.text or 'another member'}",
    )


# -- report ------------------------------------------------------------------------------------------------------------


def facts(observed: Observed, desired: EvacuateNode) -> dict[str, Any]:
    """What others made, and still names the node."""
    named = [rule for rule in observed.rules if not rule.ours and desired.node in rule.nodes]
    rules = [f"HA {'group' if rule.group else 'rule'} {rule.name}" for rule in named]
    storages = [f"storage {name}" for name, nodes in observed.places.items() if nodes and desired.node in nodes]
    return {"node": desired.node, "named_by": [*rules, *storages]}


def unchanged(_observed: Observed, desired: EvacuateNode) -> str:
    """Say what was found."""
    return f"no guest is on {desired.node}"


STEP = Step(EvacuateNode, observe, decide, act, facts, unchanged)
