"""The CRM service of a node: wait for quorum, compete for the manager lock, manage while holding it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from pvelab.ha.locked_watchdog import LockedWatchdog
from pvelab.ha.manager import Manager
from pvelab.ha.model import awaits_fencing, in_maintenance, services_of

if TYPE_CHECKING:
    from pvelab.ha.environment import Environment

_MASTER_ROUND_SECONDS = 10.0
_WAIT_SECONDS = 5.0
_MAX_IDLE_ROUNDS = 90


class CrmState(enum.StrEnum):
    """What the CRM of this node is doing."""

    WAIT_FOR_QUORUM = "wait_for_quorum"
    MASTER = "master"
    SLAVE = "slave"
    LOST_LOCK = "lost_manager_lock"


class Crm:
    """One node's CRM."""

    def __init__(self, environment: Environment) -> None:
        self.state = CrmState.WAIT_FOR_QUORUM
        self._environment = environment
        self._lock = LockedWatchdog(environment, environment.acquire_manager_lock)
        self._manager: Manager | None = None
        self._shutdown = False
        self._idle_rounds = 0
        environment.log(f"status change startup => {self.state}")

    def request_shutdown(self) -> None:
        """End with the next round."""
        self._environment.log("server received shutdown request")
        self._shutdown = True

    def run_once(self) -> bool:
        """One round; whether to go on."""
        self._change_state()
        if self.state is CrmState.MASTER:
            return self._act_as_master()
        if self.state is CrmState.LOST_LOCK:
            # Without the lock nothing was decided here that another CRM does not know: no need for a reset.
            self._lock.close()
            self._set(CrmState.WAIT_FOR_QUORUM)
        if self._shutdown:
            return False
        self._environment.sleep(_WAIT_SECONDS)
        return True

    def _change_state(self) -> None:
        match self.state:
            case CrmState.WAIT_FOR_QUORUM if self._can_get_active():
                self._set(CrmState.MASTER if self._lock.acquire() else CrmState.SLAVE)
            case CrmState.SLAVE if not self._can_get_active():
                self._set(CrmState.WAIT_FOR_QUORUM)
            case CrmState.SLAVE if self._lock.acquire():
                self._set(CrmState.MASTER)
            case CrmState.MASTER if not self._lock.acquire():
                self._set(CrmState.LOST_LOCK)

    def _can_get_active(self) -> bool:
        """Work needs quorum, a node that is not about to be fenced, and something to manage."""
        if not self._environment.quorate():
            return False
        status = self._environment.read_manager_status()
        services = services_of(status)
        if awaits_fencing(services, self._environment.node):
            return False
        return bool(self._environment.resources() or services or self._has_maintenance_to_manage(status))

    def _has_maintenance_to_manage(self, status: dict[str, Any]) -> bool:
        """Whether a command waits, or a node is to leave maintenance, while there is no service."""
        states = status.get("node_status", {})
        over = any(state == "maintenance" and not in_maintenance(status, node) for node, state in states.items())
        return over or self._environment.has_commands()

    def _act_as_master(self) -> bool:
        started = self._environment.clock()
        if self._shutdown:
            self._lock.close()
            self._environment.log("voluntary release CRM lock")
            self._environment.release_manager_lock()
            return False
        if self._manager is None:
            raise RuntimeError("master without manager")
        try:
            self._manager.manage()
        except OSError as error:
            self._environment.log(f"got unexpected error - {error}")
        if self._is_idle_for_long():
            self._environment.log(f"cluster had no service configured for {_MAX_IDLE_ROUNDS} rounds, going idle.")
            self._lock.close()
            self._environment.release_manager_lock()
            self._set(CrmState.WAIT_FOR_QUORUM)
        self._environment.sleep(max(0.0, _MASTER_ROUND_SECONDS - (self._environment.clock() - started)))
        return True

    def _is_idle_for_long(self) -> bool:
        self._idle_rounds = 0 if self._environment.resources() else self._idle_rounds + 1
        return self._idle_rounds > _MAX_IDLE_ROUNDS

    def _set(self, state: CrmState) -> None:
        if state is self.state:
            return
        self._environment.log(f"status change {self.state} => {state}")
        self.state = state
        self._idle_rounds = 0
        self._manager = Manager(self._environment) if state is CrmState.MASTER else None
