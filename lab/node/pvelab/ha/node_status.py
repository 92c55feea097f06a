"""The CRM's view of the nodes: online, maintenance, unknown, fence or gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab.ha.model import FENCE_DELAY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.ha.environment import Environment

_FORGET_GONE_SECONDS = 3600.0


class NodeStatus:
    """States of all nodes that are, or were, members."""

    def __init__(self, environment: Environment, states: Mapping[str, str]) -> None:
        self.states = dict(states)
        self._environment = environment
        self._last_online: dict[str, float] = {}

    def is_online(self, node: str) -> bool:
        """Whether a node may take services."""
        return self.states.get(node) == "online"

    def is_in_maintenance(self, node: str) -> bool:
        """Whether a node's services are to leave it, so that it can shut down."""
        return self.states.get(node) == "maintenance"

    def online(self) -> list[str]:
        """The nodes that may take services."""
        return sorted(node for node, state in self.states.items() if state == "online")

    def is_overdue(self, node: str, delay: float = FENCE_DELAY_SECONDS) -> bool:
        """Whether a node has been away for the whole delay, counted from when this CRM first missed it."""
        if self.is_online(node):
            return False
        now = self._environment.clock()
        return now - self._last_online.setdefault(node, now) >= delay

    def update(self, members: Mapping[str, bool], modes: Mapping[str, str]) -> None:
        """Follow the cluster's membership and the LRMs' modes; a node in state fence stays there until it is fenced."""
        now = self._environment.clock()
        for node, online in members.items():
            if online:
                self._last_online[node] = now
                self._update_present(node, modes.get(node))
        for node in [node for node in self.states if not members.get(node)]:
            self._update_absent(node, modes.get(node), is_member=node in members)

    def _update_present(self, node: str, mode: str | None) -> None:
        state = self.states.get(node, "unknown")
        if state == "online" and mode == "maintenance":
            self._set(node, "maintenance")
        elif state in ("unknown", "gone") or (state == "maintenance" and mode != "maintenance"):
            self._set(node, "online")

    def _update_absent(self, node: str, mode: str | None, *, is_member: bool) -> None:
        state = self.states[node]
        if state == "online" or (state == "maintenance" and mode != "maintenance"):
            self._set(node, "unknown")
        elif state == "unknown" and not is_member:
            self._set(node, "gone")
        elif state == "gone" and self.is_overdue(node, _FORGET_GONE_SECONDS):
            del self.states[node]
            self._last_online.pop(node, None)
            self._environment.log(f"deleting gone node '{node}', not a cluster member anymore.")

    def fence(self, node: str) -> bool:
        """Try to make sure that a node is dead; whether its agent lock could be taken over."""
        if self.states.get(node) != "fence":
            self._set(node, "fence")
        if not self._environment.acquire_agent_lock(node):
            return False
        self._environment.log(f"fencing: acknowledged - got agent lock for node '{node}'")
        self._set(node, "unknown")
        return True

    def _set(self, node: str, state: str) -> None:
        self._environment.log(f"node '{node}': state changed from '{self.states.get(node, 'unknown')}' => '{state}'")
        self.states[node] = state
