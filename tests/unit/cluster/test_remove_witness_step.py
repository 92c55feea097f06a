"""The QDevice's server goes from its machine when the stack lets go of it; one that is dead for good holds up nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from cluster.contract import Machine, WitnessRemoval
from cluster.errors import AdminError
from cluster.steps import remove_witness
from cluster.transport.nodes import PACKAGE
from cluster.transport.ssh import Completed
from onnode.contract.qdevice import Witness
from onnode.errors import StepError
from tests.unit.cluster.live_nodes import CALL, DOWN, LiveNodes
from tests.unit.cluster.worlds import CLUSTER

if TYPE_CHECKING:
    from pathlib import Path

    from onnode.step import Outcome

SERVER = Machine("witness", "192.168.0.106", "ssh-ed25519 BBBB")
LOOK, STEP = f"test -e {PACKAGE}", "witness --remove"


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LiveNodes:
    nodes = LiveNodes(monkeypatch, tmp_path)
    nodes.commands[LOOK] = lambda _: Completed(0, "", "")
    nodes.facts[STEP] = {"kept": False}
    return nodes


def remove() -> Outcome:
    return asyncio.run(remove_witness.remove(WitnessRemoval(CLUSTER, SERVER), CALL))


def test_a_witness_that_is_there_is_cleaned_up(nodes: LiveNodes) -> None:
    outcome = remove()
    assert (outcome.changed, outcome.facts) == (True, {"kept": False})
    assert [(act.what, act.wanted) for act in nodes.acts] == [(LOOK, None), (STEP, Witness(CLUSTER))]


@pytest.mark.parametrize(
    "why",
    [
        DOWN,
        AdminError("host-key-mismatch", "it is not the machine that the configuration pins", observed="another key"),
        AdminError("ssh-auth-failed", "it refuses the control machine's SSH key", observed="root refused"),
    ],
    ids=lambda error: str(error.code),
)
def test_one_that_is_dead_or_installed_anew_is_told_and_holds_up_nothing(
    nodes: LiveNodes, capsys: pytest.CaptureFixture[str], why: AdminError
) -> None:
    nodes.silent["witness"] = why
    assert not remove().changed
    assert nodes.acts == []
    told = capsys.readouterr().err
    assert f"! corosync-qnetd and /var/lib/nested-pve-ha-witness stay on witness: {why.what}" in told
    assert why.observed in told


def test_one_on_which_it_fails_is_not_passed_over(nodes: LiveNodes) -> None:
    nodes.refusals[STEP] = [StepError("machine-busy", "another step is still at work")]
    with pytest.raises(StepError) as failed:
        remove()
    assert failed.value.code == "machine-busy"
    assert remove().changed


def test_a_run_that_was_killed_after_all_was_gone_ends_well(nodes: LiveNodes) -> None:
    nodes.commands[LOOK] = lambda _: Completed(1, "", "")
    assert not remove().changed
    assert [act.what for act in nodes.acts] == [LOOK]
