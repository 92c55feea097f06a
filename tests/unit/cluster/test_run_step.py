"""What a step on a machine says while it works, and how it ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from cluster.errors import AdminError
from cluster.transport import members
from cluster.transport.nodes import NodeStepError, StepResult, result_of, run_step
from cluster.transport.ssh import Completed
from tests.unit.cluster.live_nodes import CALL, PROGRESS, fresh
from tests.unit.cluster.worlds import member

if TYPE_CHECKING:
    from tests.unit.cluster.live_nodes import LiveNodes

REFUSAL = "error[not-proxmox]: no Proxmox VE\n  observed: no pveversion\n  next: install it"
OF_ANOTHER_VERSION = "error[of-another-version]: a code that this version does not have"


def test_a_steps_last_line_is_its_result() -> None:
    said = Completed(0, 'a line\n{"changed": true, "facts": {"a": [1]}}\n \n', "progress")
    assert result_of("pve1", "verify-node", said) == StepResult(changed=True, facts={"a": [1]})


@pytest.mark.parametrize("text", [REFUSAL, OF_ANOTHER_VERSION])
def test_a_steps_own_refusal_is_passed_on_word_for_word_with_the_machines_name(text: str) -> None:
    with pytest.raises(NodeStepError) as refused:
        result_of("pve1", "verify-node", Completed(1, "", f"at work\n{text}\n"))
    assert refused.value.code == text[text.index("[") + 1 : text.index("]")]
    assert refused.value.machine == "pve1"
    assert refused.value.render() == f"{text}\n  on: pve1"


@pytest.mark.parametrize(
    ("ended", "observed"),
    [
        (Completed(1, "", ""), "exit code 1; last line of its output: nothing"),
        (Completed(137, "out\n", "one\nKilled\n"), "exit code 137; last line of its output: Killed"),
        (Completed(2, "one\nout\n", " \n"), "exit code 2; last line of its output: out"),
        (Completed(0, "", ""), "no result line; last line of its output: nothing"),
        (Completed(0, "done", ""), "no result line; last line of its output: done"),
        (Completed(0, '{"changed": true}', ""), 'no result line; last line of its output: {"changed": true}'),
        (Completed(0, "[1]", ""), "no result line; last line of its output: [1]"),
        (
            Completed(1, "", "text error[internal]: amid"),
            "exit code 1; last line of its output: text error[internal]: amid",
        ),
    ],
)
def test_a_step_that_ends_without_a_word_of_its_own_is_broken(ended: Completed, observed: str) -> None:
    with pytest.raises(AdminError) as broken:
        result_of("pve1", "verify-node", ended)
    assert (broken.value.code, broken.value.observed) == ("step-broken", observed)
    assert broken.value.fix.startswith("on pve1: python3 /var/lib/nested-pve-ha/onnode verify-node;")


@pytest.mark.parametrize(("quiet", "shown"), [(False, f"proxmox01: {PROGRESS}\n"), (True, "")])
def test_progress_is_shown_under_the_machines_name(
    nodes: LiveNodes, capsys: pytest.CaptureFixture[str], *, quiet: bool, shown: str
) -> None:
    nodes.facts["confirm-network"] = {}

    async def run() -> None:
        async with members.connections([member(1)], CALL.secrets.ssh_private_key) as opened:
            await run_step(members.connected(opened, "proxmox01"), "confirm-network", timeout_s=5, quiet=quiet)

    asyncio.run(run())
    assert capsys.readouterr().err == shown


def test_a_look_at_members_shows_none(nodes: LiveNodes, capsys: pytest.CaptureFixture[str]) -> None:
    async def look() -> str:
        async with members.connections([member(1)], CALL.secrets.ssh_private_key) as opened:
            return (await members.membership(members.connected(opened, "proxmox01"))).node

    assert asyncio.run(look()) == fresh(1).node
    assert nodes.looks == 1
    assert capsys.readouterr().err == ""
