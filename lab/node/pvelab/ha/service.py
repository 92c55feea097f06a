"""Running CRM or LRM as a service of the node."""

from __future__ import annotations

import signal
import sys

from pvelab.ha.crm import Crm
from pvelab.ha.lrm import Lrm
from pvelab.ha.node_environment import NodeEnvironment


def main(name: str) -> int:
    """Run `crm` or `lrm` until systemd asks for its end."""
    environment = NodeEnvironment()
    agent = Crm(environment) if name == "crm" else Lrm(environment)

    def stop(number: int, frame: object) -> None:  # noqa: ARG001 - a signal handler's signature
        agent.request_shutdown()
        environment.wake()

    signal.signal(signal.SIGTERM, stop)
    while agent.run_once():
        pass
    environment.log("server stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
