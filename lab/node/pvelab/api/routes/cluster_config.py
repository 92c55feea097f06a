"""`/cluster/config` and `/cluster/status`: joining a cluster and looking at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab.cluster import information, join
from pvelab.cluster import nodes as node_list

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route


def _api_version(ctx: Context) -> int:  # noqa: ARG001 - a handler's signature
    return node_list.JOIN_API_VERSION


def _nodes(ctx: Context) -> list[dict[str, Any]]:  # noqa: ARG001 - a handler's signature
    return information.nodes()


def _add_node(ctx: Context) -> dict[str, Any]:
    return node_list.add(ctx.params, _discard).document()


def _discard(text: str) -> None:
    """Output of a method that is no task goes nowhere."""


def _join_information(ctx: Context) -> dict[str, Any]:
    return information.join(ctx.params.get("node"))


def _join(ctx: Context) -> str:
    return ctx.start_task("clusterjoin", "", lambda log: join.join_over_api(ctx.params, log, confirm=lambda _: False))


def _status(ctx: Context) -> list[dict[str, Any]]:  # noqa: ARG001 - a handler's signature
    return information.status()


ROUTES: list[Route] = [
    ("GET", "/cluster/config/apiversion", _api_version),
    ("GET", "/cluster/config/nodes", _nodes),
    ("POST", "/cluster/config/nodes/{node}", _add_node),
    ("GET", "/cluster/config/join", _join_information),
    ("POST", "/cluster/config/join", _join),
    ("GET", "/cluster/status", _status),
]
