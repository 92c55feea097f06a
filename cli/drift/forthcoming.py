"""What steps would refuse that are only planned: nothing is recorded of them, and the engine's plan says what they are given."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.drift import judge, look, questions, shipped
from cli.engine.failures import Failure, resource_name
from cluster.transport import members
from cluster.transport.nodes import NodeStepError
from onnode.contract import Look, LookStep
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from cli.description import Description
    from cli.engine.engine import Event
    from cluster.transport.ssh import Connection

# What these observe is changed by no step before them, so what they refuse now the run refuses, too.
TELLING = (
    "journal",
    "verify-host",
    "repository",
    "kvm-nested",
    "dhcp",
    "nfs-export",
    "node-network",
    "api-user",
    "storage",
)
# But for this: the journal says which bridges are the stack's own, and its step refuses those that are not.
NOT_TELLING = ("verify-host", "foreign-bridge")
UNEXPECTED = "internal"
SHOWN_STEPS = 3


@dataclass(frozen=True)
class Forecast:
    """What a run would find.

    Attributes:
        refused: as a run would tell it.
        unasked: the names of the planned steps that were not looked at.
    """

    refused: list[Failure] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)

    @property
    def silence(self) -> str:
        """The steps that were not looked at, for people; empty when there are none."""
        more = f" and {len(self.unasked) - SHOWN_STEPS} more" if len(self.unasked) > SHOWN_STEPS else ""
        names = f"{', '.join(self.unasked[:SHOWN_STEPS])}{more}"
        return f"not looked at: what {names} would find; that shows in the run" if names else ""


def forecast(description: Description, steps: Sequence[questions.State], answering: Collection[str]) -> Forecast:
    """Ask planned steps.

    Args:
        description: how machines are reached.
        steps: as :func:`planned` gives them.
        answering: the machines that answer; the others are asked nothing.
    """
    names = [machine.name for group in look.machines(description) for machine in group]
    asked = questions.of(
        {"deployment": {"resources": list(steps)}}, names, description.credentials.api_password.get_secret_value()
    )
    there = {name: telling for name, found in asked.there.items() if name in answering and (telling := _telling(found))}
    cluster = _telling(asked.cluster)
    answers = asyncio.run(_ask(description, there, cluster, answering)) if there or cluster else {}
    told = [
        (name, one)
        for name, answer in answers.items()
        for one in answer.steps
        if one["name"] != look.MEMBERSHIP and (one["refusal"] or {}).get("code") != UNEXPECTED
    ]
    looked = {one["name"] for _, one in told}
    here = {step["urn"] for step in steps if step["type"] == questions.STEP_HERE}
    return Forecast(
        [_failure(name, one, here) for name, one in told if one["refusal"] and _is_told(one, asked)],
        sorted(resource_name(step["urn"]) for step in steps if step["urn"] not in looked),
    )


def planned(events: Iterable[Event]) -> list[questions.State]:
    """The steps that a preview plans, in the form of the record; without what the plan does not know, or hides.

    Args:
        events: of the preview.
    """
    return list(_planned(events))


def _planned(events: Iterable[Event]) -> Iterator[questions.State]:
    for event in events:
        metadata = event.get("resourcePreEvent", {}).get("metadata", {})
        if metadata.get("type") not in (questions.STEP_THERE, questions.STEP_HERE):
            continue
        new, old = ((metadata.get(which) or {}).get("inputs") or {} for which in ("new", "old"))
        if metadata["op"] not in ("create", "create-replacement", "update") or not new.get("create"):
            continue
        if new.get("stdin") == old.get("stdin"):
            continue  # asked as it is recorded
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


def _telling(steps: Iterable[LookStep]) -> list[LookStep]:
    return [step for step in steps if step.step in TELLING]


def _is_told(one: Mapping[str, Any], asked: questions.Questions) -> bool:
    steps = {step.name: step.step for found in (*asked.there.values(), asked.cluster) for step in found}
    return (steps[one["name"]], one["refusal"]["code"]) != NOT_TELLING


def _failure(machine: str, one: Mapping[str, Any], here: Collection[str]) -> Failure:
    refusal = one["refusal"]
    error = StepError(
        refusal["code"],
        refusal["what"],
        observed=refusal["observed"],
        expected=refusal["expected"],
        fix=refusal["next"],
    )
    # A step on the control machine says where it was told so.
    shown = NodeStepError(error.code, machine, error.render()) if one["name"] in here else error
    return Failure(error.code, resource_name(one["name"]), shown.render())


async def _ask(
    description: Description,
    there: Mapping[str, list[LookStep]],
    cluster: list[LookStep],
    answering: Collection[str],
) -> dict[str, look.Answer]:
    """By machine; what is the cluster's is told by the first member that works, and by no other."""
    hosts, nodes = look.machines(description)
    speaking = [node.name for node in nodes if node.name in answering] if cluster else []
    machines = [machine for machine in (*hosts, *nodes) if machine.name in there or machine.name in speaking]

    async def ask(connection: Connection) -> look.Answer:
        name = connection.machine.name
        steps = [*there.get(name, [])]
        if name in speaking:
            steps += [LookStep(look.MEMBERSHIP, look.MEMBERSHIP, "null"), *cluster]
        found = await shipped.run(connection, "look", Look(steps, {}), timeout_s=look.LOOK_S)
        return look.Answer(found.facts["steps"])

    key = description.credentials.ssh_private_key.get_secret_value()
    async with members.connections(machines, key, timeout_s=look.CONNECT_S) as opened:
        answers = members.answered(await members.ask(opened, ask))
    speaker = next((name for name in speaking if name in answers and judge.works(answers[name])), None)
    clusters = {step.name for step in cluster}
    return {
        name: look.Answer([one for one in answer.steps if name == speaker or one["name"] not in clusters])
        for name, answer in answers.items()
    }
