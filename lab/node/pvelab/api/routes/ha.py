"""`/cluster/ha`: resources, rules, groups and the state of the HA manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab.errors import die
from pvelab.ha import resource_operations, rule_operations, status

if TYPE_CHECKING:
    from pvelab.api.context import Context, Handler, Route


def _resources(ctx: Context) -> list[dict[str, Any]]:
    return resource_operations.listing(ctx.params.get("type"))


def _resource(ctx: Context) -> dict[str, Any]:
    return resource_operations.read(str(ctx.params["sid"]))


def _create_resource(ctx: Context) -> None:
    resource_operations.create(ctx.params)


def _update_resource(ctx: Context) -> None:
    resource_operations.update(ctx.params)


def _delete_resource(ctx: Context) -> None:
    resource_operations.delete(ctx.params)


def _migrate(ctx: Context) -> dict[str, str]:
    return resource_operations.move("migrate", ctx.params)


def _relocate(ctx: Context) -> dict[str, str]:
    return resource_operations.move("relocate", ctx.params)


def _rules(ctx: Context) -> list[dict[str, Any]]:
    return rule_operations.listing(ctx.params.get("type"), ctx.params.get("resource"))


def _rule(ctx: Context) -> dict[str, Any]:
    return rule_operations.read(str(ctx.params["rule"]))


def _create_rule(ctx: Context) -> None:
    rule_operations.create(ctx.params)


def _update_rule(ctx: Context) -> None:
    rule_operations.update(ctx.params)


def _delete_rule(ctx: Context) -> None:
    rule_operations.delete(ctx.params)


def _manager(_ctx: Context) -> dict[str, Any]:
    return status.manager_status()


def _groups(verb: str) -> Handler:
    """PVE 9 migrated groups to rules, and refuses them ever since."""

    def refuse(_ctx: Context) -> None:
        raise die(f"cannot {verb}: ha groups have been migrated to rules")

    return refuse


def _current(ctx: Context) -> list[dict[str, Any]]:  # noqa: ARG001 - a handler's signature
    return status.current()


ROUTES: list[Route] = [
    ("GET", "/cluster/ha/resources", _resources),
    ("POST", "/cluster/ha/resources", _create_resource),
    ("GET", "/cluster/ha/resources/{sid}", _resource),
    ("PUT", "/cluster/ha/resources/{sid}", _update_resource),
    ("DELETE", "/cluster/ha/resources/{sid}", _delete_resource),
    ("POST", "/cluster/ha/resources/{sid}/migrate", _migrate),
    ("POST", "/cluster/ha/resources/{sid}/relocate", _relocate),
    ("GET", "/cluster/ha/rules", _rules),
    ("POST", "/cluster/ha/rules", _create_rule),
    ("GET", "/cluster/ha/rules/{rule}", _rule),
    ("PUT", "/cluster/ha/rules/{rule}", _update_rule),
    ("DELETE", "/cluster/ha/rules/{rule}", _delete_rule),
    ("GET", "/cluster/ha/groups", _groups("index groups")),
    ("POST", "/cluster/ha/groups", _groups("create group")),
    ("GET", "/cluster/ha/groups/{group}", _groups("read group")),
    ("PUT", "/cluster/ha/groups/{group}", _groups("update group")),
    ("DELETE", "/cluster/ha/groups/{group}", _groups("delete group")),
    ("GET", "/cluster/ha/status/current", _current),
    ("GET", "/cluster/ha/status/manager_status", _manager),
]
