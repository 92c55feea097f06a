"""Answering the CLI and the outer hosts in the lab daemon: one JSON object per line over a Unix socket."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from lab.asking import Message
from lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

Handler = Callable[[Message], Awaitable[Message]]

log = logging.getLogger(__name__)
LINE_LIMIT = 1 << 20


async def _answer(handle: Handler, line: bytes) -> Message:
    try:
        return {"ok": True, **await handle(json.loads(line))}
    except LabError as error:
        return {"ok": False, "error": error.args[0], "code": error.code, "details": error.details}
    except Exception as error:
        log.exception("request failed: %s", line[:200])
        return {"ok": False, "error": f"{type(error).__name__}: {error}", "code": "internal"}


async def serve(path: Path, handle: Handler) -> asyncio.Server:
    """Answer requests on the socket at `path`; a failed request becomes {"ok": false, "error": …}."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await _answer(handle, line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError) as error:
            log.info("client of %s went away: %s", path, error)
        finally:
            writer.close()

    path.unlink(missing_ok=True)  # noqa: ASYNC240 - one call at start, on a local disk
    return await asyncio.start_unix_server(connected, path, limit=LINE_LIMIT)
