"""A stack that is read, and the engine that keeps its state."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.description import Description
    from cli.engine.engine import Engine
    from cluster.marks import Look

State = dict[str, Any]
EMPTY: State = {"deployment": {}}


def record(engine: Engine, before: State, state: State) -> State:
    """Record a state in the place of the one before; what the engine made of it.

    Raises:
        AdminError: stack-locked, when another run changed the state meanwhile; engine-failed.
    """
    engine.replace_state(before, state)
    # As the engine keeps it: the next change is compared with that.
    return engine.export() or state


@dataclass(frozen=True)
class LoadedStack:
    """A stack, ready to be worked on.

    Attributes:
        description: what the stack file describes.
        engine: keeps the state.
        state: as the engine exported it last.
        looks: what the machines showed, by place; empty until they were looked at.
        adopting: what exists is to be recorded, though the state may know nothing of it.
    """

    description: Description
    engine: Engine
    state: State
    looks: Mapping[str, Sequence[Look]] = field(default_factory=dict)
    adopting: bool = False

    @property
    def has_resources(self) -> bool:
        """Whether anything is recorded that a refresh could read."""
        return bool(self.state["deployment"].get("resources"))

    def recording(self, state: State) -> LoadedStack:
        """The same with another state, which the engine has recorded.

        Raises:
            AdminError: as :func:`record`.
        """
        return self if state == self.state else replace(self, state=record(self.engine, self.state, state))

    def exported(self) -> LoadedStack:
        """The same with the state that the engine has now."""
        return replace(self, state=self.engine.export() or EMPTY)

    def trusting(self, variables: Mapping[str, str]) -> LoadedStack:
        """The same with an engine that trusts what the machines themselves hold."""
        return replace(self, engine=replace(self.engine, environment={**self.engine.environment, **variables}))
