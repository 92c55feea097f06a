"""From the recorded state to questions: which step is asked on which machine. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluster import contract as admin_desired
from components.recorded import ADMIN, ON_NODE
from onnode import contract as on_node
from onnode.contract import LookStep, document, parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

State = dict[str, Any]

STEP_THERE = "command:remote:Command"
STEP_HERE = "command:local:Command"
PACKAGE = "command:remote:CopyToRemote"
# It made a node once, from secrets; what the node is now, that node's own steps tell. Its host is asked where the node is
# silent, and for what it remembers.
INSTALLATION = "install-node"


@dataclass(frozen=True)
class Questions:
    """The questions.

    Attributes:
        there: by machine, its steps; the name under which each answers is its URN.
        packages: by machine, the URN of the package's copy.
        cluster: steps that any working member answers.
        here: steps of the administrator, by URN, with their desired state.
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
    """What is to be asked.

    Args:
        state: what the engine exported, secrets encrypted.
        machines: names of those that are described; what is recorded of others is not looked at.
        api_password: of the user for day-to-day work.
    """
    plan = Questions()
    for resource in state["deployment"].get("resources") or []:
        if resource.get("delete"):
            continue
        machine = resource.get("parent", "").rsplit("::", 1)[-1]
        if resource["type"] == PACKAGE and machine in machines:
            plan.packages[machine] = resource["urn"]
        elif _step(resource) == INSTALLATION:
            plan.installations[machine] = resource["urn"]
        elif resource["type"] == STEP_THERE and machine in machines:
            plan.there.setdefault(machine, []).extend(_there(resource))
        elif resource["type"] == STEP_HERE:
            _here(plan, resource, machines, api_password)
        elif resource["type"].startswith("proxmoxve:"):
            plan.provided.append(resource)
    return plan


def _step(resource: State) -> str:
    """The step of the on-node package that a resource runs."""
    there = resource["type"] == STEP_THERE
    return str(resource["inputs"].get("create", "")).removeprefix(f"{ON_NODE} ") if there else ""


def _there(resource: State) -> Iterator[LookStep]:
    step, wanted = _step(resource), _stdin(resource)
    if wanted is not None:
        if step == "prepare-node":
            wanted = {**wanted, "upgrade": False}  # a newer package is no drift, and apt takes seconds to tell
        yield LookStep(resource["urn"], step, json.dumps(wanted))


def _here(plan: Questions, resource: State, machines: Collection[str], api_password: str) -> None:
    step = str(resource["inputs"].get("create", "")).removeprefix(f"{ADMIN} ")
    text = _stdin(resource)
    if text is None or step not in admin_desired.STEPS:
        return
    try:
        wanted = parse(admin_desired.STEPS[step], text)
    except ValueError:
        return  # recorded by another version: it runs again anyway, since its input differs
    if isinstance(wanted, admin_desired.ApiUser):
        user = on_node.ApiUser(wanted.stack_tag, wanted.api.user, api_password, wanted.role)
        plan.cluster.append(LookStep(resource["urn"], step, json.dumps(document(user))))
    elif isinstance(wanted, admin_desired.ClusterStorage):
        plan.cluster.append(LookStep(resource["urn"], step, json.dumps(document(wanted.storage))))
    elif isinstance(wanted, admin_desired.NodeNetworks):
        if wanted.machine.name in machines:
            look = LookStep(resource["urn"], step, json.dumps(document(wanted.network)))
            plan.there.setdefault(wanted.machine.name, []).append(look)
    else:
        plan.here[resource["urn"]] = (step, wanted)


def _stdin(resource: State) -> Any:  # noqa: ANN401 - JSON
    """A step's recorded input; None where it is encrypted."""
    text = resource["inputs"].get("stdin")
    return json.loads(text) if isinstance(text, str) else None
