"""What the engine would do, from the events of a preview: operations, verdicts of rules, errors. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.engine.failures import NOISE, resource_name
from components.recorded import DESIGN, OURS, STEPS, TOLD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cli.engine.engine import Event

# A replacement is shown by its "create-replacement"; the other two operations are its parts.
QUIET = ("same", "refresh", "read", "replace", "delete-replaced")
MANDATORY = "mandatory"
DESIGN_NAME = "design"
UNJUDGED = "can't run policy"
COUNTED = {
    "create": "to create",
    "update": "to update",
    "create-replacement": "to replace",
    "delete": "to delete",
    "import": "to import",
}
RECORDED = "to record"  # what does something only when it is removed
# They make nothing: components only group, and providers only hold logins. `up` prints no line for them, either.
MAKES_NOTHING = (OURS, "pulumi:providers:")


@dataclass(frozen=True)
class Operation:
    """One resource that changes.

    Attributes:
        op: the operation, as the engine names it.
        component: name and type of the component of ours that it belongs to; empty for what belongs to none.
        differs: names of the properties that differ; only those that the program gives, if any of these differ.
        stays: a deletion only takes it out of the state.
    """

    op: str
    name: str
    type: str
    component: tuple[str, str]
    differs: tuple[str, ...] = ()
    stays: bool = False
    old: Mapping[str, Any] = field(default_factory=dict)
    new: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """The verdict of one rule on one resource."""

    rule: str
    level: str
    resource: str
    message: str


@dataclass(frozen=True)
class Plan:
    """A preview.

    Attributes:
        recorded: the design as the stack's state has it; None when nothing is recorded.
        designed: the design that was previewed; None when the program did not get that far.
        recorded_is_older: an earlier version of this program recorded less; the missing values are taken from `designed`.
    """

    operations: list[Operation]
    verdicts: list[Verdict]
    remedied: list[tuple[str, str]]
    errors: list[str]
    recorded: Mapping[str, Any] | None
    designed: Mapping[str, Any] | None
    recorded_is_older: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether it ended early, so that its operations are not all that `up` would do."""
        return bool(self.errors) or any(verdict.level == MANDATORY for verdict in self.verdicts)

    @property
    def counted(self) -> str:
        """How many resources are to be created, updated and so on, in the words of `up`; empty when none are."""
        counts = Counter(_word(operation) for operation in self.operations)
        return ", ".join(f"{counts[word]} {word}" for word in (*COUNTED.values(), RECORDED) if counts[word])


def _word(operation: Operation) -> str:
    if operation.type.startswith(MAKES_NOTHING):
        return ""
    at_work = operation.type not in STEPS or operation.op not in ("create", "update") or operation.new.get("create")
    return COUNTED.get(operation.op, "") if at_work else RECORDED


def read(events: Iterable[Event]) -> Plan:
    """Sort the events of a preview."""
    plan = Plan([], [], [], [], None, None)
    recorded = designed = None
    for event in events:
        if begun := event.get("resourcePreEvent"):
            metadata = begun["metadata"]
            if metadata["type"] == DESIGN:
                recorded, designed = _inputs(metadata, "old") or None, _inputs(metadata, "new") or None
            if metadata["op"] not in QUIET and not metadata["type"].startswith("pulumi:pulumi:Stack"):
                plan.operations.append(_operation(metadata))
        elif found := event.get("policyEvent"):
            plan.verdicts.append(_verdict(found))
        elif done := event.get("policyRemediationEvent"):
            plan.remedied.append((done["policyName"], resource_name(done.get("resourceUrn", ""))))
        elif (diagnostic := event.get("diagnosticEvent")) and diagnostic.get("severity") == "error":
            plan.errors.extend(text for text in [diagnostic["message"].strip()] if not NOISE.search(text))
    older = bool(recorded and designed and not designed.keys() <= recorded.keys())
    if older:
        recorded = {**(designed or {}), **(recorded or {})}
    # The engine works in parallel: its order differs from run to run.
    plan.operations.sort(key=lambda operation: (operation.type, operation.name, operation.op))
    plan.verdicts.sort(key=lambda verdict: (verdict.rule, verdict.resource, verdict.message))
    return Plan(
        plan.operations, _foremost(plan.verdicts), plan.remedied, _causes(plan.errors), recorded, designed, older
    )


def _causes(errors: list[str]) -> list[str]:
    """The errors, without those of operations that were cancelled because something else failed."""
    causes = [error for error in errors if "context canceled" not in error]
    return causes or errors


def _foremost(verdicts: list[Verdict]) -> list[Verdict]:
    """The verdicts. If a rule refuses the design, its other verdicts are left out: a preview may end before it comes to them."""
    refused = {verdict.rule for verdict in verdicts if verdict.level == MANDATORY and verdict.resource == DESIGN_NAME}
    return [verdict for verdict in verdicts if verdict.rule not in refused or verdict.resource == DESIGN_NAME]


def _operation(metadata: Mapping[str, Any]) -> Operation:
    state = metadata.get("new") or metadata.get("old") or {}
    parent = state.get("parent", "")
    kind = parent.split("::")[2].rsplit("$", maxsplit=1)[-1] if parent else ""
    component = (resource_name(parent), kind) if kind.startswith(OURS) else ("", "")
    old, new = _inputs(metadata, "old"), _inputs(metadata, "new")
    named = tuple(name for name in metadata.get("diffs") or () if metadata["type"] not in STEPS or name != TOLD)
    # The provider also names outputs that may change, such as addresses; these depend on what it last saw running.
    given = tuple(name for name in named if name in old or name in new)
    return Operation(
        metadata["op"],
        resource_name(metadata["urn"]),
        metadata["type"],
        component,
        given or named,
        bool((metadata.get("old") or {}).get("retainOnDelete")),
        old,
        new,
    )


def _inputs(metadata: Mapping[str, Any], which: str) -> dict[str, Any]:
    return dict((metadata.get(which) or {}).get("inputs") or {})


def _verdict(event: Mapping[str, Any]) -> Verdict:
    text = event["message"].strip()
    # The engine puts the rule's description on a line above the message, unless the rule could not be run.
    message = text if UNJUDGED in text else text.partition("\n")[2] or text
    resource = resource_name(event.get("resourceUrn", ""))
    return Verdict(event["policyName"], event["enforcementLevel"], resource, message.removeprefix(f"{resource}: "))
