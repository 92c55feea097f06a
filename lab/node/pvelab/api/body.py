"""The parameters of a request: query, form or JSON."""

from __future__ import annotations

import json
import urllib.parse
from typing import TYPE_CHECKING, Any

from pvelab.errors import PveError, parameter_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web


def _collect(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Pairs as a dict; a repeated name becomes a list, as Proxmox reads arrays."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


async def parameters(request: web.Request) -> dict[str, Any]:
    """All parameters of a request.

    Raises:
        PveError: 400, the body is not what its content type says; 501, an upload.
    """
    query = _collect(request.query.items())
    if request.content_type == "multipart/form-data":
        raise PveError(501, "uploads are not implemented")
    text = await request.text()
    if not text:
        return query
    if request.content_type != "application/json":
        return {**query, **_collect(urllib.parse.parse_qsl(text, keep_blank_values=True))}
    try:
        data = json.loads(text)
    except ValueError as error:
        raise parameter_error({"body": "request body is not a JSON object"}) from error
    return {**query, **data}
