"""The step that tries the links before a cluster is made, on nodes that answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from cluster.contract import ClusterPreflight, LinkMtu
from cluster.errors import AdminError
from cluster.steps import link_preflight
from onnode.contract.links import LinkPeer, PreflightLink
from onnode.errors import StepError
from onnode.step import Outcome
from tests.unit.cluster.live_nodes import CALL, DOWN, HEALTHY_LINKS
from tests.unit.cluster.worlds import members

if TYPE_CHECKING:
    from tests.unit.cluster.live_nodes import LiveNodes

TRY = ClusterPreflight(members(3), [LinkMtu(0, 9000), LinkMtu(1, 1500)], 5.0)
NAMES = ["proxmox01", "proxmox02", "proxmox03"]


def bring_about() -> Outcome:
    return asyncio.run(link_preflight.bring_about(TRY, CALL))


def test_every_member_tries_its_links_once_and_a_second_run_does_the_same(nodes: LiveNodes) -> None:
    expected = Outcome(changed=False, facts={"latency_ms": {name: {"0": 0.2} for name in NAMES}})
    assert bring_about() == expected
    assert nodes.done == [(name, "link-preflight") for name in NAMES]
    assert bring_about() == expected
    assert nodes.done == [(name, "link-preflight") for name in NAMES] * 2
    assert not any(act.wanted.probe for act in nodes.acts), "nobody sends packets of its own where ping is answered"


def test_each_member_tries_all_others_on_each_link_with_packets_of_its_size(nodes: LiveNodes) -> None:
    bring_about()
    wanted = nodes.acts[1].wanted
    assert wanted.links == [
        PreflightLink(
            0, "10.10.1.186", [LinkPeer("proxmox01", "10.10.1.185"), LinkPeer("proxmox03", "10.10.1.187")], 9000
        ),
        PreflightLink(
            1, "10.20.1.186", [LinkPeer("proxmox01", "10.20.1.185"), LinkPeer("proxmox03", "10.20.1.187")], 1500
        ),
    ]
    assert wanted.latency_max_ms == 5.0


def test_where_ping_tells_nothing_all_members_try_again_with_packets_of_their_own(nodes: LiveNodes) -> None:
    nodes.links = {**HEALTHY_LINKS, "silent": ["link 0 to proxmox02 (10.10.1.186)"]}
    bring_about()
    assert [(act.node, act.wanted.probe) for act in nodes.acts] == [
        *((name, False) for name in NAMES),
        *((name, True) for name in NAMES),
    ]


@pytest.mark.parametrize("code", ["link-address", "link-unreachable", "link-mtu", "link-lossy", "link-slow"])
def test_what_a_member_finds_is_passed_on_with_its_name(nodes: LiveNodes, code: str) -> None:
    nodes.errors["link-preflight"] = AdminError(code, "packets are lost", observed="link 0 to proxmox02 3 of 5")
    with pytest.raises(StepError) as refused:
        bring_about()
    assert refused.value.code == code
    assert "link 0 to proxmox02 3 of 5" in refused.value.render()
    assert "on: proxmox01" in refused.value.render()


def test_a_member_that_does_not_answer_is_a_refusal(nodes: LiveNodes) -> None:
    nodes.silent["proxmox03"] = DOWN
    nodes.links = {**HEALTHY_LINKS, "silent": ["link 0 to proxmox03 (10.10.1.187)"]}
    with pytest.raises(StepError) as refused:
        bring_about()
    assert refused.value.code == "host-unreachable"
    assert nodes.done == [(name, "link-preflight") for name in NAMES[:2]]
