"""Who sends a request: a ticket with its CSRF token, or an API token."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING

from pvelab.access import tickets
from pvelab.errors import PveError

if TYPE_CHECKING:
    from aiohttp import web


def user_of(request: web.Request) -> str:
    """The user or token id of a request.

    Raises:
        PveError: 401, nobody that may log in.
    """
    header = request.headers.get("Authorization", "")
    if header.startswith("PVEAPIToken"):
        return tickets.verify_token(header)
    cookie = request.cookies.get("PVEAuthCookie")
    if not cookie:
        raise PveError(401, "No ticket")
    user = tickets.verify(urllib.parse.unquote(cookie))
    if request.method not in ("GET", "HEAD"):
        tickets.verify_csrf(user, request.headers.get("CSRFPreventionToken", ""))
    return user
