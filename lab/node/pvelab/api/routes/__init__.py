"""The API methods.

Each module lists its own in ROUTES as (HTTP method, path of Proxmox's API viewer, handler); MODULES says below which
paths. A handler takes a `Context` and gives back the answer's data, or raises `PveError`. It may block: the server runs
it in a thread. Handlers also serve `pvesh` and the other command-line tools, in their process, which must not pay for
what only a server needs: to load asyncio takes longer than most calls. Nor do they pay for other paths' handlers: a
module is loaded when one of its own is wanted. What takes long goes into `ctx.start_task(...)`, whose UPID is the answer.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pvelab.api.context import Handler

# Beginnings of paths as `_place` gives them.
MODULES: dict[str, tuple[str, ...]] = {
    "access/acl": ("acl",),
    "access/groups": ("acl",),
    "access/password": ("ticket",),
    "access/permissions": ("acl",),
    "access/roles": ("acl",),
    "access/ticket": ("ticket",),
    "access/users": ("users",),
    "cluster/config": ("cluster_config",),
    "cluster/ha": ("ha",),
    "cluster/nextid": ("resources",),
    "cluster/options": ("cluster_options",),
    "cluster/resources": ("resources",),
    "cluster/status": ("cluster_config",),
    "nodes": ("nodes",),
    "nodes/lxc": ("guests", "lxc"),
    "nodes/network": ("network",),
    "nodes/qemu": ("guests", "qemu"),
    "nodes/query-url-metadata": ("node_storage",),
    "nodes/startall": ("bulk",),
    "nodes/status": ("nodes",),
    "nodes/stopall": ("bulk",),
    "nodes/storage": ("node_storage",),
    "nodes/tasks": ("node_tasks",),
    "storage": ("storages",),
    "version": ("version",),
}


def _place(template: str) -> str:
    """The first two words of a path template: "nodes/qemu" of "/nodes/{node}/qemu/{vmid}"."""
    words = [segment for segment in template.strip("/").split("/") if not segment.startswith("{")]
    return "/".join(words[:2])


@functools.cache
def _of(module: str) -> dict[tuple[str, str], Handler]:
    listed = importlib.import_module(f"{__name__}.{module}").ROUTES
    return {(method, template): handler for method, template, handler in listed}


def find(method: str, template: str) -> Handler | None:
    """What answers a method of a path template; None where this node really has nothing."""
    for module in MODULES.get(_place(template), ()):
        handler = _of(module).get((method, template))
        if handler is not None:
            return handler
    return None
