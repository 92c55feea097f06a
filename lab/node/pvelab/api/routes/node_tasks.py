"""/nodes/{node}/tasks: what runs and what ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab import tasks
from pvelab.errors import PveError

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route


def _visible(ctx: Context, upid: tasks.Upid) -> None:
    """A user sees its own tasks and those of its tokens; with Sys.Audit on the node, all."""
    if ctx.user not in (upid.user, upid.user.partition("!")[0]):
        ctx.require(f"/nodes/{upid.node}", "Sys.Audit")


def listing(ctx: Context) -> list[dict[str, Any]]:
    """The node's tasks, newest first."""
    audits = ctx.allowed(f"/nodes/{ctx.node}", "Sys.Audit")
    found = [task for task in tasks.listing() if audits or ctx.user in (task["user"], task["user"].partition("!")[0])]
    vmid, kind = ctx.params.get("vmid"), ctx.params.get("typefilter")
    found = [task for task in found if vmid in (None, task["id"]) or str(vmid) == task["id"]]
    found = [task for task in found if kind in (None, task["type"])]
    if ctx.params.get("errors"):
        found = [task for task in found if task.get("status", "OK") != "OK"]
    start = ctx.params.get("start", 0)
    return found[start : start + ctx.params.get("limit", 50)]


def status(ctx: Context) -> dict[str, Any]:
    """Whether a task runs, and how it ended."""
    upid = tasks.parse_upid(ctx.params["upid"])
    _visible(ctx, upid)
    return tasks.status(upid)


def log(ctx: Context) -> list[dict[str, Any]]:
    """A task's output by line."""
    upid = tasks.parse_upid(ctx.params["upid"])
    _visible(ctx, upid)
    lines = [{"n": number, "t": text} for number, text in enumerate(tasks.log_lines(upid), 1)]
    start = ctx.params.get("start", 0)
    return lines[start : start + (ctx.params.get("limit", 50) or len(lines))]


def stop(ctx: Context) -> None:
    """Stop a task; one that has ended is left as it is. Running ones here are threads, which cannot be stopped."""
    upid = tasks.parse_upid(ctx.params["upid"])
    if ctx.user not in (upid.user, upid.user.partition("!")[0]):
        ctx.require(f"/nodes/{upid.node}", "Sys.Modify")
    tasks.require_known(upid)
    if tasks.exit_status(upid) is None:
        raise PveError(501, "stopping a running task is not implemented")


_ONE = "/nodes/{node}/tasks/{upid}"
ROUTES: list[Route] = [
    ("GET", "/nodes/{node}/tasks", listing),
    ("DELETE", _ONE, stop),
    ("GET", f"{_ONE}/status", status),
    ("GET", f"{_ONE}/log", log),
]
