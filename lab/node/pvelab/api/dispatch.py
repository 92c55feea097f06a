"""Calling an API method: find it, check the call against Proxmox's schema, run its handler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pvelab.access import permissions
from pvelab.api import routes
from pvelab.api.context import Context
from pvelab.apischema import schema, shapes
from pvelab.errors import PveError, parameter_error
from pvelab.machine import node_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.tasks import Runner


@dataclass(frozen=True)
class ApiPath:
    """An API path: its template in the schema, what its variables stand for, and the methods there."""

    template: str
    variables: dict[str, str]
    methods: dict[str, Any]


def find(path: str) -> ApiPath:
    """Resolve a path such as "/nodes/pve1/qemu".

    Raises:
        PveError: 501, no such path.
    """
    match = _volume_target(path) or schema.load().match(path)
    if match is None:
        raise PveError(501, f"Method 'GET {path}' not implemented")
    return ApiPath(match.template, dict(match.params), dict(match.methods))


def _volume_target(path: str) -> Any:  # noqa: ANN401 - a match of an untyped library
    """A volume's name may hold slashes ("local:iso/a.iso"), which the schema's paths do not allow for."""
    segments = path.strip("/").split("/")
    template = "/nodes/{node}/storage/{storage}/content/{volume}"
    fixed = 5
    if len(segments) <= fixed + 1 or (segments[0], segments[2], segments[4:5]) != ("nodes", "storage", ["content"]):
        return None
    variables = {"node": segments[1], "storage": segments[3], "volume": "/".join(segments[fixed:])}
    return schema.Match(template, variables, schema.load().paths[template])


def is_public(method: str, target: ApiPath) -> bool:
    """Whether a method needs no login."""
    return (target.methods.get(method, {}).get("permissions") or {}).get("user") == "world"


def _check(method: str, path: str, target: ApiPath, given: Mapping[str, Any], user: str | None) -> dict[str, Any]:
    """The call's parameters, checked and converted; refuses what Proxmox refuses, in its order."""
    info = target.methods.get(method)
    if info is None:
        raise PveError(501, f"Method '{method} {path}' not implemented")
    declared = (info.get("parameters") or {}).get("properties", {})
    in_path = {name: value for name, value in target.variables.items() if name in declared}
    permissions.check_method(user, info.get("permissions"), {**given, **target.variables})
    values, errors = schema.validate(info.get("parameters"), {**given, **in_path})
    if errors:
        raise parameter_error({name: text.rstrip("\n") for name, text in errors.items()})
    return {**values, **{name: value for name, value in target.variables.items() if name not in declared}}


def call(method: str, path: str, given: Mapping[str, Any], user: str | None, runner: Runner) -> Any:  # noqa: ANN401 - any JSON
    """Call a method of this node; may block.

    Args:
        method: GET, POST, PUT or DELETE.
        path: the API path without its prefix.
        given: parameters as they came, texts or JSON values.
        user: who calls, None without a login; root@pam for the command-line tools.
        runner: runs the task that the method may start.

    Raises:
        PveError: the call is refused or fails.
    """
    target = find(path)
    values = _check(method, path, target, given, user)
    handler = routes.find(method, target.template)
    if handler is None:
        return _generic(method, path, target, values)
    return handler(Context(node_name(), user or "", values, runner))


def _generic(method: str, path: str, target: ApiPath, values: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """A plausible answer for a read that nothing here stands behind; a write is refused instead of pretended."""
    if method != "GET":
        raise PveError(501, f"Method '{method} {path}' not implemented")
    returns = target.methods[method].get("returns") or {}
    return shapes.build(target.template, returns, {"node": node_name(), "_nodes": [node_name()], **values}, method)
