"""A cluster of simulated nodes on which the lab's CRM and LRM run against a virtual clock.

What must hold in every cluster at every moment is checked all the time: see `World.require`.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import heapq
import itertools
from typing import TYPE_CHECKING, Any

from pvelab.ha.crm import Crm
from pvelab.ha.lrm import Lrm
from pvelab.ha.model import (
    LOCK_TIMEOUT_SECONDS,
    WATCHDOG_TIMEOUT_SECONDS,
    CommandResult,
    Request,
    Resource,
    services_of,
)
from pvelab.ha.placement import Affinities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

BOOT_SECONDS = 30.0
BOOT_APART_SECONDS = 2.0
MIGRATION_SECONDS = 15.0


class BrokenPromiseError(AssertionError):
    """Something happened that must not happen in any cluster."""


@dataclasses.dataclass
class Node:
    """A node's hardware; `ends` is how its operating system is about to end: "shutdown" or "reboot"."""

    name: str
    power: bool = False
    network: bool = True
    ends: str = ""


@dataclasses.dataclass
class Agent:
    """A CRM or LRM that runs on a node; a round that was planned with another `plan` is off."""

    service: Crm | Lrm
    environment: SimulatedNode
    plan: int = 0


class World:
    """Nodes, the shared tree, locks, guests, and everything that is to happen."""

    def __init__(self, names: Iterable[str], policy: str = "conditional") -> None:
        """Describe a cluster without guests whose nodes are off.

        Args:
            names: the nodes'.
            policy: `shutdown_policy` in datacenter.cfg.
        """
        self.now = 0.0
        self.policy = policy
        self.nodes = {name: Node(name) for name in names}
        self.resources: dict[str, Resource] = {}
        self.affinities = Affinities()
        self.manager_status: dict[str, Any] = {}
        self.lrm_status: dict[str, dict[str, Any]] = {}
        self.commands: list[str] = []
        self.locks: dict[str, tuple[str, float]] = {}
        self.watchdogs: dict[SimulatedWatchdog, float] = {}
        self.running: set[tuple[str, str]] = set()
        self.broken: set[tuple[str, str]] = set()
        self.log: list[tuple[float, str, str]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._agents: dict[str, tuple[Agent, Agent]] = {}

    # Time

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Let something happen later."""
        heapq.heappush(self._events, (moment, next(self._order), action))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            moment, _, action = heapq.heappop(self._events)
            self.now = max(self.now, moment)
            action()
        self.now = end

    def note(self, who: str, text: str) -> None:
        """Write into the log of the whole cluster."""
        self.log.append((self.now, who, text))

    def require(self, holds: object, promise: str) -> None:
        """Check what must always hold.

        Raises:
            BrokenPromiseError: it does not.
        """
        if not holds:
            raise BrokenPromiseError(f"at {self.now:.0f} s: {promise}")

    # What happens to nodes

    def boot(self) -> None:
        """Power all nodes on; their agents start one node after the other."""
        for number, node in enumerate(self.nodes.values()):
            node.power = True
            self.at(BOOT_APART_SECONDS * number, functools.partial(self.power_on, node.name))

    def power_off(self, name: str) -> None:
        """Pull the plug: guests and agents are gone."""
        self.nodes[name].power = False
        self.running = {place for place in self.running if place[1] != name}
        self.watchdogs = {dog: moment for dog, moment in self.watchdogs.items() if dog.node != name}
        for agent in self._agents.pop(name):
            agent.plan += 1

    def power_on(self, name: str) -> None:
        """Boot."""
        self.nodes[name].power, self.nodes[name].ends = True, ""
        crm, lrm = SimulatedNode(self, name, "crm"), SimulatedNode(self, name, "lrm")
        self._agents[name] = Agent(Crm(crm), crm), Agent(Lrm(lrm), lrm)
        for agent in self._agents[name]:
            self._wake(agent)

    def end(self, name: str, manner: str) -> None:
        """Ask the operating system for a "shutdown" or "reboot": it ends the LRM first, then the CRM."""
        self.nodes[name].ends = manner
        lrm = self._agents[name][1]
        lrm.service.request_shutdown()
        self._wake(lrm)

    def _wake(self, agent: Agent) -> None:
        agent.plan += 1
        self._plan(agent, self.now)

    def _plan(self, agent: Agent, moment: float) -> None:
        plan = agent.plan

        def round_() -> None:
            if agent.plan != plan:
                return
            agent.environment.delay = 0.1
            if agent.service.run_once():
                self._plan(agent, self.now + agent.environment.delay)
            else:
                self._agent_ended(agent)

        self.at(moment, round_)

    def _agent_ended(self, agent: Agent) -> None:
        name = agent.environment.node
        agent.environment.log("server stopped")
        crm = self._agents[name][0]
        if agent is not crm:
            crm.service.request_shutdown()
            self._wake(crm)
            return
        node = self.nodes[name]
        self.note(name, "is off, and starts again" if node.ends == "reboot" else "is off")
        self.power_off(name)
        if node.ends == "reboot":
            self.at(self.now + BOOT_SECONDS, functools.partial(self.power_on, name))

    def watchdog_expires(self, dog: SimulatedWatchdog, reported: float) -> None:
        """Reset a node that promised to report and did not: it boots again."""
        if self.watchdogs.get(dog) != reported:
            return
        fenced = self.manager_status.get("node_status", {}).get(dog.node) == "fence"
        self.require(fenced or not self.quorate(dog.node), f"{dog.node} has quorum and was reset by its watchdog")
        self.note(dog.node, f"watchdog of the {dog.role} expired: reset")
        self.power_off(dog.node)
        self.at(self.now + BOOT_SECONDS, functools.partial(self.power_on, dog.node))

    # What is so

    def quorate(self, name: str) -> bool:
        """Whether a node is in the partition that has most of the votes: one each."""
        connected = [node for node in self.nodes.values() if node.power and node.network]
        return self.nodes[name] in connected and len(connected) * 2 > len(self.nodes)

    def places(self, sid: str) -> list[str]:
        """Where a guest runs."""
        return sorted(node for other, node in self.running if other == sid)

    def state(self, sid: str) -> str | None:
        """What the CRM last published of a service, None where it knows none."""
        service = services_of(self.manager_status).get(sid)
        return str(service.state) if service else None


class SimulatedWatchdog:
    """An open watchdog."""

    def __init__(self, world: World, node: str, role: str) -> None:
        self.node, self.role = node, role
        self._world = world
        world.note(node, f"watchdog of the {role} armed")
        self.update()

    def update(self) -> None:
        """Promise again."""
        reported = self._world.now
        self._world.watchdogs[self] = reported
        expires = reported + WATCHDOG_TIMEOUT_SECONDS
        self._world.at(expires, lambda: self._world.watchdog_expires(self, reported))

    def close(self) -> None:
        """Promise no more."""
        self._world.note(self.node, f"watchdog of the {self.role} closed")
        del self._world.watchdogs[self]


@dataclasses.dataclass
class SimulatedWorker:
    """A command on a guest that ends at a moment."""

    node: SimulatedNode
    sid: str
    command: str
    target: str | None
    ends: float

    def poll(self) -> int | None:
        """The command's result, None before its end."""
        return self.node.finish(self) if self.node.world.now >= self.ends else None


class SimulatedNode:
    """`pvelab.ha.environment.Environment` in the simulated world, for one agent of one node."""

    def __init__(self, world: World, node: str, role: str) -> None:
        self.world, self.node, self.role = world, node, role
        self.delay = 0.0

    def clock(self) -> float:
        return self.world.now + self.delay

    def timestamp(self) -> int:
        return int(self.world.now)

    def sleep(self, seconds: float) -> None:
        self.delay += seconds

    def log(self, message: str) -> None:
        self.world.require("unexpected error" not in message, f"{self.node}'s {self.role}: {message}")
        self.world.note(f"{self.node}/{self.role}", message)

    def quorate(self) -> bool:
        return self.world.quorate(self.node)

    def online_nodes(self) -> Mapping[str, bool]:
        return {name: self.world.quorate(name) for name in self.world.nodes}

    def resources(self) -> Mapping[str, Resource]:
        return self.world.resources

    def affinities(self) -> Affinities:
        return self.world.affinities

    def read_manager_status(self) -> dict[str, Any]:
        return copy.deepcopy(self.world.manager_status)

    def write_manager_status(self, status: Mapping[str, Any]) -> None:
        self._require_quorum()
        holder, _ = self.world.locks.get("manager", ("nobody", 0.0))
        self.world.require(holder == self.node, f"{self.node} decides while {holder} is the master")
        self.world.manager_status = copy.deepcopy(dict(status))

    def read_lrm_status(self, node: str) -> dict[str, Any]:
        return copy.deepcopy(self.world.lrm_status.get(node, {}))

    def write_lrm_status(self, status: Mapping[str, Any]) -> None:
        self._require_quorum()
        self.world.lrm_status[self.node] = copy.deepcopy(dict(status))

    def has_commands(self) -> bool:
        return bool(self.world.commands)

    def take_commands(self) -> list[str]:
        self._require_quorum()
        taken, self.world.commands = self.world.commands, []
        return taken

    def acquire_manager_lock(self) -> bool:
        return self._acquire("manager")

    def release_manager_lock(self) -> None:
        self._release("manager")

    def acquire_agent_lock(self, node: str | None = None) -> bool:
        dead = node or self.node
        acquired = self._acquire(f"agent:{dead}")
        if acquired and dead != self.node:
            alive = sorted(sid for sid, place in self.world.running if place == dead and self._is_managed(sid))
            self.world.require(not alive, f"{dead} counts as fenced and still runs {alive}")
        return acquired

    def release_agent_lock(self) -> None:
        self._release(f"agent:{self.node}")

    def open_watchdog(self) -> SimulatedWatchdog:
        return SimulatedWatchdog(self.world, self.node, self.role)

    def steal(self, sid: str, source: str, target: str) -> None:
        self._require_quorum()
        resource = self.world.resources[sid]
        self.world.require(resource.node == source, f"{sid} is taken from {source} and is on {resource.node}")
        self.world.resources[sid] = dataclasses.replace(resource, node=target)

    def request_stopped(self, sid: str) -> None:
        self._require_quorum()
        self.world.resources[sid] = dataclasses.replace(self.world.resources[sid], state=Request.STOPPED)

    def is_shutting_down(self) -> tuple[bool, bool]:
        ends = self.world.nodes[self.node].ends
        return bool(ends), ends == "reboot"

    def shutdown_policy(self) -> str:
        return self.world.policy

    def start_worker(self, sid: str, command: str, target: str | None) -> SimulatedWorker:
        lasts = MIGRATION_SECONDS if command == "migrate" else 0.0
        return SimulatedWorker(self, sid, str(command), target, self.world.now + lasts)

    def finish(self, worker: SimulatedWorker) -> int:
        """Do what was asked for; the messages are those of `pvelab.ha.guest_commands`."""
        sid = worker.sid
        if worker.command == "error":
            self.log(
                f"service {sid} is in an error state and needs manual intervention. "
                "Look up 'ERROR RECOVERY' in the documentation."
            )
            return CommandResult.SUCCESS
        if self.world.resources[sid].node != self.node:
            self.log(f"service '{sid}' not on this node")
            return CommandResult.WRONG_NODE
        if worker.command == "started":
            return self._start(sid)
        if worker.command in ("stopped", "request_stop"):
            return self._stop(sid)
        if worker.target is None:
            return CommandResult.INVALID_PARAMETER
        return self._move(sid, worker.target, live=worker.command == "migrate")

    def _start(self, sid: str) -> int:
        if (sid, self.node) in self.world.running:
            return CommandResult.SUCCESS
        self.log(f"starting service {sid}")
        if (sid, self.node) in self.world.broken:
            self.log(f"unable to start service {sid}")
            return CommandResult.ERROR
        self._require_safe_start(sid)
        self.world.running.add((sid, self.node))
        self.log(f"service status {sid} started")
        return CommandResult.SUCCESS

    def _require_safe_start(self, sid: str) -> None:
        world = self.world
        elsewhere = world.places(sid)
        world.require(not elsewhere, f"{sid} starts on {self.node} while it runs on {elsewhere}")
        guarded = any((dog.node, dog.role) == (self.node, "lrm") for dog in world.watchdogs)
        world.require(guarded, f"{sid} starts on {self.node}, where no watchdog is armed")
        self._require_quorum()
        rule = world.affinities.nodes.get(sid)
        is_allowed = rule is None or not rule.strict or self.node in rule.priorities
        world.require(is_allowed, f"{sid} starts on {self.node}, which its strict rule forbids")
        apart = world.affinities.neighbours(sid, together=False)
        beside = sorted(other for other in apart if (other, self.node) in world.running)
        world.require(not beside, f"{sid} starts on {self.node} beside {beside}, from which it is to keep apart")

    def _stop(self, sid: str, reason: str = "") -> int:
        if (sid, self.node) in self.world.running:
            self.log(f"stopping service {sid}{reason}")
            self.world.running.remove((sid, self.node))
            self.log(f"service status {sid} stopped")
        return CommandResult.SUCCESS

    def _move(self, sid: str, target: str, *, live: bool) -> int:
        if not live:
            self._stop(sid, " (relocate)")
        if not self.world.quorate(target):
            self.log(f"service {sid} not moved (migration error)")
            return CommandResult.ERROR
        if (sid, self.node) in self.world.running:
            self.world.running = self.world.running - {(sid, self.node)} | {(sid, target)}
        self.world.resources[sid] = dataclasses.replace(self.world.resources[sid], node=target)
        self.world.note(self.node, f"{sid} has moved to {target}")
        return CommandResult.SUCCESS

    def _is_managed(self, sid: str) -> bool:
        return sid in self.world.resources and self.world.resources[sid].state is not Request.IGNORED

    def _require_quorum(self) -> None:
        if not self.quorate():
            raise PermissionError("no quorum")

    def _acquire(self, lock: str) -> bool:
        if not self.quorate():
            return False
        holder, renewed = self.world.locks.get(lock, (self.node, 0.0))
        if holder != self.node and self.world.now - renewed < LOCK_TIMEOUT_SECONDS:
            return False
        self.world.locks[lock] = (self.node, self.world.now)
        return True

    def _release(self, lock: str) -> None:
        self.world.locks.pop(lock, None)
