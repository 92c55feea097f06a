"""Stacks whose names differ only in upper and lower case: Proxmox VE stores tags in lower case, so their marks are the same.

Each would take the other's VMs for its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.backend.locks import PROJECT
from cluster.errors import AdminError
from onnode.system.pve import namesakes, stack_tag

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def refuse(stack: str, others: Iterable[str], where: str) -> None:
    """Refuse a stack beside another one that has the same mark; pure.

    Args:
        stack: the name.
        others: names that are in use; the stack's own may be among them.
        where: of those names, for the message.

    Raises:
        AdminError: stack-name-taken.
    """
    if found := namesakes(stack, others):
        raise AdminError(
            "stack-name-taken",
            f"the name of stack {stack} differs from another one only in upper and lower case",
            observed=f"{', '.join(found)} {where}",
            expected=f"no other stack that marks its things with {stack_tag(stack)}",
        )


def recorded(backend: Path) -> list[str]:
    """The stacks that have a state in a backend of files.

    Args:
        backend: the `.pulumi` directory.
    """
    names = (file.name.removesuffix(".gz") for file in (backend / "stacks" / PROJECT).glob("*.json*"))
    return sorted({name.removesuffix(".json") for name in names if name.endswith(".json")})
