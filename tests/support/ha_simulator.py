"""A cluster of simulated nodes on which the lab's CRM and LRM run against a virtual clock."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import heapq
import itertools
from typing import TYPE_CHECKING, Any

from pvelab.ha.crm import Crm
from pvelab.ha.lrm import Lrm
from pvelab.ha.model import LOCK_TIMEOUT_SECONDS, WATCHDOG_TIMEOUT_SECONDS, CommandResult, Resource
from pvelab.ha.placement import Affinities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclasses.dataclass
class Node:
    """A node's hardware."""

    name: str
    power: bool = True
    network: bool = True
    boots: int = 0
    shutting_down: tuple[bool, bool] = (False, False)


class World:
    """Nodes, the shared tree, locks, guests, and everything that is to happen."""

    def __init__(self, names: tuple[str, ...] = ("node1", "node2", "node3")) -> None:
        self.now = 0.0
        self.nodes = {name: Node(name) for name in names}
        self.resources: dict[str, Resource] = {}
        self.affinities = Affinities()
        self.manager_status: dict[str, Any] = {}
        self.lrm_status: dict[str, dict[str, Any]] = {}
        self.commands: list[str] = []
        self.locks: dict[str, tuple[str, float]] = {}
        self.watchdogs: dict[object, tuple[str, float]] = {}
        self.running: dict[str, str] = {}
        self.failing: set[tuple[str, str]] = set()
        self.starts: list[tuple[float, str, str]] = []
        self.log: list[tuple[float, str, str]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.agents: dict[str, tuple[Crm, Lrm]] = {}
        for name in names:
            self._boot(name)

    # What the tests do

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            moment, _, action = heapq.heappop(self._events)
            self.now = max(self.now, moment)
            self._fire_watchdogs()
            action()
        self.now = end
        self._fire_watchdogs()

    def power_off(self, name: str) -> None:
        """Pull the plug."""
        self.nodes[name].power = False
        self._lose_memory(name)

    def power_on(self, name: str) -> None:
        """Boot again."""
        node = self.nodes[name]
        node.power, node.shutting_down = True, (False, False)
        self._boot(name)

    def state(self, sid: str) -> str | None:
        """What the CRM last published of a service."""
        entry = self.manager_status.get("service_status", {}).get(sid)
        return entry and entry["state"]

    def messages(self) -> list[str]:
        """Everything that was logged, in order."""
        return [message for _, _, message in self.log]

    def time_of(self, part: str) -> float:
        """When a message that contains the text was logged first."""
        return next(moment for moment, _, message in self.log if part in message)

    # What the simulated nodes do

    def quorate(self, name: str) -> bool:
        connected = [node for node in self.nodes.values() if node.power and node.network]
        return self.nodes[name] in connected and len(connected) * 2 > len(self.nodes)

    def at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), action))

    def _boot(self, name: str) -> None:
        node = self.nodes[name]
        node.boots += 1
        boot = node.boots
        crm_environment, lrm_environment = SimulatedNode(self, name), SimulatedNode(self, name)
        crm, lrm = Crm(crm_environment), Lrm(lrm_environment)
        self.agents[name] = (crm, lrm)
        for agent, environment in ((crm, crm_environment), (lrm, lrm_environment)):
            self._schedule(agent, environment, node, boot, self.now)

    def _schedule(self, agent: Crm | Lrm, environment: SimulatedNode, node: Node, boot: int, moment: float) -> None:
        def step() -> None:
            if not node.power or node.boots != boot:
                return
            environment.delay = 0.1
            if agent.run_once():
                self._schedule(agent, environment, node, boot, self.now + environment.delay)

        self.at(moment, step)

    def _fire_watchdogs(self) -> None:
        for name, reported in list(self.watchdogs.values()):
            if self.nodes[name].power and self.now - reported >= WATCHDOG_TIMEOUT_SECONDS:
                self.log.append((reported + WATCHDOG_TIMEOUT_SECONDS, name, f"watchdog: reset {name}"))
                self.power_off(name)

    def _lose_memory(self, name: str) -> None:
        self.running = {sid: node for sid, node in self.running.items() if node != name}
        self.watchdogs = {key: value for key, value in self.watchdogs.items() if value[0] != name}


class SimulatedWatchdog:
    """An open watchdog."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self.update()

    def update(self) -> None:
        self._world.watchdogs[self] = (self._name, self._world.now)

    def close(self) -> None:
        del self._world.watchdogs[self]


class Done:
    """A command that ended at once."""

    def __init__(self, result: int) -> None:
        self._result = result

    def poll(self) -> int:
        return self._result


class SimulatedNode:
    """`pvelab.ha.environment.Environment` in the simulated world."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self.node = name
        self.delay = 0.0

    def clock(self) -> float:
        return self._world.now + self.delay

    def timestamp(self) -> int:
        return int(self._world.now)

    def sleep(self, seconds: float) -> None:
        self.delay += seconds

    def log(self, message: str) -> None:
        self._world.log.append((self._world.now, self.node, message))

    def quorate(self) -> bool:
        return self._world.quorate(self.node)

    def online_nodes(self) -> Mapping[str, bool]:
        return {name: self._world.quorate(name) for name in self._world.nodes}

    def resources(self) -> Mapping[str, Resource]:
        return self._world.resources

    def affinities(self) -> Affinities:
        return self._world.affinities

    def read_manager_status(self) -> dict[str, Any]:
        return copy.deepcopy(self._world.manager_status)

    def write_manager_status(self, status: Mapping[str, Any]) -> None:
        self._require_quorum()
        self._world.manager_status = copy.deepcopy(dict(status))

    def read_lrm_status(self, node: str) -> dict[str, Any]:
        return copy.deepcopy(self._world.lrm_status.get(node, {}))

    def write_lrm_status(self, status: Mapping[str, Any]) -> None:
        self._require_quorum()
        self._world.lrm_status[self.node] = copy.deepcopy(dict(status))

    def take_commands(self) -> list[str]:
        self._require_quorum()
        taken, self._world.commands = self._world.commands, []
        return taken

    def acquire_manager_lock(self) -> bool:
        return self._acquire("manager")

    def release_manager_lock(self) -> None:
        self._release("manager")

    def acquire_agent_lock(self, node: str | None = None) -> bool:
        return self._acquire(f"agent:{node or self.node}")

    def release_agent_lock(self) -> None:
        self._release(f"agent:{self.node}")

    def open_watchdog(self) -> SimulatedWatchdog:
        return SimulatedWatchdog(self._world, self.node)

    def steal(self, sid: str, source: str, target: str) -> None:
        self._require_quorum()
        resource = self._world.resources[sid]
        assert resource.node == source
        self._world.resources[sid] = dataclasses.replace(resource, node=target)

    def is_shutting_down(self) -> tuple[bool, bool]:
        return self._world.nodes[self.node].shutting_down

    def start_worker(self, sid: str, command: str, target: str | None) -> Done:
        return Done(self._execute(sid, command, target))

    def _execute(self, sid: str, command: str, target: str | None) -> int:
        world = self._world
        if world.resources[sid].node != self.node:
            return CommandResult.WRONG_NODE
        if command == "started":
            return self._start(sid, self.node)
        if command in ("stopped", "request_stop"):
            world.running.pop(sid, None)
            return CommandResult.SUCCESS
        assert target is not None
        was_running = world.running.pop(sid, None)
        world.resources[sid] = dataclasses.replace(world.resources[sid], node=target)
        if was_running and command == "migrate":
            world.running[sid] = target
        return CommandResult.SUCCESS

    def _start(self, sid: str, node: str) -> int:
        world = self._world
        present = world.running.get(sid)
        assert present in (None, node), f"{sid} started on {node} while it runs on {present}"
        if present is None:
            world.starts.append((world.now, sid, node))
            if (sid, node) in world.failing:
                return CommandResult.ERROR
            world.running[sid] = node
        return CommandResult.SUCCESS

    def _require_quorum(self) -> None:
        if not self.quorate():
            raise PermissionError("no quorum")

    def _acquire(self, lock: str) -> bool:
        if not self.quorate():
            return False
        holder, renewed = self._world.locks.get(lock, (self.node, 0.0))
        if holder != self.node and self._world.now - renewed < LOCK_TIMEOUT_SECONDS:
            return False
        self._world.locks[lock] = (self.node, self._world.now)
        return True

    def _release(self, lock: str) -> None:
        with contextlib.suppress(KeyError):
            del self._world.locks[lock]
