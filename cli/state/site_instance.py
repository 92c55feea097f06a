"""Which machines a stack was built on, if these come and go: what was on the earlier ones is gone with them.

Whoever makes such machines gives each set of them an id, in the environment. Without an id, nothing is checked here.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from cli.backend import state_files
from cluster.errors import AdminError
from components.recorded import DESIGN, INSTANCE, site_instance

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

State = dict[str, Any]

OLD_INSTANCE = "lab"  # the property, in states of earlier versions


def recorded(resources: Iterable[dict[str, Any]]) -> str | None:
    """The instance of the site in which these resources were made; None if that is not known."""
    found = next((resource for resource in resources if resource["type"] == DESIGN), None)
    given = found.get("inputs", {}) if found else {}
    return given.get(INSTANCE) or given.get(OLD_INSTANCE)


def is_gone(state: State) -> bool:
    """Whether the state is of an instance that does not exist any more."""
    now, then = site_instance(), recorded(state["deployment"].get("resources") or [])
    return None not in (now, then) and now != then


def forgotten(state: State) -> State:
    """The state with nothing in it; pure."""
    emptied = copy.deepcopy(state)
    emptied["deployment"]["resources"] = []
    emptied["deployment"].pop("pending_operations", None)
    return emptied


def refuse_gone(state: State) -> None:
    """Refuse a state of an instance that is gone.

    Raises:
        AdminError: site-is-new.
    """
    if is_gone(state):
        raise AdminError(
            "site-is-new",
            "what the state describes was on machines that are gone",
            observed=f"{len(state['deployment']['resources'])} resources in another instance of the site",
            expected="a state of this instance, or none",
        )


def refuse_shared(stack: str, backend: Path | None) -> None:
    """Refuse to work in an instance in which another stack is built: its machines have the same addresses.

    Args:
        stack: the one that is worked on.
        backend: the `.pulumi` directory; None where states are not kept in files: then nothing is known of other stacks.

    Raises:
        AdminError: site-in-use.
    """
    now = site_instance()
    if now is None or backend is None:
        return
    for other, file in sorted(state_files.files(backend).items()):
        latest = state_files.latest(file)
        if other != stack and recorded(latest.get("resources") or []) == now:
            raise AdminError(
                "site-in-use",
                f"stack {other} lives on these machines",
                observed=f"{len(latest['resources'])} resources of stack {other}",
                expected=f"no other stack than {stack} on them",
                fix=f"the same command with STACK={other}, if you mean that stack; or first `make down{_named(other)}`",
            )


def _named(stack: str) -> str:
    return "" if stack == "dev" else f" STACK={stack}"
