"""The workers of pveproxy, as far as others see them: which certificate is shown, and processes that come and go.

A reload starts new workers and ends the old ones 5 s later (pve-common's Daemon): meanwhile both answer by turns, each
with the certificate that it began with. Here one process answers; a child that waits stands for each generation.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from pvelab.api import tls

if TYPE_CHECKING:
    import asyncio
    import ssl

OLD_WORKERS_S = 5.0


class Workers:
    """All that answer at this moment.

    Attributes:
        context: for the listening socket; each connection is given to one generation.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._generations: list[tuple[ssl.SSLContext, subprocess.Popen[bytes]]] = []
        self._turn = 0
        self.context = tls.context()
        self.context.sni_callback = self._give
        self._start()

    def reload(self) -> None:
        """Start new workers; those of before go on for a while."""
        old = list(self._generations)
        self._start()
        self._loop.call_later(OLD_WORKERS_S, self._end, old)

    def _start(self) -> None:
        # It waits for a word from here, so that it ends with this process, however that ends.
        worker = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        self._generations.append((tls.context(), worker))

    def _end(self, old: list[tuple[ssl.SSLContext, subprocess.Popen[bytes]]]) -> None:
        for generation in old:
            if generation in self._generations:
                self._generations.remove(generation)
                generation[1].kill()
                generation[1].wait()

    def _give(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._generations[self._turn % len(self._generations)][0]
        self._turn += 1
