"""`qm`: virtual machines of this node."""

from __future__ import annotations

import sys

from pvelab.cli import guest_views
from pvelab.cli.tool import Command, main
from pvelab.cli.unlock import unlock

_ALL = "/nodes/{node}/qemu"
_ONE = f"{_ALL}/{{vmid}}"
COMMANDS = {
    "list": Command("GET", _ALL, show=guest_views.machines),
    "config": Command("GET", f"{_ONE}/config", ("vmid",), show=guest_views.config),
    "pending": Command("GET", f"{_ONE}/pending", ("vmid",), show=guest_views.pending),
    "status": Command("GET", f"{_ONE}/status/current", ("vmid",), show=guest_views.status),
    "create": Command("POST", _ALL, ("vmid",)),
    "set": Command("PUT", f"{_ONE}/config", ("vmid",), show=guest_views.updated),
    "destroy": Command("DELETE", _ONE, ("vmid",)),
    "clone": Command("POST", f"{_ONE}/clone", ("vmid", "newid")),
    # Proxmox's own command does not look at how its task ended.
    "template": Command("POST", f"{_ONE}/template", ("vmid",), exits_with_task=False),
    "start": Command("POST", f"{_ONE}/status/start", ("vmid",)),
    "stop": Command("POST", f"{_ONE}/status/stop", ("vmid",)),
    "shutdown": Command("POST", f"{_ONE}/status/shutdown", ("vmid",)),
    "reboot": Command("POST", f"{_ONE}/status/reboot", ("vmid",)),
    "reset": Command("POST", f"{_ONE}/status/reset", ("vmid",)),
    "migrate": Command("POST", f"{_ONE}/migrate", ("vmid", "target")),
    "resize": Command("PUT", f"{_ONE}/resize", ("vmid", "disk", "size")),
    "disk resize": Command("PUT", f"{_ONE}/resize", ("vmid", "disk", "size")),
    "disk move": Command("POST", f"{_ONE}/move_disk", ("vmid", "disk", "storage")),
}

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["unlock"]:
        sys.exit(unlock("qemu", arguments[1:]))
    sys.exit(main("qm", COMMANDS, arguments))
