"""Which machine is reset, and when: never one that a working member lists."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from cli import reset
from cluster.contract import Machine
from cluster.errors import AdminError
from components.recorded import ADMIN
from tests.unit.cluster.worlds import CLUSTER, joined, stand_alone

if TYPE_CHECKING:
    from cli.description import Description
    from onnode.contract.membership import MembershipReport

LEFT: dict[str, Any] = {"address": "192.168.0.109", "host_key": "ssh-ed25519 AAAA", "housing": None, "links": {}}


def in_another(report: MembershipReport) -> MembershipReport:
    """The same in cluster office."""
    return dataclasses.replace(report, cluster="office")


def state(stdout: str) -> dict[str, Any]:
    other = {"inputs": {"create": "true"}, "outputs": {"stdout": "{}"}}
    removal = {"inputs": {"create": f"{ADMIN} remove-members"}, "outputs": {"stdout": stdout}}
    return {"deployment": {"resources": [other, removal]}}


def printed(**departed: Any) -> str:  # noqa: ANN401 - JSON
    return json.dumps({"changed": True, "facts": {"members": {}, "departed": departed}}) + "\n"


def test_a_machine_that_left_is_remembered(dev: Description) -> None:
    found = reset.machine_of(dev, state(f"progress\n{printed(pve9=LEFT)}"), "pve9")
    assert found == Machine("pve9", "192.168.0.109", "ssh-ed25519 AAAA")


@pytest.mark.parametrize("known", [None, {"deployment": {}}, state(""), state(printed()), state(printed(pve8=LEFT))])
@pytest.mark.parametrize("name", ["pve9", "proxmox01"])  # unknown; nested
def test_any_other_is_refused(dev: Description, known: dict[str, Any] | None, name: str) -> None:
    with pytest.raises(AdminError) as refused:
        reset.machine_of(dev, known, name)
    assert refused.value.code == "node-unknown"


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ([joined(1, 1, 2), joined(2, 1, 2)], None),
        ([joined(1, 1, 2), stand_alone(2)], None),
        ([joined(1, 1, 2, 3)], "still-a-member"),
        # One that is not quorate may know less: what any of them lists counts.
        ([joined(1, 1, 2), joined(2, 1, 2, 3, quorate=False)], "still-a-member"),
        ([joined(1, 1, 2, quorate=False)], "cluster-not-visible"),
        ([stand_alone(1)], "cluster-not-visible"),
        # Members of another cluster do not list it, whatever it is.
        ([in_another(joined(1, 1, 2))], "cluster-not-visible"),
        ([joined(1, 1, 2, quorate=False), in_another(joined(2, 2))], "cluster-not-visible"),
        ([joined(1, 1, 2), in_another(joined(2, 2))], None),
        ([], "cluster-not-visible"),
    ],
)
def test_only_one_that_left_is_reset(seen: list[MembershipReport], code: str | None) -> None:
    reports = {report.node: report for report in seen}
    if code is None:
        reset.refuse_member("proxmox03", CLUSTER, reports)
        return
    with pytest.raises(AdminError) as refused:
        reset.refuse_member("proxmox03", CLUSTER, reports)
    assert refused.value.code == code
