"""The content of a report: what differs, what that puts at risk, why `up` would refuse it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cli.report.changes import Change, changes
from cli.report.known import Mark
from cli.report.plan import MANDATORY, Plan
from cli.report.way import Way, way
from components.recorded import GUEST, NODE, STORAGES, VM_TYPE, makes_domain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.report.levels import Level
    from cli.report.plan import Operation

REPLACES = ("create-replacement", "delete")
# Changes with these marks cover the loss that the engine's operation shows: it needs no second line.
MARKED = (Mark.REPLACE, Mark.LEAVES, Mark.REFUSED, Mark.DATA, Mark.RESTART)


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        before: the design that is compared with; None when there is none.
        basis: what was compared with what, in a sentence.
        applied: the plan is what `up` would do; otherwise it creates everything, and only its verdicts count.
        problems: mistakes in the configuration, for which there is no preview.
        after: the described design, if stack files are compared; otherwise the previewed one counts.
        levels: rules that are not as shipped.
        is_gone: the stack file was deleted.
        live_way: how the cluster gets there, if somebody looked at it; otherwise that is planned from the designs.
    """

    stack: str
    plan: Plan
    before: Mapping[str, Any] | None
    basis: str
    applied: bool = True
    problems: Sequence[str] = ()
    after: Mapping[str, Any] | None = None
    levels: Sequence[Level] = ()
    is_gone: bool = False
    live_way: Way | None = None

    @property
    def designed(self) -> Mapping[str, Any] | None:
        """The design of this change."""
        return self.after or self.plan.designed

    @property
    def is_whole(self) -> bool:
        """Whether the plan has all operations of the engine; a failed preview ends somewhere in between."""
        return self.applied and not self.plan.has_failed

    @cached_property
    def changes(self) -> list[Change]:
        """What differs between the designs, and what is lost for other reasons."""
        found = changes(self.before, self.designed, self.way) if self.before and self.designed else []
        found += [_level_set(level) for level in self.levels if level.is_changed]
        places = {change.place for change in found if change.mark in MARKED}
        lost = [_loss(operation) for operation in self.plan.operations] if self.applied else []
        return found + [change for change in lost if change and change.place not in places]

    @cached_property
    def way(self) -> Way:
        """What a running cluster goes through, one after another."""
        return self.live_way or (way(self.before, self.designed) if self.before and self.designed else Way())

    @property
    def risks(self) -> list[Change]:
        """What `up` would do, and a reviewer must not overlook."""
        return [change for change in self.changes if change.mark not in (Mark.NONE, Mark.REFUSED)]

    @property
    def refusals(self) -> list[str]:
        """Why `up` would not do it; empty when it would."""
        rules = dict.fromkeys(verdict.rule for verdict in self.plan.verdicts if verdict.level == MANDATORY)
        refused = [f"rule {rule} (docs/policies.md#{rule})" for rule in rules]
        refused += [change.sentence for change in self.changes if change.mark is Mark.REFUSED]
        if self.problems:
            refused.append("the configuration is not right (docs/recovery.md#config-invalid)")
        elif self.plan.errors and not refused:
            refused.append("the preview failed")
        return refused


def _level_set(level: Level) -> Change:
    shipped = "as shipped"
    return Change("policies", f"rule {level.rule}: {level.before or shipped} → {level.now or shipped}", "", Mark.RULE)


def _loss(operation: Operation) -> Change | None:
    """What is lost by an operation, whatever caused it."""
    name, component = operation.component
    if operation.op not in REPLACES or operation.stays:
        return None
    is_vm = operation.type == VM_TYPE or makes_domain(operation.type, operation.old)
    if is_vm and component == NODE:
        return Change(f"node {name}", "its VM is replaced or removed", "a member is lost with it", Mark.REPLACE)
    if operation.type == VM_TYPE and component == GUEST:
        return Change(f"guest {name}", "its VM is replaced or removed", "its disks are lost", Mark.DATA)
    if operation.name == f"{name}-container" and component == GUEST and operation.op == "delete":
        return Change(f"guest {name}", "its container is removed", "its disks are lost", Mark.DATA)
    if operation.type.startswith(STORAGES) and operation.op == "create-replacement":
        name = operation.name.partition("-storage-")[2]
        return Change(f"storage {name}", "is replaced", "guests that run on it stall or stop", Mark.RESTART)
    return None
