"""Whose an existing machine is: a file on it names the one stack that describes it.

A nested node has the mark of its VM, and what a stack makes carries one as well. A machine of the user's carries nothing, and
two stacks that describe it, from two project folders perhaps, would each treat it as their own.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from cluster.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "/var/lib/nested-pve-ha/stack"


def enter(stack: str) -> str:
    """The command that records a stack on a machine without one, and prints the recorded stack.

    A link takes no name that is there: of two who enter at the same moment one reads the other's name.
    """
    fresh = f"{FILE}.$$"
    put = f"echo {shlex.quote(stack)} > {fresh}; ln {fresh} {FILE} 2>/dev/null && echo entered; rm -f {fresh}"
    return f"mkdir -p {FILE.rpartition('/')[0]}; {put}; cat {FILE}"


def leave(stack: str) -> str:
    """The command that removes the record, if it names this stack."""
    return f'test "$(cat {FILE} 2>/dev/null)" != {shlex.quote(stack)} || rm -f {FILE}'


def refuse_others(stack: str, owners: Mapping[str, str]) -> None:
    """Refuse machines that belong to another stack; pure.

    Args:
        stack: the name.
        owners: by machine, the stack that is entered there; empty where none is.

    Raises:
        AdminError: machine-taken.
    """
    taken = {name: owner for name, owner in owners.items() if owner and owner != stack}
    if not taken:
        return
    others = ", ".join(sorted(set(taken.values())))
    raise AdminError(
        "machine-taken",
        "a described machine belongs to another stack",
        observed="; ".join(f"{FILE} on {name} names stack {owner}" for name, owner in taken.items()),
        expected=f"machines of no stack, or of stack {stack}",
        fix=f"describe each machine in one stack only; where {others} is gone for good, `rm {FILE}` on {', '.join(taken)}",
    )
