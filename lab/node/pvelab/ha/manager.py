"""The active CRM's work: one round reads what happened and decides every service's next state."""

from __future__ import annotations

import dataclasses
import uuid
from typing import TYPE_CHECKING

from pvelab.ha.model import CommandResult, Request, Resource, Service, State, services_of
from pvelab.ha.node_status import NodeStatus
from pvelab.ha.placement import Preference, Situation, select_node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.ha.environment import Environment
    from pvelab.ha.placement import Affinities

_NOT_CONFIGURED = Resource("", "", Request.DISABLED)


class Manager:
    """Decides for the whole cluster; only the node that holds the manager lock has one."""

    def __init__(self, environment: Environment) -> None:
        """Go on from what the last active CRM left."""
        self._environment = environment
        status = environment.read_manager_status()
        self._nodes = NodeStatus(environment, status.get("node_status", {}))
        self._services = services_of(status)
        # By node: what administrators asked for; its agent reads it.
        self._requests: dict[str, dict[str, int]] = status.get("node_request", {})
        self._resources: dict[str, Resource] = {}
        self._results: dict[str, int] = {}

    def manage(self) -> None:
        """One round."""
        modes = self._read_agents()
        self._nodes.update(self._environment.online_nodes(), modes)
        if not (self._nodes.is_online(self._environment.node) or self._nodes.is_in_maintenance(self._environment.node)):
            self._environment.log("master seems offline")
            return
        self._resources = dict(self._environment.resources())
        self._add_and_remove()
        self._take_commands()
        while self._advance(modes):
            pass
        self._publish()

    def _publish(self) -> None:
        self._environment.write_manager_status(
            {
                "master_node": self._environment.node,
                "node_status": self._nodes.states,
                "node_request": self._requests,
                "service_status": {sid: service.document() for sid, service in self._services.items()},
                "timestamp": self._environment.timestamp(),
            }
        )

    def _read_agents(self) -> dict[str, str]:
        """Collect the results of all LRMs; give back their modes by node."""
        self._results = {}
        modes = {}
        for node in self._nodes.states:
            status = self._environment.read_lrm_status(node)
            modes[node] = status.get("mode", "active")
            for uid, result in status.get("results", {}).items():
                self._results[uid] = int(result["exit_code"])
        return modes

    def _add_and_remove(self) -> None:
        for sid, resource in sorted(self._resources.items()):
            if sid not in self._services and resource.state is not Request.IGNORED:
                self._environment.log(f"adding new service '{sid}' on node '{resource.node}'")
                self._services[sid] = Service(_wanted(resource), resource.node, _new_uid())
        for sid in list(self._services):
            known = self._resources.get(sid)
            if known is None or known.state is Request.IGNORED:
                reason = "ignored state requested" if known else "no config"
                self._environment.log(f"removing stale service '{sid}' ({reason})")
                del self._services[sid]

    def _take_commands(self) -> None:
        for text in self._environment.take_commands():
            match text.split():
                case ["migrate" | "relocate" | "stop", sid, _] if sid not in self._services:
                    self._environment.log(f"crm command error - no such service: {text}")
                case ["migrate" | "relocate" as verb, sid, node]:
                    self._take_move(text, verb, sid, node)
                case ["stop", sid, timeout]:
                    self._environment.log(f"got crm command: {text}")
                    self._services[sid].command = ("stop", timeout)
                case ["enable-node-maintenance", node]:
                    self._begin_maintenance(text, node)
                case ["disable-node-maintenance", node]:
                    self._finish_maintenance(node)
                case _:
                    self._environment.log(f"unable to parse crm command: {text}")

    def _begin_maintenance(self, text: str, node: str) -> None:
        if self._nodes.is_in_maintenance(node):
            self._environment.log(f"ignoring crm command - node {node} is already in maintenance state")
        elif self._nodes.is_online(node):
            self._requests.setdefault(node, {})["maintenance"] = 1
        else:
            self._environment.log(f"crm command error - node not online: {text}")

    def _finish_maintenance(self, node: str) -> None:
        if not self._nodes.is_in_maintenance(node):
            state = self._nodes.states.get(node, "unknown")
            self._environment.log(f"clearing maintenance of node {node} requested, but it's in state {state}")
        self._requests.get(node, {}).pop("maintenance", None)

    def _take_move(self, text: str, verb: str, sid: str, node: str) -> None:
        """Note a move that a user asks for; what must stay with the service moves, too."""
        if not self._nodes.is_online(node):
            self._environment.log(f"crm command error - node not online: {text}")
            return
        if node == self._services[sid].node:
            self._environment.log(f"ignore crm command - service already on target node: {text}")
            return
        affinities = self._environment.affinities()
        reasons = self._reasons_against(affinities, sid, node)
        for reason in reasons:
            self._environment.log(f"crm command '{text}' error - {reason}")
        if reasons:
            return
        self._environment.log(f"got crm command: {text}")
        self._services[sid].command = (verb, node)
        for other in sorted(affinities.neighbours(sid, together=True) & self._services.keys()):
            if node not in self._services[other].places:
                self._environment.log(
                    f"crm command '{text}' - {verb} service '{other}' to node '{node}' "
                    f"(service '{other}' in positive affinity with service '{sid}')"
                )
                self._services[other].command = (verb, node)

    def _reasons_against(self, affinities: Affinities, sid: str, node: str) -> list[str]:
        reasons = []
        affinity = affinities.nodes.get(sid)
        if affinity is not None and affinity.strict and node not in affinity.priorities:
            reasons.append(f"service '{sid}' is not allowed on node '{node}'")
        apart = sorted(affinities.neighbours(sid, together=False) & self._services.keys())
        reasons += [
            f"service '{other}' on node '{node}' in negative affinity with service '{sid}'"
            for other in apart
            if self._services[other].places == {node}
        ]
        return reasons

    def _advance(self, modes: Mapping[str, str]) -> bool:
        """Move every service one step; whether any changed its state."""
        changed = False
        for sid in sorted(self._services):
            before = self._services[sid].state
            self._advance_service(sid, modes)
            changed |= self._services[sid].state is not before
        return self._fence() or changed

    def _advance_service(self, sid: str, modes: Mapping[str, str]) -> None:
        service = self._services[sid]
        resource = self._resources.get(sid, _NOT_CONFIGURED)
        result = self._results.get(service.uid)
        mode = modes.get(service.node)
        match service.state:
            case State.STOPPED:
                self._from_stopped(sid, service, resource)
            case State.REQUEST_START:
                self._change(sid, State.STARTED, node=service.node)
            case State.STARTED:
                self._from_started(sid, service, resource, result)
            case State.REQUEST_STOP:
                self._from_request_stop(sid, service, resource, result)
            case State.MIGRATE | State.RELOCATE:
                self._from_move(sid, service, resource, result)
            case State.RECOVERY:
                self._from_recovery(sid, service, resource)
            case State.FREEZE if mode == "active":
                self._change(sid, _settled(resource))
            case State.ERROR if resource.state is Request.DISABLED:
                service.failed_nodes = []
                self._change(sid, State.STOPPED)
        frozen = (State.STARTED, State.STOPPED, State.REQUEST_STOP)
        if mode == "restart" and self._services[sid].state in frozen:
            self._change(sid, State.FREEZE)

    def _from_stopped(self, sid: str, service: Service, resource: Resource) -> None:
        if service.node != resource.node:
            self._environment.log(f"fixup service '{sid}' location ({service.node} => {resource.node})")
            service.node = resource.node
        if self._obey(sid, service):
            return
        if resource.state is Request.DISABLED:
            return
        if self._nodes.is_overdue(service.node) and not self._nodes.is_in_maintenance(service.node):
            self._change(sid, State.FENCE)
        elif resource.state is Request.STARTED:
            self._change(sid, State.REQUEST_START, node=service.node)

    def _obey(self, sid: str, service: Service) -> bool:
        """Begin what a user asked for; whether it began."""
        if service.command is None:
            return False
        (verb, argument), service.command = service.command, None
        if verb == "stop":
            return self._begin_stop(sid, service, argument)
        if not self._nodes.is_online(argument):
            self._environment.log(f"ignore service '{sid}' {verb} request - node '{argument}' not online")
        elif service.node == argument:
            self._environment.log(f"ignore service '{sid}' {verb} request - service already on node '{argument}'")
        else:
            if service.state is State.STARTED:
                self._environment.log(f"{verb} service '{sid}' to node '{argument}'")
            self._change(sid, State(verb), node=service.node, target=argument)
            return True
        return False

    def _begin_stop(self, sid: str, service: Service, timeout: str) -> bool:
        if service.state is State.STOPPED:
            self._environment.log(f"ignore service '{sid}' stop request - service already stopped")
            return False
        manner = "immediate service hard-stop" if timeout == "0" else f"graceful stop with timeout '{timeout}'"
        self._environment.log(f"request {manner} for service '{sid}'")
        self._change(sid, State.REQUEST_STOP, timeout=timeout)
        # Or it would be started again.
        self._environment.request_stopped(sid)
        return True

    def _from_started(self, sid: str, service: Service, resource: Resource, result: int | None) -> None:
        if not self._nodes.is_online(service.node):
            if self._nodes.is_overdue(service.node):
                self._change(sid, State.FENCE)
                return
            if not self._nodes.is_in_maintenance(service.node):
                return
            service.maintenance_node = service.node
        if resource.state in (Request.DISABLED, Request.STOPPED):
            self._change(sid, State.REQUEST_STOP)
            return
        if service.command is not None:
            self._obey(sid, service)
            return
        try_next = False
        if result is not None:
            try_next = self._judge_start(sid, service, resource, result)
            if service.state is State.ERROR:
                return
        self._place(sid, service, resource, try_next=try_next, again=result is not None)

    def _judge_start(self, sid: str, service: Service, resource: Resource, result: int) -> bool:
        """Take note of how the start went; whether to try another node."""
        if result == CommandResult.SUCCESS:
            if service.failed_nodes:
                failed = ", ".join(service.failed_nodes)
                self._environment.log(
                    f"relocation policy successful for '{sid}' on node '{service.node}', failed nodes: {failed}"
                )
            service.failed_nodes = []
            service.running = True
            return False
        service.running = False
        service.failed_nodes.append(service.node)
        failed = ", ".join(service.failed_nodes)
        if result not in (CommandResult.ERROR, CommandResult.WRONG_NODE):
            self._environment.log(f"service '{sid}' got unrecoverable error (exit code {result})")
            self._change(sid, State.ERROR)
            return False
        if len(service.failed_nodes) > resource.max_relocate:
            self._environment.log(
                f"recovery policy for service {sid} failed, entering error state. Failed nodes: {failed}"
            )
            self._change(sid, State.ERROR)
            return False
        self._environment.log(f"starting service {sid} on node '{service.node}' failed, relocating service.")
        return True

    def _place(self, sid: str, service: Service, resource: Resource, *, try_next: bool, again: bool) -> None:
        node = self._select(sid, service, resource, Preference.NEXT if try_next else Preference.STAY)
        self._end_maintenance(sid, service, node)
        if node and node != service.node:
            if resource.kind == "vm":
                self._environment.log(f"migrate service '{sid}' to node '{node}' (running)")
                self._change(sid, State.MIGRATE, node=service.node, target=node)
            else:
                self._environment.log(f"relocate service '{sid}' to node '{node}'")
                self._change(sid, State.RELOCATE, node=service.node, target=node)
        elif again:
            if try_next and node is None:
                failed = ", ".join(service.failed_nodes)
                self._environment.log(
                    f"Start Error Recovery: Tried all available nodes for service '{sid}', retry start on current node. "
                    f"Tried nodes: {failed}"
                )
            # A new uid makes the LRM look again: the service is started anew if it died meanwhile.
            service.uid = _new_uid()

    def _end_maintenance(self, sid: str, service: Service, node: str | None) -> None:
        """A service that returns to the node that it left for maintenance, or never left it, forgets it."""
        left = service.maintenance_node
        if left is None:
            return
        if node not in (None, service.node):
            if node == left:
                self._environment.log(f"moving service '{sid}' back to '{left}', node came back from maintenance.")
            elif service.node != left:
                self._environment.log(f"dropping maintenance fallback node '{left}' for '{sid}'")
            else:
                return
        elif service.node == left and self._nodes.is_online(left):
            self._environment.log(
                f"service '{sid}': clearing stale maintenance node '{left}' setting (is current node)"
            )
        else:
            return
        service.maintenance_node = None

    def _select(self, sid: str, service: Service, resource: Resource, preference: Preference) -> str | None:
        configured = dataclasses.replace(resource, sid=sid)
        situation = Situation(self._services, self._nodes.online(), self._environment.affinities())
        return select_node(configured, service, situation, preference)

    def _from_request_stop(self, sid: str, service: Service, resource: Resource, result: int | None) -> None:
        if result == CommandResult.SUCCESS:
            self._change(sid, State.STOPPED)
        elif result is not None:
            self._environment.log(f"service '{sid}' stop failed (exit code {result})")
            self._change(sid, State.ERROR)
        elif self._nodes.is_overdue(service.node):
            self._change(sid, State.FENCE)
        elif service.node != resource.node and resource is not _NOT_CONFIGURED:
            service.node = resource.node

    def _from_move(self, sid: str, service: Service, resource: Resource, result: int | None) -> None:
        if result == CommandResult.SUCCESS and service.target:
            self._change(sid, _settled(resource), node=service.target)
        elif result == CommandResult.WRONG_NODE:
            self._environment.log(f"service '{sid}' - migration failed: service registered on wrong node!")
            self._change(sid, State.ERROR)
        elif result is not None:
            self._environment.log(f"service '{sid}' - migration failed (exit code {result})")
            self._change(sid, _settled(resource), node=service.node)
        elif self._nodes.is_overdue(service.node):
            self._change(sid, State.FENCE)

    def _from_recovery(self, sid: str, service: Service, resource: Resource) -> None:
        """Its node is fenced: move it to an allowed node, or wait until there is one."""
        fenced = service.node
        node = self._select(sid, service, resource, Preference.BEST)
        if node is None:
            self._environment.log(
                f"recovering service '{sid}' from fenced node '{fenced}' failed, no recovery node found"
            )
            if resource.state is Request.DISABLED:
                service.failed_nodes = []
                self._change(sid, State.STOPPED)
            return
        if node == fenced:
            self._environment.log(f"recover service '{sid}' to previous failed and fenced node '{fenced}' again")
        else:
            self._environment.log(f"recover service '{sid}' from fenced node '{fenced}' to node '{node}'")
        # A node may die in the middle of a move: the configuration says which side the guest is on.
        if resource.node == fenced:
            self._environment.steal(sid, fenced, node)
            self._resources[sid] = resource = dataclasses.replace(resource, node=node)
        self._change(sid, _settled(resource), node=resource.node)

    def _fence(self) -> bool:
        """Fence the nodes of services that need it; whether a service left state fence."""
        recovered = False
        fenced: dict[str, bool] = {}
        for sid, service in sorted(self._services.items()):
            if service.state is not State.FENCE:
                continue
            if service.node not in fenced:
                fenced[service.node] = self._nodes.fence(service.node)
            if fenced[service.node]:
                self._change(sid, State.RECOVERY)
                recovered = True
        # Or a node whose services were taken out of HA meanwhile would stay in state fence.
        for node in sorted(node for node, state in self._nodes.states.items() if state == "fence"):
            if node not in fenced:
                self._environment.log(f"node '{node}' in fence state but no services to-fence! admin interference?!")
                recovered |= self._nodes.fence(node)
        return recovered

    def _change(self, sid: str, state: State, **details: str) -> None:
        """Enter a state: everything that belonged to the old one is dropped; `node` and `target` are new ones."""
        service = self._services[sid]
        shown = ", ".join(f"{key} = {value}" for key, value in sorted(details.items()))
        shown = f"  ({shown})" if shown else ""
        self._environment.log(f"service '{sid}': state changed from '{service.state}' to '{state}'{shown}")
        service.state, service.uid = state, _new_uid()
        service.node, service.target = details.get("node", service.node), details.get("target")
        service.command, service.running = None, False


def _wanted(resource: Resource) -> State:
    return State.REQUEST_START if resource.state is Request.STARTED else State.REQUEST_STOP


def _settled(resource: Resource) -> State:
    """Where a service goes on after a move, a recovery or a freeze."""
    return State.STARTED if resource.state is Request.STARTED else State.REQUEST_STOP


def _new_uid() -> str:
    """A name for one request, by which the LRM's result is recognised."""
    return uuid.uuid4().hex
