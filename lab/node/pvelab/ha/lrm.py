"""The LRM service of a node: do what the CRM decided for this node's services, under the watchdog's eye."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

from pvelab.ha.locked_watchdog import LockedWatchdog
from pvelab.ha.model import CommandResult, Service, State, awaits_fencing, in_maintenance, services_of

if TYPE_CHECKING:
    from pvelab.ha.environment import Environment, Worker

_ACTIVE_ROUND_SECONDS = 10.0
_MAINTENANCE_ROUND_SECONDS = 5.0
_WAIT_SECONDS = 5.0
_WORKER_POLL_SECONDS = 1.0
_WORKER_ROUND_SECONDS = 8.0
_MAX_WORKERS = 4
_MAX_IDLE_ROUNDS = 60
INACTIVE_STATES = (State.STOPPED, State.FREEZE, State.ERROR)


class LrmState(enum.StrEnum):
    """What the LRM of this node is doing."""

    WAIT_FOR_AGENT_LOCK = "wait_for_agent_lock"
    ACTIVE = "active"
    MAINTENANCE = "maintenance"
    LOST_LOCK = "lost_agent_lock"


@dataclasses.dataclass
class _Job:
    """A command on a service; `uid` is None for the stops of a shutdown, whose results nobody waits for."""

    sid: str
    uid: str | None
    command: str
    target: str | None
    worker: Worker | None = None


class Lrm:
    """One node's LRM."""

    def __init__(self, environment: Environment) -> None:
        self.state = LrmState.WAIT_FOR_AGENT_LOCK
        self._environment = environment
        self._lock = LockedWatchdog(environment, environment.acquire_agent_lock)
        self._mode = "active"
        self._requested = False  # maintenance, by an administrator; else it is by the shutdown policy
        self._services: dict[str, Service] = {}
        self._jobs: dict[str, _Job] = {}
        self._results: dict[str, dict[str, Any]] = {}
        self._restart_tries: dict[str, int] = {}
        self._shutdown = False
        self._shutdown_errors = 0
        self._idle_rounds = 0
        environment.log(f"status change startup => {self.state}")

    def request_shutdown(self) -> None:
        """If the node goes down, stop its services or let them move away, as the shutdown policy says."""
        if self._shutdown:
            return
        node_stops, starts_again = self._environment.is_shutting_down()
        policy = self._environment.shutdown_policy()
        freezes = {"freeze": True, "failover": False}.get(policy, starts_again)
        if node_stops:
            self._environment.log(f"got shutdown request with shutdown policy '{policy}'")
        kind = "reboot" if starts_again else "shutdown"
        # Maintenance that an administrator asked for outlasts the reboot, whatever the policy.
        maintained = policy == "migrate" or self._mode == "maintenance"
        if node_stops and not maintained:
            for sid, service in self._services.items():
                if service.node == self._environment.node:
                    self._queue(_Job(sid, None, State.REQUEST_STOP, None))
        if not node_stops:
            self._mode = "maintenance" if self._requested else "restart"
            self._environment.log("restart LRM, freeze all services")
        elif maintained:
            self._mode = "maintenance"
            self._environment.log(f"{kind} LRM, doing maintenance, removing this node from active list")
        elif freezes:
            self._mode = "restart"
            self._environment.log(f"{kind} LRM, stop and freeze all services")
        else:
            self._mode = "shutdown"
            self._environment.log("shutdown LRM, stop all services")
        self._shutdown = True
        self._publish()

    def run_once(self) -> bool:
        """One round; whether to go on."""
        self._read_services()
        self._change_state()
        match self.state:
            case LrmState.ACTIVE | LrmState.MAINTENANCE:
                return self._work()
            case LrmState.WAIT_FOR_AGENT_LOCK:
                if self._shutdown:
                    return False
                self._publish()
            case LrmState.LOST_LOCK:
                # The watchdog stays armed: it resets the node unless the lock comes back in time.
                if self._shutdown and self._ends_without_lock():
                    return False
        self._environment.sleep(_WAIT_SECONDS)
        return True

    def _ends_without_lock(self) -> bool:
        active = len(self._active_services())
        if active:
            self._environment.log(
                f"get shutdown request in state 'lost_agent_lock' - detected {active} running services"
            )
            return False
        self._lock.close()
        return True

    def _read_services(self) -> bool:
        try:
            status = self._environment.read_manager_status()
        except (OSError, ValueError) as error:
            self._environment.log(f"updating service status from manager failed: {error}")
            return False
        self._services = services_of(status)
        if self._shutdown:
            return True
        requested = in_maintenance(status, self._environment.node)
        if requested:
            self._mode = "maintenance"
        elif self._requested:
            self._mode = "active"
        self._requested = requested
        return True

    def _active_services(self) -> list[str]:
        node = self._environment.node
        return [
            sid
            for sid, service in self._services.items()
            if service.node == node and service.state not in INACTIVE_STATES
        ]

    def _change_state(self) -> None:
        fence_me = awaits_fencing(self._services, self._environment.node)
        if self.state in (LrmState.ACTIVE, LrmState.MAINTENANCE):
            if fence_me:
                when = " during maintenance mode" if self.state is LrmState.MAINTENANCE else ""
                self._environment.log(f"node need to be fenced{when} - releasing agent_lock")
                self._set(LrmState.LOST_LOCK)
            elif not self._lock.acquire():
                self._set(LrmState.LOST_LOCK)
            elif self._mode == "maintenance" and self.state is LrmState.ACTIVE:
                self._set(LrmState.MAINTENANCE)
            elif self._mode != "maintenance" and self.state is LrmState.MAINTENANCE:
                self._set(LrmState.ACTIVE)
            return
        wanted = self.state is LrmState.LOST_LOCK or self._active_services()
        if wanted and not fence_me and self._environment.quorate() and self._lock.acquire():
            self._set(LrmState.ACTIVE)

    def _set(self, state: LrmState) -> None:
        self._environment.log(f"status change {self.state} => {state}")
        self.state = state
        self._idle_rounds = 0

    def _publish(self) -> None:
        if not self._environment.quorate():
            return
        try:
            self._environment.write_lrm_status(
                {
                    "state": str(self.state),
                    "mode": self._mode,
                    "results": self._results,
                    "timestamp": self._environment.timestamp(),
                }
            )
        except OSError as error:
            self._environment.log(f"unable to write lrm status file - {error}")

    def _work(self) -> bool:
        started = self._environment.clock()
        done = self._work_on_shutdown() if self._shutdown else self._manage()
        self._publish()
        if done:
            return False
        lasts = _MAINTENANCE_ROUND_SECONDS if self.state is LrmState.MAINTENANCE else _ACTIVE_ROUND_SECONDS
        self._environment.sleep(max(0.0, lasts - (self._environment.clock() - started)))
        return True

    def _work_on_shutdown(self) -> bool:
        """Whether everything is ready to end."""
        if self._mode == "maintenance" and self._active_services():
            return self._manage()
        if self._run_jobs() or (self._mode == "restart" and self._active_services()):
            return False
        if not self._shutdown_errors:
            self._lock.close()
            self._environment.release_agent_lock()
        return True

    def _manage(self) -> bool:
        for sid, service in self._services.items():
            if service.node == self._environment.node and service.uid and service.state is not State.FREEZE:
                self._queue(_Job(sid, service.uid, service.state, service.target))
        self._run_jobs()
        self._rest_when_idle()
        return False

    def _rest_when_idle(self) -> None:
        has_services = any(service.node == self._environment.node for service in self._services.values())
        self._idle_rounds = 0 if has_services or self._jobs else self._idle_rounds + 1
        if self._idle_rounds > _MAX_IDLE_ROUNDS:
            self._environment.log(f"node had no service configured for {_MAX_IDLE_ROUNDS} rounds, going idle.")
            self._lock.close()
            self._environment.release_agent_lock()
            self._set(LrmState.WAIT_FOR_AGENT_LOCK)

    def _queue(self, job: _Job) -> None:
        """Note a command to run; one whose result is out is not repeated, except a stop."""
        if job.command not in _COMMANDS:
            return
        if job.command != State.STOPPED and job.uid in self._results:
            return
        present = self._jobs.get(job.sid)
        if present is None or present.worker is None:
            self._jobs[job.sid] = job

    def _run_jobs(self) -> int:
        """Start and await commands for some seconds; give back how many are unfinished."""
        started = self._environment.clock()
        while self._environment.clock() - started < _WORKER_ROUND_SECONDS:
            self._collect()
            running = sum(job.worker is not None for job in self._jobs.values())
            for job in sorted(self._jobs.values(), key=lambda job: job.sid):
                if job.worker is None and running < _MAX_WORKERS:
                    job.worker = self._environment.start_worker(job.sid, job.command, job.target)
                    running += 1
            self._collect()
            if not self._jobs:
                break
            self._environment.sleep(_WORKER_POLL_SECONDS)
        return len(self._jobs)

    def _collect(self) -> None:
        for job in list(self._jobs.values()):
            result = job.worker.poll() if job.worker else None
            if result is not None:
                del self._jobs[job.sid]
                self._finish(job, result)

    def _finish(self, job: _Job, result: int) -> None:
        if job.uid is None:
            self._shutdown_errors += result != CommandResult.SUCCESS
            return
        if job.command == State.STARTED and self._retries(job.sid, result):
            return
        self._results[job.uid] = {"sid": job.sid, "state": str(job.command), "exit_code": int(result)}
        valid = {service.uid for service in self._services.values()}
        self._results = {uid: entry for uid, entry in self._results.items() if uid in valid}

    def _retries(self, sid: str, result: int) -> bool:
        """Whether to start it here again before the CRM learns that it does not start."""
        if result == CommandResult.ERROR:
            resource = self._environment.resources().get(sid)
            limit = resource.max_restart if resource else 0
            tries = self._restart_tries.get(sid, 0)
            if tries < limit:
                self._restart_tries[sid] = tries + 1
                self._environment.log(f"restart policy: retry number {tries + 1} for service '{sid}'")
                return True
            self._environment.log(f"unable to start service {sid} on local node after {tries} retries")
        self._restart_tries[sid] = 0
        return False


_COMMANDS = (State.STARTED, State.STOPPED, State.REQUEST_STOP, State.MIGRATE, State.RELOCATE, State.ERROR)
