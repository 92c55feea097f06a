"""Running the API as a service."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

from aiohttp import web

from pvelab.api.app import application
from pvelab.api.peers import PORT
from pvelab.api.workers import Workers


async def serve(address: str | None) -> None:
    """Listen on port 8006 until SIGTERM; SIGHUP takes a new certificate, as workers of pveproxy do."""
    runner = web.AppRunner(application(), access_log=None)
    await runner.setup()
    loop = asyncio.get_running_loop()
    workers = Workers(loop)
    await web.TCPSite(runner, address, PORT, ssl_context=workers.context, reuse_address=True).start()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, workers.reload)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    """Run until stopped; PVE_LAB_LISTEN narrows the listening address."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(serve(os.environ.get("PVE_LAB_LISTEN")))


if __name__ == "__main__":
    main()
