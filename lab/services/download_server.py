"""download.proxmox.com and its like: one HTTP server for all names, one directory for each.

The enterprise repository answers 401, as to a machine without subscription; its keys and ISOs are for everybody.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from aiohttp import web

from lab.image import authority
from lab.shape import REPOSITORY_ADDRESS

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import Settings

ENTERPRISE = "enterprise.proxmox.com"


def _file(sites: Path, site: str, path: str) -> Path | None:
    base = (sites / site).resolve()
    found = (base / path.lstrip("/")).resolve()
    return found if found.is_file() and found.is_relative_to(base) else None


async def serve(settings: Settings) -> None:
    """Listen on ports 80 and 443 of the repository's address."""
    sites = settings.state / "sites"

    async def answer(request: web.Request) -> web.StreamResponse:
        site = request.host.partition(":")[0]
        path = request.path
        if site == ENTERPRISE and path.startswith("/debian/") and not path.endswith(".gpg"):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="Proxmox Enterprise Repository"'})
        shared = "download.proxmox.com" if site == ENTERPRISE else site
        file = _file(sites, shared, path)
        if file is None:
            raise web.HTTPNotFound
        return web.FileResponse(file)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    place = authority.directory(settings)
    context.load_cert_chain(place / "server.pem", place / "server.key")
    await web.TCPSite(runner, REPOSITORY_ADDRESS, 80).start()
    await web.TCPSite(runner, REPOSITORY_ADDRESS, 443, ssl_context=context).start()
