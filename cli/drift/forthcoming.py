"""What planned steps would refuse. Nothing is recorded of them yet: their input is taken from the engine's plan."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cli.drift import judge, look, questions
from cli.engine.failures import Failure, resource_name
from cli.state.belongings import CLUSTER
from cluster.transport import members, shipped
from cluster.transport.nodes import NodeStepError
from components.recorded import LOCAL_STEP, STEPS
from onnode.contract.look import Look, LookStep
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from cli.description import Description
    from cli.engine.engine import Event
    from cluster.transport.ssh import Connection
    from onnode.contract.look import Refusal, StepLook

# Steps that observe nothing which an earlier step changes: what they refuse now, the run would refuse, too.
PREDICTABLE = (
    "journal",
    "verify-host",
    "verify-libvirt",
    "repository",
    "kvm-nested",
    "dhcp",
    "nfs-export",
    "node-network",
    "api-user",
    "storage",
)
# One exception: the journal, which an earlier step writes, decides which bridges are the stack's own.
UNPREDICTABLE = {("verify-host", "foreign-bridge"), ("verify-libvirt", "foreign-bridge")}
UNEXPECTED = "internal"
EXISTING_GUEST = "existing-guest"  # `cli/looks/existing_guests.py`
SHOWN_STEPS = 3


@dataclass(frozen=True)
class Forecast:
    """What the steps would refuse.

    Attributes:
        refused: the failures, as a run would show them.
        unasked: the names of the planned steps that were not looked at.
    """

    refused: list[Failure] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)

    @property
    def silence(self) -> str:
        """A line for people about the steps that were not looked at; empty when there are none."""
        more = f" and {len(self.unasked) - SHOWN_STEPS} more" if len(self.unasked) > SHOWN_STEPS else ""
        names = f"{', '.join(self.unasked[:SHOWN_STEPS])}{more}"
        return f"not looked at: what {names} would find; that shows in the run" if names else ""


def forecast(description: Description, steps: Sequence[questions.State], answering: Collection[str]) -> Forecast:
    """Ask planned steps.

    Args:
        description: how machines are reached.
        steps: as :func:`planned` gives them.
        answering: the machines that answer, the cluster among them; the others are asked nothing.
    """
    names = [machine.name for group in look.machines(description) for machine in group]
    asked = questions.of(
        {"deployment": {"resources": list(steps)}}, names, description.credentials.api_password.get_secret_value()
    )
    there = {
        name: steps_there
        for name, found in asked.there.items()
        if name in answering and (steps_there := _predictable(found))
    }
    cluster = _predictable(asked.cluster)
    answers = asyncio.run(_ask(description, there, cluster, answering)) if there or cluster else {}
    given = [
        (name, one)
        for name, answer in answers.items()
        for one in answer.steps
        if one.name != look.MEMBERSHIP and (one.refusal is None or one.refusal.code != UNEXPECTED)
    ]
    looked = {one.name for _, one in given}
    here = {step["urn"] for step in steps if step["type"] == LOCAL_STEP}
    return Forecast(
        [_failure(name, one, one.refusal, here) for name, one in given if one.refusal and _counts(one, asked)],
        sorted(
            resource_name(step["urn"])
            for step in steps
            if step["urn"] not in looked and not _was_asked(step, answering)
        ),
    )


def _was_asked(step: questions.State, answering: Collection[str]) -> bool:
    """Whether the look that a preview begins with has shown what this step would find."""
    return CLUSTER in answering and str(step["inputs"]["create"]).endswith(f" {EXISTING_GUEST}")


def planned(events: Iterable[Event]) -> list[questions.State]:
    """The steps that a preview plans, in the form of the record. An input that the plan does not know, or hides, is None.

    Args:
        events: of the preview.
    """
    return list(_planned(events))


def _planned(events: Iterable[Event]) -> Iterator[questions.State]:
    for event in events:
        metadata = event.get("resourcePreEvent", {}).get("metadata", {})
        if metadata.get("type") not in STEPS:
            continue
        new, old = ((metadata.get(which) or {}).get("inputs") or {} for which in ("new", "old"))
        if metadata["op"] not in ("create", "create-replacement", "update") or not new.get("create"):
            continue
        if new.get("stdin") == old.get("stdin"):
            continue  # unchanged, so it is asked as recorded
        inputs = dict(new) if _is_json(new.get("stdin")) else {**new, "stdin": None}
        yield {
            "urn": metadata["urn"],
            "type": metadata["type"],
            "parent": metadata["new"].get("parent", ""),
            "inputs": inputs,
        }


def _is_json(text: object) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _predictable(steps: Iterable[LookStep]) -> list[LookStep]:
    return [step for step in steps if step.step in PREDICTABLE]


def _counts(one: StepLook, asked: questions.Questions) -> bool:
    """Whether no earlier step can change this refusal."""
    steps = {step.name: step.step for found in (*asked.there.values(), asked.cluster) for step in found}
    return one.refusal is not None and (steps[one.name], one.refusal.code) not in UNPREDICTABLE


def _failure(machine: str, one: StepLook, refusal: Refusal, here: Collection[str]) -> Failure:
    error = StepError(
        refusal.code, refusal.what, observed=refusal.observed, expected=refusal.expected, fix=refusal.next
    )
    # A step on the control machine names the machine that refused.
    shown = NodeStepError(error.code, machine, error.render()) if one.name in here else error
    return Failure(error.code, resource_name(one.name), shown.render())


async def _ask(
    description: Description,
    there: Mapping[str, list[LookStep]],
    cluster: list[LookStep],
    answering: Collection[str],
) -> dict[str, look.Answer]:
    """The answers by machine; those for the cluster are of the first member that works only."""
    hosts, nodes = look.machines(description)
    speaking = [node.name for node in nodes if node.name in answering] if cluster else []
    machines = [machine for machine in (*hosts, *nodes) if machine.name in there or machine.name in speaking]

    async def ask(connection: Connection) -> look.Answer:
        name = connection.machine.name
        steps = [*there.get(name, [])]
        if name in speaking:
            steps += [look.ITSELF, *cluster]
        found = await shipped.run(connection, "look", Look(steps, {}), timeout_s=look.LOOK_S)
        return look.answer(name, found.facts, {})

    key = description.credentials.ssh_private_key.get_secret_value()
    async with members.connections(machines, key, timeout_s=look.CONNECT_S) as opened:
        answers = members.answered(await members.ask(opened, ask))
    speaker = next((name for name in speaking if name in answers and judge.works(answers[name])), None)
    clusters = {step.name for step in cluster}
    return {
        name: replace(answer, steps=[one for one in answer.steps if name == speaker or one.name not in clusters])
        for name, answer in answers.items()
    }
