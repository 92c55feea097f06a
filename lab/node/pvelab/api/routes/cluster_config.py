"""`/cluster/config` and `/cluster/status`: forming a cluster and looking at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab.cluster import create, information, join
from pvelab.cluster import nodes as node_list

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route


def _api_version(ctx: Context) -> int:  # noqa: ARG001 - a handler's signature
    return node_list.JOIN_API_VERSION


def _create(ctx: Context) -> str:
    create.require_new()
    return ctx.start_task("clustercreate", str(ctx.params["clustername"]), lambda log: create.create(ctx.params, log))


def _nodes(ctx: Context) -> list[dict[str, Any]]:  # noqa: ARG001 - a handler's signature
    return information.nodes()


def _add_node(ctx: Context) -> dict[str, Any]:
    return node_list.add(ctx.params, _discard).document()


def _delete_node(ctx: Context) -> None:
    node_list.delete(str(ctx.params["node"]), _discard)


def _discard(text: str) -> None:
    """Output of a method that is no task goes nowhere."""


def _join_information(ctx: Context) -> dict[str, Any]:
    return information.join(ctx.params.get("node"))


def _join(ctx: Context) -> str:
    return ctx.start_task("clusterjoin", "", lambda log: join.join_over_api(ctx.params, log, confirm=lambda _: False))


def _status(ctx: Context) -> list[dict[str, Any]]:  # noqa: ARG001 - a handler's signature
    return information.status()


ROUTES: list[Route] = [
    ("POST", "/cluster/config", _create),
    ("GET", "/cluster/config/apiversion", _api_version),
    ("GET", "/cluster/config/nodes", _nodes),
    ("POST", "/cluster/config/nodes/{node}", _add_node),
    ("DELETE", "/cluster/config/nodes/{node}", _delete_node),
    ("GET", "/cluster/config/join", _join_information),
    ("POST", "/cluster/config/join", _join),
    ("GET", "/cluster/status", _status),
]
