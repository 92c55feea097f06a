"""The questions to machines, from the recorded state: which step is asked where. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluster.contract import STEPS, ClusterApiUser, ClusterStorage, NodeNetworks
from components.recorded import ADMIN, DOMAIN, LOCAL_STEP, ON_NODE, PACKAGE_TYPE, PROVIDED, REMOTE_STEP
from onnode.contract.documents import document, parse
from onnode.contract.formation import ApiUser
from onnode.contract.look import LookStep

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

State = dict[str, Any]

# It is not asked itself: its input is secret, and the node's own steps show how the node is. Its host is asked whether a silent
# node is off, and for its note on the installation.
INSTALLATION = "install-node"


@dataclass(frozen=True)
class Questions:
    """The questions.

    Attributes:
        there: by machine, its steps; each answers under its URN.
        packages: by machine, the URN of the package's copy.
        cluster: steps that any working member answers.
        here: steps on the control machine, by URN, with their name and input.
        provided: the provider's resources.
        installations: by node, the step that installed it.
    """

    there: dict[str, list[LookStep]] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    cluster: list[LookStep] = field(default_factory=list)
    here: dict[str, tuple[str, Any]] = field(default_factory=dict)
    provided: list[State] = field(default_factory=list)
    installations: dict[str, str] = field(default_factory=dict)


def of(state: State, machines: Collection[str], api_password: str) -> Questions:
    """The questions that a state gives.

    Args:
        state: what the engine exported, secrets encrypted.
        machines: names of the described ones; no others are asked.
        api_password: of the user for day-to-day work.
    """
    asked = Questions()
    for resource in state["deployment"].get("resources") or []:
        if resource.get("delete"):
            continue
        machine = resource.get("parent", "").rsplit("::", 1)[-1]
        if resource["type"] == PACKAGE_TYPE and machine in machines:
            asked.packages[machine] = resource["urn"]
        elif _step(resource) == INSTALLATION:
            asked.installations[machine] = resource["urn"]
        elif _step(resource) == DOMAIN:
            asked.there.setdefault(_stdin(resource)["host"], []).extend(_there(resource))
        elif resource["type"] == REMOTE_STEP and machine in machines:
            asked.there.setdefault(machine, []).extend(_there(resource))
        elif resource["type"] == LOCAL_STEP:
            _here(asked, resource, machines, api_password)
        elif resource["type"].startswith(PROVIDED):
            asked.provided.append(resource)
    return asked


def _step(resource: State) -> str:
    """The step of the on-node package that a resource runs."""
    there = resource["type"] == REMOTE_STEP
    return str(resource["inputs"].get("create", "")).removeprefix(f"{ON_NODE} ") if there else ""


def _there(resource: State) -> Iterator[LookStep]:
    step, wanted = _step(resource), _stdin(resource)
    if wanted is not None:
        if step == "prepare-node":
            wanted = {**wanted, "upgrade": False}  # a newer package is no drift, and apt would take seconds
        yield LookStep(resource["urn"], step, json.dumps(wanted))


def _here(asked: Questions, resource: State, machines: Collection[str], api_password: str) -> None:
    step = str(resource["inputs"].get("create", "")).removeprefix(f"{ADMIN} ")
    text = _stdin(resource)
    if text is None or step not in STEPS:
        return
    try:
        wanted = parse(STEPS[step], text)
    except ValueError:
        return  # recorded by a version that `changeover` does not know: its input differs, and the step runs again
    if isinstance(wanted, ClusterApiUser):
        user = ApiUser(wanted.stack_tag, wanted.api.user, api_password, wanted.role)
        asked.cluster.append(LookStep(resource["urn"], step, json.dumps(document(user))))
    elif isinstance(wanted, ClusterStorage):
        asked.cluster.append(LookStep(resource["urn"], step, json.dumps(document(wanted.storage))))
    elif isinstance(wanted, NodeNetworks):
        if wanted.machine.name in machines:
            look = LookStep(resource["urn"], step, json.dumps(document(wanted.network)))
            asked.there.setdefault(wanted.machine.name, []).append(look)
    else:
        asked.here[resource["urn"]] = (step, wanted)


def _stdin(resource: State) -> Any:  # noqa: ANN401 - JSON
    """A step's recorded input; None where it is encrypted."""
    text = resource["inputs"].get("stdin")
    return json.loads(text) if isinstance(text, str) else None
