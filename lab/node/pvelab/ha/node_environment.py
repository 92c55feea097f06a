"""`Environment` on a node of the lab: /etc/pve, the node's guests, its watchdog."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from pvelab import cfs, machine
from pvelab.errors import PveError
from pvelab.guests.registry import guests
from pvelab.ha import configuration, requests, status_files
from pvelab.ha.cluster_lock import ClusterLock
from pvelab.ha.watchdog import WatchdogClient
from pvelab.paths import pve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.ha.environment import Watchdog, Worker
    from pvelab.ha.model import Resource
    from pvelab.ha.placement import Affinities

_GUEST_DIRECTORIES = {"qemu": "qemu-server", "lxc": "lxc"}


class NodeEnvironment:
    """The real thing, as far as the lab has it."""

    def __init__(self) -> None:
        self.node = machine.node_name()
        self._manager_lock = ClusterLock("ha_manager_lock", self.clock)
        self._agent_locks: dict[str, ClusterLock] = {}
        self._awake = threading.Event()

    def wake(self) -> None:
        """End the present sleep."""
        self._awake.set()

    def clock(self) -> float:
        """Real time divided by the lab's scale."""
        return time.monotonic() / machine.time_scale()

    def timestamp(self) -> int:
        """Now."""
        return int(time.time())

    def sleep(self, seconds: float) -> None:
        """Wait at the lab's pace, or until woken."""
        if self._awake.wait(machine.scaled(seconds)):
            self._awake.clear()

    def log(self, message: str) -> None:
        """Into the journal."""
        sys.stdout.write(f"{message}\n")
        sys.stdout.flush()

    def quorate(self) -> bool:
        """By the look of /etc/pve."""
        return cfs.quorate()

    def online_nodes(self) -> Mapping[str, bool]:
        """Members, as long as this node itself is in the quorate partition."""
        quorate = cfs.quorate()
        return {name: quorate and bool(member.get("online")) for name, member in cfs.members().items()}

    def resources(self) -> Mapping[str, Resource]:
        """From resources.cfg."""
        return configuration.resources()

    def affinities(self) -> Affinities:
        """From rules.cfg."""
        return configuration.affinities()

    def read_manager_status(self) -> dict[str, Any]:
        """From the cluster file system."""
        return status_files.read(status_files.MANAGER)

    def write_manager_status(self, status: Mapping[str, Any]) -> None:
        """To the cluster file system."""
        status_files.write(status_files.MANAGER, status)

    def read_lrm_status(self, node: str) -> dict[str, Any]:
        """From the node's directory."""
        return status_files.read(status_files.lrm(node))

    def write_lrm_status(self, status: Mapping[str, Any]) -> None:
        """To this node's directory."""
        status_files.write(status_files.lrm(self.node), status)

    def has_commands(self) -> bool:
        """By a look at the queue."""
        return bool(cfs.read(requests.COMMANDS))

    def take_commands(self) -> list[str]:
        """From the queue; while it is locked they wait for the next round."""
        try:
            return requests.take()
        except PveError as error:
            self.log(f"could not read crm commands: {error.message}")
            return []

    def acquire_manager_lock(self) -> bool:
        """`ha_manager_lock`."""
        return cfs.quorate() and self._manager_lock.acquire()

    def release_manager_lock(self) -> None:
        """`ha_manager_lock`."""
        self._manager_lock.release()

    def acquire_agent_lock(self, node: str | None = None) -> bool:
        """`ha_agent_NODE_lock`."""
        return cfs.quorate() and self._agent_lock(node).acquire()

    def release_agent_lock(self) -> None:
        """This node's lock."""
        self._agent_lock(None).release()

    def _agent_lock(self, node: str | None) -> ClusterLock:
        name = node or self.node
        if name not in self._agent_locks:
            self._agent_locks[name] = ClusterLock(f"ha_agent_{name}_lock", self.clock)
        return self._agent_locks[name]

    def open_watchdog(self) -> Watchdog:
        """Through watchdog-mux."""
        return WatchdogClient()

    def steal(self, sid: str, source: str, target: str) -> None:
        """Moving the configuration file moves the guest."""
        guest = guests().get(int(sid.partition(":")[2]))
        if guest is None or guest.node != source:
            raise FileNotFoundError(f"configuration of {sid} is not on node '{source}'")
        guest.file.rename(pve(f"nodes/{target}/{_GUEST_DIRECTORIES[guest.kind]}/{guest.vmid}.conf"))

    def request_stopped(self, sid: str) -> None:
        """In resources.cfg."""
        try:
            with cfs.lock(requests.DOMAIN_LOCK):
                known = configuration.read(configuration.RESOURCES)
                known[sid].options["state"] = "stopped"
                configuration.write(configuration.RESOURCES, known)
        except PveError as error:
            self.log(f"could not update the configuration of '{sid}': {error.message}")

    def start_worker(self, sid: str, command: str, target: str | None) -> Worker:
        """In a process of its own.

        What handles guests is loaded when one is handled: a CRM never does, and it takes longer to load than all the rest.
        """
        from pvelab.ha import guest_commands  # noqa: PLC0415

        return guest_commands.begin(sid, command, target)

    def shutdown_policy(self) -> str:
        """From datacenter.cfg, where HA's options are one line."""
        found = re.search(r"^ha:.*\bshutdown_policy=(\w+)", cfs.read("datacenter.cfg"), re.MULTILINE)
        return found[1] if found else "conditional"

    def is_shutting_down(self) -> tuple[bool, bool]:
        """By systemd's queue of jobs."""
        command = ["systemctl", "--full", "list-jobs", "--no-legend", "--plain"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        # Each line: number, unit, type, state.
        jobs = [line.split() for line in listed.splitlines()]
        starting = {job[1] for job in jobs if job[2:3] == ["start"]}
        reboots = bool(starting & {"reboot.target", "kexec.target"})
        return reboots or bool(starting & {"poweroff.target", "halt.target", "shutdown.target"}), reboots
