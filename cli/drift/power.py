"""Whether nodes that do not answer are powered off. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.drift.kinds import OFF
from cli.drift.model import Drift
from components.site import Site
from config.model import NestedNode
from onnode.contract.documents import document
from onnode.contract.host import VmPower
from onnode.contract.look import LookStep

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from cli.description import Description
    from cli.drift.look import Answer
    from cli.drift.questions import Questions


def powered(description: Description, node: NestedNode) -> VmPower:
    """What the step vm-power is given: a node that was installed is to be on."""
    site = Site(description.config, description.credentials, description.stack)
    installation = description.config.installation
    return VmPower(
        stack=description.stack,
        vmid=node.vmid,
        name=node.name,
        ssh_address=str(node.address),
        ssh_host_key=site.host_key(node).public,
        timeout_s=installation.timeout_s if installation else 0,
    )


def questions(description: Description, asked: Questions, host: str, silent: Collection[str]) -> list[LookStep]:
    """Questions to an outer host: which of its nodes that do not answer are powered off.

    Each answers under the URN of the step that installed the node.
    """
    return [
        LookStep(asked.installations[node.name], "vm-power", json.dumps(document(powered(description, node))))
        for node in description.config.nodes
        if isinstance(node, NestedNode)
        and node.host == host
        and node.name in silent
        and node.name in asked.installations
    ]


def off(description: Description, asked: Questions, answers: Mapping[str, Answer]) -> Iterator[Drift]:
    """The nodes of which their outer host says that they are powered off."""
    for node in description.config.nodes:
        urn = asked.installations.get(node.name)
        if isinstance(node, NestedNode) and node.host in answers:
            steps = answers[node.host].steps
            if any(one.name == urn and one.actions for one in steps):
                yield Drift(str(urn), node.name, f"its VM {node.vmid} on {node.host} is powered off", OFF)
