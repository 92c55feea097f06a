"""What pvestatd does that others notice: it keeps the node's storages ready. Run as `python3 -m pvelab.statistics`."""

from __future__ import annotations

import logging
import time

from pvelab.errors import PveError
from pvelab.machine import node_name
from pvelab.storage import activation, config

ROUND_S = 10.0
log = logging.getLogger("pvestatd")


def look_at_storages() -> None:
    """Activate what this node may use; one that does not answer is tried again in the next round."""
    for storage in config.load().values():
        if not storage.enabled_on(node_name()):
            continue
        try:
            activation.activate(storage.id)
        except PveError as error:
            log.warning("%s", error)


def main() -> None:
    """Look, for ever."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    while True:
        try:
            look_at_storages()
        except OSError as error:  # /etc/pve may be away for a moment
            log.warning("%s", error)
        time.sleep(ROUND_S)


if __name__ == "__main__":
    main()
