"""`pveam`: container templates on a storage. The lab offers none to download; `pvesh` and the API bring them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pvelab.cli.tool import Command, main, write

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1 << 20


def listing(answer: list[dict[str, Any]], _options: Mapping[str, str]) -> None:
    """`pveam list`."""
    width = max([len("NAME"), *(len(item["volid"]) for item in answer)])
    write(f"{'NAME':<{width}} {'SIZE':>7}")
    for item in answer:
        write(f"{item['volid']:<{width}} {item['size'] / MIB:>5.2f}MB")


COMMANDS = {
    "list": Command("GET", "/nodes/{node}/storage/{storage}/content", ("storage",), {"content": "vztmpl"}, listing),
}

if __name__ == "__main__":
    sys.exit(main("pveam", COMMANDS, sys.argv[1:]))
