"""The monitor of an idle QEMU, through which the lab sees and presses the buttons of a libvirt domain."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from lab.asking import Message

log = logging.getLogger(__name__)
LINE_LIMIT = 1 << 20
ANSWER_S = 10.0
NAME = "pve-lab"  # in the log, and as the id of requests


class Monitor:
    """A conversation with one QEMU; each of its events is handed on, and its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._turn = asyncio.Lock()
        self._talk: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, path: Path) -> Monitor:
        """Connect to the socket at a path.

        Raises:
            LabError: nobody answers there.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(path, limit=LINE_LIMIT)
                await reader.readline()  # its greeting
        except (OSError, TimeoutError) as error:
            raise LabError("vm-start-failed", f"QEMU does not answer at {path.name}: {error}") from error
        return cls(reader, writer)

    async def listen(self, event: Callable[[Message], None], ended: Callable[[], Awaitable[None]]) -> None:
        """Begin; from now on there are answers and events.

        Raises:
            LabError: QEMU is gone.
        """
        self._talk = asyncio.create_task(self._hear(event, ended), name=f"monitor {NAME}")
        await self.execute("qmp_capabilities")

    async def _hear(self, event: Callable[[Message], None], ended: Callable[[], Awaitable[None]]) -> None:
        with suppress(OSError, ValueError):
            while line := await self._reader.readline():
                message = json.loads(line)
                if "event" in message:
                    event(message)
                else:
                    self._answers.put_nowait(message)
        self._writer.close()
        self._answers.put_nowait({"error": {"desc": "QEMU is gone"}})
        await ended()

    @property
    def open(self) -> bool:
        """Whether QEMU is there."""
        return self._talk is not None and not self._writer.is_closing()

    async def execute(self, command: str, **arguments: object) -> Any:  # noqa: ANN401 - whatever QMP gives back
        """Ask for something and wait for the answer.

        Raises:
            LabError: QEMU refuses, or is gone.
        """
        async with self._turn:
            if not self.open:
                raise LabError("vm-not-running", "QEMU is gone")
            self._writer.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            try:
                answer = await asyncio.wait_for(self._answers.get(), ANSWER_S)
            except TimeoutError as error:
                raise LabError("vm-not-running", f"QEMU does not answer to {command}") from error
        if "error" in answer:
            raise LabError("command-failed", f"QEMU refuses {command}: {answer['error']['desc']}")
        return answer.get("return")

    async def press(self, key: str) -> None:
        """Press a key, without letting it go: once is one code.

        Raises:
            LabError: QEMU refuses, or is gone.
        """
        data = {"down": True, "key": {"type": "qcode", "data": key}}
        await self.execute("input-send-event", events=[{"type": "key", "data": data}])

    def close(self) -> None:
        """Hang up."""
        if self._talk is not None:
            self._talk.cancel()
        self._writer.close()
