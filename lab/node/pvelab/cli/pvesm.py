"""`pvesm`: storages as this node sees them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pvelab.cli.tool import FAILED, Command, main, write
from pvelab.errors import PveError
from pvelab.storage import layout

if TYPE_CHECKING:
    from collections.abc import Mapping

KIB = 1024


def status(answer: list[dict[str, Any]], _options: Mapping[str, str]) -> None:
    """`pvesm status`: sizes in KiB."""
    width = max((len(item["storage"]) for item in answer), default=0) + 1
    write(f"{'Name':<{width}} {'Type':>10} {'Status':>10} {'Total':>15} {'Used':>15} {'Available':>15} {'%':>8}")
    for item in sorted(answer, key=lambda found: str(found["storage"])):
        state = "disabled" if not item["enabled"] else "active" if item["active"] else "inactive"
        share = item["used"] * 100 / item["total"] if item["total"] else 0
        percent = f"{'N/A':>8}" if not item["enabled"] else f"{share:7.2f}%"
        total, used, avail = (item[key] // KIB for key in ("total", "used", "avail"))
        write(f"{item['storage']:<{width}} {item['type']:>10} {state:>10} {total:>15} {used:>15} {avail:>15} {percent}")


def contents(answer: list[dict[str, Any]], _options: Mapping[str, str]) -> None:
    """`pvesm list`."""
    width = max((len(item["volid"]) for item in answer), default=len("Volid"))
    write(f"{'Volid':<{width}} {'Format':<7} {'Type':<9} {'Size':>10} VMID")
    for item in answer:
        owner = item.get("vmid", "")
        write(f"{item['volid']:<{width}} {item['format']:<7} {item['content']:<9} {item['size']:>10} {owner}".rstrip())


def path(arguments: list[str]) -> int:
    """`pvesm path`: where a volume is."""
    try:
        write(layout.parse(arguments[0]).shown_path)
    except (PveError, IndexError) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    return 0


_STORAGE = "/nodes/{node}/storage"
_CONTENT = f"{_STORAGE}/{{storage}}/content"
COMMANDS = {
    "status": Command("GET", _STORAGE, show=status),
    "list": Command("GET", _CONTENT, ("storage",), show=contents),
    "add": Command("POST", "/storage", ("type", "storage")),
    "set": Command("PUT", "/storage/{storage}", ("storage",)),
    "remove": Command("DELETE", "/storage/{storage}", ("storage",)),
}


def free(arguments: list[str]) -> int:
    """`pvesm free`: remove a volume, named with its storage."""
    command = Command("DELETE", f"{_CONTENT}/{{volume}}", ("storage", "volume"))
    storage = arguments[0].partition(":")[0] if arguments else ""
    return main("pvesm", {"free": command}, ["free", storage, *arguments])


if __name__ == "__main__":
    given = sys.argv[1:]
    own = {"path": path, "free": free}
    sys.exit(own[given[0]](given[1:]) if given[:1] and given[0] in own else main("pvesm", COMMANDS, given))
