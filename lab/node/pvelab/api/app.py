"""The API over HTTPS: what pveproxy does."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from aiohttp import web

from pvelab.api import body, dispatch, login, members, peers
from pvelab.errors import PveError
from pvelab.machine import scaled
from pvelab.tasks import BackgroundRunner

PREFIX = "/api2/json"
# Proxmox makes who guesses wait.
UNAUTHORIZED_DELAY_S = 3.0
_runner = BackgroundRunner()


def _answer(data: Any) -> web.Response:  # noqa: ANN401 - any JSON
    return web.json_response({"data": data})


def _failure(error: PveError) -> web.Response:
    lines = error.message.splitlines() or ["unknown error"]
    content: dict[str, Any] = {"data": None, "message": f"{error.message}\n"}
    if error.errors:
        content["errors"] = error.errors
    return web.Response(
        status=error.status,
        reason=lines[0][:200],
        text=json.dumps(content),
        content_type="application/json",
    )


def _login(request: web.Request, target: dispatch.ApiPath) -> str | None:
    try:
        return login.user_of(request)
    except PveError:
        if dispatch.is_public(request.method, target):
            return None
        raise


async def _serve(request: web.Request) -> web.Response:
    path = "/" + request.match_info["path"]
    target = dispatch.find(path)
    user = _login(request, target)
    node = target.variables.get("node")
    # A node's name elsewhere in a path, as in /cluster/config/nodes, is just a parameter.
    if node is not None and target.template.startswith("/nodes/") and peers.is_elsewhere(node):
        return await members.pass_on(request, node)
    given = await body.parameters(request)
    return _answer(await asyncio.to_thread(dispatch.call, request.method, path, given, user, _runner))


async def _api(request: web.Request) -> web.Response:
    try:
        return await _serve(request)
    except PveError as error:
        if error.status == web.HTTPUnauthorized.status_code:
            await asyncio.sleep(scaled(UNAUTHORIZED_DELAY_S))
        return _failure(error)
    except Exception as error:
        logging.getLogger(__name__).exception("%s %s", request.method, request.path)
        return _failure(PveError(500, f"{type(error).__name__}: {error}"))


async def _start_page(_request: web.Request) -> web.Response:
    return web.Response(text="<!DOCTYPE html><title>Proxmox Virtual Environment</title>", content_type="text/html")


def application() -> web.Application:
    """The web application of a node."""
    app = web.Application()
    app.router.add_get("/", _start_page)
    app.router.add_route("*", PREFIX + "/{path:.*}", _api)
    return app
