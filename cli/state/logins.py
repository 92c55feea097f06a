"""Replaces the logins in a state by today's. Pure.

The engine removes a resource with the logins in its record: the password of a provider, the SSH key of a step, the host key of a
machine. A run renews these for what is still described. What is to be removed could not be reached once one of them has changed.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.state.belongings import CLUSTER
from cluster.contract import SECRETS_VARIABLE
from components.recorded import PROVIDER_TYPE
from components.site import Site
from config import topology

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from cli.description import Description
    from cli.engine.engine import Event
    from config.credentials import Credentials

State = dict[str, Any]
# How a deployment says that a value is secret, and gives it (pulumi/sdk: apitype, resource.Secret).
_SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
_SIGNATURE = next(iter(_SECRET))
_PUBLIC = ("username", "endpoint")
_GOES = ("delete", "delete-replaced")


@dataclass(frozen=True)
class Logins:
    """Today's logins.

    Attributes:
        credentials: the stack's.
        users: at the API of each outer host and of the cluster.
        endpoints: of these APIs, where the program names one.
        host_keys: the host key of each described machine, by its address.
    """

    credentials: Credentials
    users: Mapping[str, str]
    endpoints: Mapping[str, str]
    host_keys: Mapping[str, str]

    def password(self, provider: str) -> str | None:
        """The password of a provider, by its logical name; None if its host is not described."""
        name = provider.removesuffix("-api")
        if name == CLUSTER:
            return self.credentials.api_password.get_secret_value()
        return self.credentials.password_of(name) or None

    def provider(self, provider: str) -> dict[str, str]:
        """The configuration of a provider, by its logical name."""
        name, password = provider.removesuffix("-api"), self.password(provider)
        found = {"username": self.users.get(name), "endpoint": self.endpoints.get(name), "password": password}
        return {key: value for key, value in found.items() if value is not None}


def today(described: Description) -> Logins:
    """The logins of a description."""
    config, api = described.config, described.config.cluster.api
    site = Site(config, described.credentials, described.stack)
    machines = [site.machine(each) for each in (*config.outer_hosts, *config.nodes)]
    hosts = [host for _, host in topology.proxmox_ve_hosts(config)]
    users = {CLUSTER: api.user, **{host.name: host.user for host in hosts}}
    endpoints = {host.name: host.endpoint for host in hosts}
    if api.tls == "verified":
        endpoints[CLUSTER] = api.endpoint
    return Logins(described.credentials, users, endpoints, {each.address: each.host_key for each in machines})


def going(events: Iterable[Event]) -> set[str]:
    """The URNs of what a run would remove, from its events."""
    found = (event.get("resourcePreEvent", {}).get("metadata", {}) for event in events)
    return {metadata["urn"] for metadata in found if metadata.get("op") in _GOES}


def secret(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any value of a state
    """A secret value in the form that a state to be imported has."""
    return {**_SECRET, "plaintext": json.dumps(value)}


def outdated(shown: State, logins: Logins) -> set[str]:
    """The URNs of resources that were recorded with other logins than today's.

    Args:
        shown: the state, its secrets in the clear.
        logins: today's.
    """
    return {entry["urn"] for entry in _resources(shown) if _renewed(entry, "inputs", logins)}


def renewed(state: State, shown: State, logins: Logins, urns: Collection[str]) -> State:
    """The state in which these resources hold today's logins.

    Args:
        state: as it is recorded.
        shown: the same, its secrets in the clear.
        logins: today's.
        urns: whose.
    """
    changed = copy.deepcopy(state)
    for entry, seen in zip(_resources(changed), _resources(shown), strict=False):
        if entry["urn"] in urns:
            for part in ("inputs", "outputs"):
                entry.setdefault(part, {}).update(_renewed(seen, part, logins))
    return changed


def _resources(state: State) -> list[State]:
    return state["deployment"].get("resources") or []


def _renewed(entry: State, part: str, logins: Logins) -> dict[str, Any]:
    """The values that change, by their keys."""
    values = {key: _in_clear(value) for key, value in (entry.get(part) or {}).items()}
    found: dict[str, Any] = {}
    if entry["type"] == PROVIDER_TYPE:
        found |= logins.provider(entry["urn"].rpartition("::")[2])
    if "connection" in values:
        found["connection"] = _connection(values["connection"], logins)
    if SECRETS_VARIABLE in (values.get("environment") or {}):
        held = values["environment"]
        found["environment"] = {**held, SECRETS_VARIABLE: _secrets(held[SECRETS_VARIABLE], logins)}
    changed = {
        key: value if key in _PUBLIC else secret(value) for key, value in found.items() if value != values.get(key)
    }
    return changed | _step(entry.get(part) or {}, logins)


def _connection(held: dict[str, Any], logins: Logins) -> dict[str, Any]:
    key = logins.credentials.ssh_private_key.get_secret_value()
    return {**held, "privateKey": key, "hostKey": logins.host_keys.get(held["host"], held.get("hostKey"))}


def _secrets(held: str, logins: Logins) -> str:
    """The secrets of a step: today's values of those that it was given before."""
    today = {
        "ssh_private_key": logins.credentials.ssh_private_key,
        "root_password": logins.credentials.root_password,
        "api_password": logins.credentials.api_password,
    }
    return json.dumps({key: today[key].get_secret_value() for key in json.loads(held)})


def _step(values: dict[str, Any], logins: Logins) -> dict[str, Any]:
    """Today's host keys in the input of a step on the control machine; that input is no secret."""
    text = values.get("stdin")
    if not isinstance(text, str) or '"host_key"' not in text:
        return {}
    today = json.dumps(_with_host_keys(json.loads(text), logins.host_keys))
    return {} if today == text else {"stdin": today}


def _with_host_keys(value: Any, host_keys: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_with_host_keys(each, host_keys) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: _with_host_keys(each, host_keys) for key, each in value.items()}
    if "host_key" in found:
        found["host_key"] = host_keys.get(found.get("address", ""), found["host_key"])
    return found


def _in_clear(value: Any) -> Any:  # noqa: ANN401 - any value of a state
    if isinstance(value, list):
        return [_in_clear(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get(_SIGNATURE) == _SECRET[_SIGNATURE] and "plaintext" in value:
        return _in_clear(json.loads(value["plaintext"]))
    return {key: _in_clear(each) for key, each in value.items()}
