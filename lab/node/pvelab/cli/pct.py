"""`pct`: containers of this node."""

from __future__ import annotations

import sys

from pvelab.cli import guest_views
from pvelab.cli.tool import Command, main
from pvelab.cli.unlock import unlock

_ALL = "/nodes/{node}/lxc"
_ONE = f"{_ALL}/{{vmid}}"
COMMANDS = {
    "list": Command("GET", _ALL, show=guest_views.containers),
    "config": Command("GET", f"{_ONE}/config", ("vmid",), show=guest_views.config),
    "pending": Command("GET", f"{_ONE}/pending", ("vmid",), show=guest_views.pending),
    "status": Command("GET", f"{_ONE}/status/current", ("vmid",), show=guest_views.status),
    "create": Command("POST", _ALL, ("vmid", "ostemplate")),
    "set": Command("PUT", f"{_ONE}/config", ("vmid",)),
    "destroy": Command("DELETE", _ONE, ("vmid",)),
    "start": Command("POST", f"{_ONE}/status/start", ("vmid",)),
    "stop": Command("POST", f"{_ONE}/status/stop", ("vmid",)),
    "shutdown": Command("POST", f"{_ONE}/status/shutdown", ("vmid",)),
    "reboot": Command("POST", f"{_ONE}/status/reboot", ("vmid",)),
    "migrate": Command("POST", f"{_ONE}/migrate", ("vmid", "target")),
    "resize": Command("PUT", f"{_ONE}/resize", ("vmid", "disk", "size")),
}

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["unlock"]:
        sys.exit(unlock("lxc", arguments[1:]))
    sys.exit(main("pct", COMMANDS, arguments))
