"""What CRM and LRMs do now, as the API and `ha-manager status` show it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.ha import configuration, status_files
from pvelab.ha.lrm import INACTIVE_STATES, LrmState
from pvelab.ha.model import Request, Resource, Service, State, services_of
from pvelab.machine import node_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEAD_AFTER_SECONDS = 30
_DRIFT_SECONDS = -2


def current() -> list[dict[str, Any]]:
    """Quorum, master, fencing, every LRM, every service."""
    status = status_files.read(status_files.MANAGER)
    services = services_of(status)
    resources = configuration.resources()
    entries = [_quorum()]
    if "master_node" in status and "timestamp" in status:
        entries.append(_master(status, resources))
        entries.append(_fencing(status))
    entries += [_lrm(node, services) for node in sorted(status.get("node_status", {}))]
    entries += [
        _service(sid, resources.get(sid), services.get(sid)) for sid in sorted(services.keys() | resources.keys())
    ]
    return entries


def manager_status() -> dict[str, Any]:
    """The raw status of CRM and LRMs."""
    status = status_files.read(status_files.MANAGER)
    return {
        "manager_status": status,
        "lrm_status": {node: status_files.read(status_files.lrm(node)) for node in status.get("node_status", {})},
        "quorum": {"node": node_name(), "quorate": int(cfs.quorate())},
    }


def _quorum() -> dict[str, Any]:
    quorate, node = cfs.quorate(), node_name()
    text = "OK" if quorate else f"No quorum on node '{node}'!"
    return {"id": "quorum", "type": "quorum", "node": node, "quorate": int(quorate), "status": text}


def _age(timestamp: int) -> str:
    difference = int(time.time()) - timestamp
    if difference > _DEAD_AFTER_SECONDS:
        return "old timestamp - dead?"
    return "detected time drift!" if difference < _DRIFT_SECONDS else "active"


def _date(timestamp: int) -> str:
    return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(timestamp))


def _master(status: Mapping[str, Any], resources: Mapping[str, Resource]) -> dict[str, Any]:
    node, timestamp = status["master_node"], int(status["timestamp"])
    age = _age(timestamp)
    if age != "active" and cfs.quorate() and not resources:
        age = "idle"
    text = f"{node} ({age}, {_date(timestamp)})"
    return {"id": "master", "type": "master", "node": node, "status": text, "timestamp": timestamp}


def _fencing(status: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a node that falls silent is reset: the active CRM keeps its watchdog open."""
    timestamp = int(status["timestamp"])
    armed = _age(timestamp) == "active"
    return {
        "id": "fencing",
        "type": "fencing",
        "node": status["master_node"],
        "armed-state": "armed" if armed else "standby",
        "status": "armed (CRM watchdog active)" if armed else "standby (CRM watchdog inactive)",
        "timestamp": timestamp,
    }


def _lrm(node: str, services: Mapping[str, Service]) -> dict[str, Any]:
    status = status_files.read(status_files.lrm(node))
    entry: dict[str, Any] = {"id": f"lrm:{node}", "type": "lrm", "node": node}
    if "timestamp" not in status:
        return {**entry, "status": f"{node} (unable to read lrm status)"}
    timestamp = int(status["timestamp"])
    text = _age(timestamp)
    if text == "active":
        text = _lrm_state(node, status, services)
    return {**entry, "status": f"{node} ({text}, {_date(timestamp)})", "timestamp": timestamp}


def _lrm_state(node: str, status: Mapping[str, Any], services: Mapping[str, Service]) -> str:
    if status.get("mode", "active") != "active":
        return f"{status['mode']} mode"
    state = str(status.get("state", "unknown"))
    busy = any(service.node == node and service.state not in INACTIVE_STATES for service in services.values())
    text = "idle" if state == LrmState.WAIT_FOR_AGENT_LOCK and not busy else state
    return f"{text}, watchdog {'standby' if state == LrmState.WAIT_FOR_AGENT_LOCK else 'active'}"


def _service(sid: str, resource: Resource | None, service: Service | None) -> dict[str, Any]:
    node = service.node if service else resource.node if resource else "---"
    state = _verbose_state(resource, service)
    entry: dict[str, Any] = {"id": f"service:{sid}", "type": "service", "sid": sid, "node": node, "state": state}
    entry["status"] = f"{sid} ({node}, {state})"
    if service is not None:
        entry["crm_state"] = str(service.state)
    if resource is not None:
        entry |= {"request_state": str(resource.state), "max_restart": resource.max_restart}
        entry |= {"max_relocate": resource.max_relocate, "failback": int(resource.failback)}
        entry |= {"comment": resource.comment} if resource.comment else {}
    return entry


# What a service is on its way to counts more than what it is.
_ON_THE_WAY = {
    (State.STOPPED, Request.STARTED): "starting",
    (State.STOPPED, Request.DISABLED): "disabled",
    (State.STARTED, Request.STOPPED): "stopping",
    (State.STARTED, Request.DISABLED): "stopping",
    (State.ERROR, Request.DISABLED): "clearing error flag",
}


def _verbose_state(resource: Resource | None, service: Service | None) -> str:
    request = resource.state if resource else Request.IGNORED
    if request is Request.IGNORED:
        return "ignored"
    if service is None:
        return "queued"
    if service.state is State.STARTED and not service.running:
        return "starting"
    return _ON_THE_WAY.get((service.state, request), str(service.state))
