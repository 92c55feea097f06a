"""evacuate-node: all guests leave a node for good, before it is taken out of the cluster. Asked on another member.

All of them are looked at before the first one moves: one that cannot go is refused, and nothing was changed. HA rules of the
stack lose the node first. Then the node goes into HA maintenance, or HA would bring a guest back before the node is off: a rule of others
may prefer it, and HA spreads guests. A mark says that this program began that, until the node is gone or stays after all (`keep-members`).
What others made and names the node stays as it is; Proxmox VE ignores the names of nodes that do not exist.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from onnode.cluster import guest_places, ha_manager, maintenance
from onnode.contract.guests import Maintenance
from onnode.contract.removal import EvacuateNode
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import marks
from onnode.system.machine import tail
from onnode.system.pve import parse_sections

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from onnode.system.machine import ThisMachine

LEAVING = "leaving"  # the kind of the mark
MOVE_S = 1800.0  # for one guest: memory of many GiB over a slow network
IDLE_S = 60.0  # HA's manager takes commands up every 10 s
RECOVERY_S = 360.0  # fencing takes HA 60 s, the lock of a dead node's agent another 120 s
COMMAND_S = 60.0
LOOK_S = 20.0
KINDS = {"qemu-server": "vm", "lxc": "ct"}
CONFIGURATION = re.compile(r"(\d+)\.conf")
# The states of HA's manager in which a guest stays where it is (pve-ha-manager, Manager.pm).
AT_REST = ("started", "stopped", "error", "ignored", "")


@dataclass(frozen=True)
class Guest:
    """A guest of the node.

    Attributes:
        sid: as HA calls it, "vm:200".
        name: for people; empty without one.
        managed: whether HA looks after it.
        state: in which HA has it.
        obstacles: why no other node can have it.
        nodes: the only ones that may have it; None: all of them.
    """

    sid: str
    name: str = ""
    managed: bool = False
    state: str = ""
    obstacles: list[str] = field(default_factory=list)
    nodes: list[str] | None = None

    @property
    def shown(self) -> str:
        """For people."""
        return f"{self.sid} ({self.name})" if self.name else self.sid


@dataclass(frozen=True)
class Observed:
    """What the cluster's files show.

    Attributes:
        online: whether the cluster sees the node.
        has_ha: whether HA looks after any guest of the cluster.
        ha: the node, as HA has it.
        guests: what is on it.
        rules: those that are in force.
        storages: those that name the node.
        crowd: by target, how many guests are on it.
    """

    online: bool
    has_ha: bool = False
    ha: ha_manager.NodeInHa = field(default_factory=ha_manager.NodeInHa)
    guests: list[Guest] = field(default_factory=list)
    rules: list[guest_places.Rule] = field(default_factory=list)
    storages: list[str] = field(default_factory=list)
    crowd: dict[str, int] = field(default_factory=dict)


# -- observe -----------------------------------------------------------------------------------------------------------


def observe(machine: ThisMachine, desired: EvacuateNode) -> Observed:
    """Read the files of the whole cluster."""
    settings = guest_places.read(machine, desired.stack_tag)
    return Observed(
        online=bool(_members(machine).get(desired.node, {}).get("online")),
        has_ha=bool(settings.resources),
        ha=ha_manager.observe(machine, desired.node),
        guests=list(_guests(machine, desired, settings)),
        rules=settings.rules,
        storages=[
            name for name, one in settings.storages.items() if desired.node in (guest_places.nodes_of(one) or [])
        ],
        crowd={target: len(list(_sids(machine, target))) for target in desired.targets},
    )


def _sids(machine: ThisMachine, node: str) -> Iterator[str]:
    for directory, kind in KINDS.items():
        for name in machine.names(f"/etc/pve/nodes/{node}/{directory}"):
            if found := CONFIGURATION.fullmatch(name):
                yield f"{kind}:{found[1]}"


def _guests(machine: ThisMachine, desired: EvacuateNode, settings: guest_places.Settings) -> Iterator[Guest]:
    """Each is judged as if the rules of the stack had let go of the node already."""
    released = replace(settings, rules=list(_released(settings.rules, desired)))
    directories = {kind: directory for directory, kind in KINDS.items()}
    states = _services(machine)
    for sid in _sids(machine, desired.node):
        kind, _, vmid = sid.partition(":")
        text = machine.read(f"/etc/pve/nodes/{desired.node}/{directories[kind]}/{vmid}.conf")
        if text is not None:  # else it has moved, or was destroyed
            place = guest_places.judge(sid, text, released)
            managed = settings.is_managed(sid)
            yield Guest(sid, place.name, managed, states.get(sid, ""), place.obstacles, place.nodes)


def _released(rules: Sequence[guest_places.Rule], desired: EvacuateNode) -> Iterator[guest_places.Rule]:
    for rule in rules:
        yield replace(rule, nodes=_left(rule, desired)) if rule.ours else rule


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
    """Rules let go of the node first, and HA of the guests; then each guest moves.

    Raises:
        StepError: guest-cannot-leave.
    """
    ways = [(guest, _targets(observed, desired, guest)) for guest in observed.guests]
    _refuse_bound(observed, desired, ways)
    if ours := [rule for rule in observed.rules if rule.ours and desired.node in rule.nodes]:
        return [Action("release", rule.name, _written(_left(rule, desired))) for rule in ours]
    if not observed.online:
        return [Action("await", guest.sid) for guest in observed.guests]
    # HA is asked for both at once. Else it chose the places of its guests, and it does not know who has their storages.
    moves = list(_moves(observed, ways))
    asked = [Action("ask", one.what, one.text) for (guest, _), one in zip(ways, moves, strict=True) if guest.managed]
    begin = [Action("begin", f"maintenance of {desired.node}")] if _is_to_begin(observed) else []
    end = [] if _is_out_of_use(observed) else [Action("wait", f"until HA has {desired.node} in maintenance")]
    return [*begin, *asked, *moves, *end]


def _is_to_begin(observed: Observed) -> bool:
    return observed.has_ha and not observed.ha.requested


def _is_out_of_use(observed: Observed) -> bool:
    """Whether HA can bring nothing back."""
    return not observed.has_ha or _is_taken_up(observed.ha)


def _is_taken_up(ha: ha_manager.NodeInHa) -> bool:
    """Whether the HA manager has the request, and the node's agent follows it; one that does not report starts nothing."""
    return ha.requested and (ha.silent or maintenance.is_taken_up(ha, enabled=True))


def _moves(observed: Observed, ways: Sequence[tuple[Guest, Mapping[str, int]]]) -> Iterator[Action]:
    crowd = dict(observed.crowd)
    for guest, targets in ways:
        target = min(targets, key=lambda name: (-targets[name], crowd[name], name))
        crowd[target] += 1
        yield Action("move", guest.sid, target)


def _left(rule: guest_places.Rule, desired: EvacuateNode) -> dict[str, int]:
    """The nodes of a rule of the stack without this one; all that stay where it named no other."""
    left = {name: priority for name, priority in rule.nodes.items() if name != desired.node}
    return left or dict.fromkeys(desired.targets, 0)


def _written(nodes: Mapping[str, int]) -> str:
    return ",".join(f"{name}:{nodes[name]}" for name in sorted(nodes))


def _targets(observed: Observed, desired: EvacuateNode, guest: Guest) -> dict[str, int]:
    """Where a guest can go, each with the priority that HA gives it."""
    found = {name: 0 for name in desired.targets if guest.nodes is None or name in guest.nodes}
    for rule in observed.rules:
        if guest.managed and guest.sid in rule.guests:
            found = {name: rule.nodes.get(name, -1) for name in found}
    return found


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
    left = observed.online or guest.managed
    reasons = {
        "; ".join(guest.obstacles): bool(guest.obstacles),
        "HA has it in state error": guest.managed and guest.state == "error",
        f"{desired.node} is off, and HA does not look after it": not left,
        f"{desired.node} is off, and HA recovers no guest that is stopped": not observed.online
        and guest.state == "stopped",
        f"none of {', '.join(desired.targets)} has its storages and is allowed by its HA rule": not targets,
    }
    return next((why for why, so in reasons.items() if so), "")


# -- act ---------------------------------------------------------------------------------------------------------------


def act(machine: ThisMachine, desired: EvacuateNode, action: Action) -> None:
    """Do one of them, and wait for its end.

    Raises:
        StepError: guest-did-not-leave, maintenance-not-taken, mark-failed, command-failed.
    """
    if action.do == "release":
        _release(machine, desired, action)
    elif action.do == "begin":
        marks.put(machine, LEAVING, desired.node, desired.stack_tag)
        maintenance.ask(machine, desired.node, enabled=True)
    elif action.do == "ask":
        _ask(machine, desired, action)
    elif action.do == "wait":
        _await_maintenance(machine, desired)
    elif action.do == "await":
        _await_recovery(machine, desired, action)
    else:
        _move(machine, desired, action)


def _await_maintenance(machine: ThisMachine, desired: EvacuateNode) -> None:
    maintenance.await_taken_up(
        machine,
        Maintenance(desired.node, enabled=True, timeout_s=desired.timeout_s),
        lambda: _is_taken_up(ha_manager.observe(machine, desired.node)),
    )


def _ask(machine: ThisMachine, desired: EvacuateNode, action: Action) -> str:
    """Tell HA where a guest goes; not one that it moves already, for it would move it once more. What the tool said."""
    at_rest = _services(machine).get(action.what, "") in AT_REST
    if not at_rest or _has_left(machine, desired.node, action.what):
        return ""
    return machine.run(["ha-manager", "crm-command", "migrate", action.what, action.text], timeout_s=COMMAND_S).text


def _await_recovery(machine: ThisMachine, desired: EvacuateNode, action: Action) -> None:
    machine.note(f"waiting for HA to recover {action.what} from {desired.node}, which is off")
    if not machine.wait_for(lambda: _has_left(machine, desired.node, action.what), RECOVERY_S):
        raise _stays(machine, desired, action, "HA has not recovered it")


def _move(machine: ThisMachine, desired: EvacuateNode, action: Action) -> None:
    if guest_places.read(machine).is_managed(action.what):
        said = ""
        _wait(machine, desired.node, action.what)
        if not _has_left(machine, desired.node, action.what):
            said = _ask(machine, desired, action)
            _wait(machine, desired.node, action.what)
    else:
        machine.note(f"{action.what} goes to {action.text}")
        said = _migrate(machine, desired.node, action.what, action.text)
    if not _has_left(machine, desired.node, action.what):
        raise _stays(machine, desired, action, said)


def _release(machine: ThisMachine, desired: EvacuateNode, action: Action) -> None:
    groups = {one.id for one in parse_sections(machine.read("/etc/pve/ha/groups.cfg") or "")}
    words = ["groupset", action.what] if action.what in groups else ["rules", "set", "node-affinity", action.what]
    machine.note(f"HA rule {action.what} lets go of {desired.node}: nodes {action.text}")
    machine.check(["ha-manager", *words, "--nodes", action.text], timeout_s=COMMAND_S)


def _migrate(machine: ThisMachine, node: str, sid: str, target: str) -> str:
    """A guest that HA does not look after: a running VM goes on running, a running container is restarted there."""
    word, _, vmid = sid.partition(":")
    kind = "qemu" if word == "vm" else "lxc"
    way = ("--online" if kind == "qemu" else "--restart", "1") if int(vmid) in _running(machine) else ()
    path = f"/nodes/{node}/{kind}/{vmid}/migrate"
    return machine.run(["pvesh", "create", path, "--target", target, *way], timeout_s=MOVE_S).text


def _has_left(machine: ThisMachine, node: str, sid: str) -> bool:
    return sid not in _sids(machine, node)


def _wait(machine: ThisMachine, node: str, sid: str) -> None:
    """Wait until the guest is elsewhere and at rest, or HA leaves it where it is."""
    now = machine.monotonic()
    deadline, idle = now + MOVE_S, now
    while now < deadline:
        at_rest = _services(machine).get(sid, "") in AT_REST
        if at_rest and _has_left(machine, node, sid):
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
    rules = [rule for rule in observed.rules if not rule.ours and desired.node in rule.nodes]
    named = [f"HA {'group' if rule.group else 'rule'} {rule.name}" for rule in rules]
    return {"node": desired.node, "named_by": [*named, *(f"storage {name}" for name in observed.storages)]}


def unchanged(_observed: Observed, desired: EvacuateNode) -> str:
    """Say what was found."""
    return f"no guest is on {desired.node}"


STEP = Step(EvacuateNode, observe, decide, act, facts, unchanged)
