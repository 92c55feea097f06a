"""Passing a request on to the member it is for."""

from __future__ import annotations

import errno
import os

import aiohttp
from aiohttp import web

from pvelab import cfs
from pvelab.api.peers import CONNECT_TIMEOUT_S, NOT_THE_MEMBER, PORT, fingerprint
from pvelab.errors import PveError

_PASSED_ON = ("Authorization", "CSRFPreventionToken", "Content-Type", "Cookie")


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None) or getattr(getattr(error, "os_error", None), "errno", None)
    return os.strerror(number) if isinstance(number, int) and number in errno.errorcode else "Connection timed out"


async def pass_on(request: web.Request, node: str) -> web.Response:
    """Send the request to another member and give back its answer.

    Raises:
        PveError: 595, it does not answer; 596, it is not who it should be; 500, there is no such member.
    """
    url = f"https://{cfs.node_address(node)}:{PORT}{request.rel_url.raw_path_qs}"
    headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
    body = request.content if request.can_read_body else None
    known = aiohttp.Fingerprint(fingerprint(node))
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(request.method, url, headers=headers, data=body, ssl=known) as answer,
        ):
            return web.Response(
                status=answer.status,
                reason=answer.reason,
                body=await answer.read(),
                headers={"Content-Type": answer.headers.get("Content-Type", "application/json;charset=UTF-8")},
            )
    except (aiohttp.ClientConnectorError, TimeoutError) as error:
        raise PveError(595, _reason(error)) from error
    except aiohttp.ServerFingerprintMismatch as error:
        raise PveError(596, NOT_THE_MEMBER) from error
    except aiohttp.ClientError as error:
        raise PveError(596, "Connection reset by peer") from error
