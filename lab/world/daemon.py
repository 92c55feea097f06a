"""The lab's own process: first in its process namespace, holds everything up until it is killed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from lab import messages
from lab.options import Options
from lab.settings import Settings
from lab.world import isolation
from lab.world.world import World

log = logging.getLogger(__name__)


def reap(child: int) -> int:
    """Be init: collect every orphan of the namespace until the working child ends."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


async def hold(settings: Settings, options: Options, image: Path, save: Path | None) -> None:
    """Bring the lab up and serve the CLI for as long as it lives."""
    world = World(settings, options)
    await messages.serve(settings.control_socket, world.handle)
    os.chown(settings.control_socket, *options.owner)
    settings.control_socket.chmod(0o600)
    await world.start(image, save)
    await asyncio.Event().wait()


def main() -> int:
    """Run with the image's path, the options and perhaps a save's path as arguments, inside fresh namespaces."""
    image, document = Path(sys.argv[1]), json.loads(sys.argv[2])
    save = Path(sys.argv[3]) if sys.argv[3:] else None
    options = Options(**{**document, "owner": tuple(document["owner"])})
    child = os.fork()
    if child:
        return abs(reap(child))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings.from_environment()
    isolation.enter(settings, options.owner)
    asyncio.run(hold(settings, options, image, save))
    return 0


if __name__ == "__main__":
    sys.exit(main())
