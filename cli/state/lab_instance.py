"""Which lab a stack was built in: a lab lives in memory, and all machines in it go with it.

This is checked inside the lab only: `python -m lab run` gives the lab's number, a new one after every start and reset.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from cli.backend import state_files
from cluster.errors import AdminError
from components.recorded import DESIGN, LAB, lab_instance

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

State = dict[str, Any]


def recorded(resources: Iterable[dict[str, Any]]) -> str | None:
    """The lab in which these resources were made; None if that is not known."""
    found = next((resource for resource in resources if resource["type"] == DESIGN), None)
    return found.get("inputs", {}).get(LAB) if found else None


def is_gone(state: State) -> bool:
    """Whether the state is of a lab that does not exist any more."""
    now, then = lab_instance(), recorded(state["deployment"].get("resources") or [])
    return None not in (now, then) and now != then


def forgotten(state: State) -> State:
    """The state with nothing in it; pure."""
    emptied = copy.deepcopy(state)
    emptied["deployment"]["resources"] = []
    emptied["deployment"].pop("pending_operations", None)
    return emptied


def refuse_gone(state: State) -> None:
    """Refuse a state of a lab that is gone.

    Raises:
        AdminError: lab-is-new.
    """
    if is_gone(state):
        raise AdminError(
            "lab-is-new",
            "what the state describes was in a lab that is gone",
            observed=f"{len(state['deployment']['resources'])} resources of another lab",
            expected="a state of this lab, or none",
        )


def refuse_shared(stack: str, backend: Path) -> None:
    """Refuse to work in a lab in which another stack is built: its machines have the same addresses.

    Raises:
        AdminError: lab-in-use.
    """
    now = lab_instance()
    if now is None:
        return
    for other, file in sorted(state_files.files(backend).items()):
        latest = state_files.latest(file)
        if other != stack and recorded(latest.get("resources") or []) == now:
            raise AdminError(
                "lab-in-use",
                f"stack {other} lives in the lab",
                observed=f"{len(latest['resources'])} resources of stack {other}",
                expected=f"a lab without another stack than {stack}",
                fix=f"`make down{'' if other == 'dev' else f' STACK={other}'}`, then the same command again",
            )
