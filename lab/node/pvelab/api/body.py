"""The parameters of a request: query, form, JSON, or an upload that is kept in a file."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import urllib.parse
from typing import TYPE_CHECKING, Any

import aiohttp

from pvelab.errors import parameter_error
from pvelab.paths import path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from aiohttp import web

CHUNK_BYTES = 1 << 20


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


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


async def _store(part: aiohttp.BodyPartReader, file: Path) -> None:
    stream = await asyncio.to_thread(open, file, "xb", opener=_private)
    with stream:
        while chunk := await part.read_chunk(CHUNK_BYTES):
            await asyncio.to_thread(stream.write, chunk)


async def _upload(request: web.Request) -> dict[str, Any]:
    """A multipart body; the file's content goes to /var/tmp and its path to "tmpfilename", as pveproxy does."""
    found: dict[str, Any] = {}
    async for part in await request.multipart():
        if not isinstance(part, aiohttp.BodyPartReader):
            continue
        if not part.filename:
            found[str(part.name)] = await part.text()
            continue
        directory = path("/var/tmp")  # noqa: S108 - where pveproxy keeps uploads
        directory.mkdir(parents=True, exist_ok=True)
        name = f"pveupload-{secrets.token_hex(16)}"
        await _store(part, directory / name)
        found["filename"] = part.filename
        found["tmpfilename"] = f"/var/tmp/{name}"  # noqa: S108
    return found


async def parameters(request: web.Request) -> dict[str, Any]:
    """All parameters of a request.

    Raises:
        PveError: 400, the body is not what its content type says.
    """
    query = _collect(request.query.items())
    if request.content_type == "multipart/form-data":
        return {**query, **await _upload(request)}
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
