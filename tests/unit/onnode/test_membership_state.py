"""What makes a node stand-alone, half joined or a member: the key of the cluster counts as much as its configuration."""

from __future__ import annotations

import base64
import dataclasses
from typing import TYPE_CHECKING

import pytest

from onnode.cluster import corosync, join_cluster, membership
from tests.support.onnode_worlds import run
from tests.unit.onnode.test_cluster import AUTHKEY, JOIN, LOCAL_CONF, PVE_CONF, Joiner, conf

if TYPE_CHECKING:
    from tests.support.fake_machine import FakeMachine

CONF = corosync.parse_conf(conf(1, 2))
WHOLE = membership.NodeState(
    "proxmox02", CONF, CONF, authkey=True, pve_mounted=True, pve_writable=True, certificate="AA:02"
)
NOTHING = membership.NodeState("proxmox02", pve_mounted=True, pve_writable=True, certificate="AA:02")


@pytest.mark.parametrize(
    ("observed", "state", "missing"),
    [
        pytest.param(WHOLE, "member", [], id="whole"),
        pytest.param(dataclasses.replace(WHOLE, authkey=False), "half", [AUTHKEY], id="without the key"),
        pytest.param(dataclasses.replace(WHOLE, local_conf=None), "half", [LOCAL_CONF], id="without its configuration"),
        pytest.param(
            dataclasses.replace(WHOLE, pve_conf=None), "half", [f"{PVE_CONF} naming this node"], id="alone in /etc/pve"
        ),
        pytest.param(
            dataclasses.replace(WHOLE, pve_conf=corosync.parse_conf(conf(1))),
            "half",
            [f"{PVE_CONF} naming this node"],
            id="not listed",
        ),
        pytest.param(
            dataclasses.replace(WHOLE, certificate=None), "half", ["node certificate"], id="without a certificate"
        ),
        pytest.param(
            dataclasses.replace(WHOLE, pve_mounted=False), "half", ["mounted /etc/pve"], id="without a mounted /etc/pve"
        ),
        pytest.param(
            dataclasses.replace(NOTHING, authkey=True),
            "half",
            [LOCAL_CONF, f"{PVE_CONF} naming this node"],
            id="the key alone",
        ),
    ],
)
def test_one_part_that_is_missing_makes_half_a_member(
    observed: membership.NodeState, state: str, missing: list[str]
) -> None:
    assert (observed.state, observed.missing) == (state, missing)
    assert membership.told(observed).missing == missing


def test_a_node_without_any_part_is_stand_alone() -> None:
    assert NOTHING.state == "absent"
    assert membership.told(NOTHING).missing == [], "only half a member misses something"


def test_the_key_is_looked_for_on_the_machine(machine: FakeMachine) -> None:
    Joiner(machine)
    run(machine, join_cluster.STEP, JOIN)
    assert run(machine, membership.STEP, None).facts["state"] == "member"
    machine.remove(AUTHKEY)
    facts = run(machine, membership.STEP, None).facts
    assert (facts["state"], facts["missing"]) == ("half", [AUTHKEY])


def test_a_key_that_a_killed_join_left_is_looked_for_on_the_machine(machine: FakeMachine) -> None:
    """`pvecm add` refuses to join while it is there, so the node is not stand-alone."""
    Joiner(machine)
    assert run(machine, membership.STEP, None).facts["state"] == "absent"
    machine.write(AUTHKEY, "key")
    facts = run(machine, membership.STEP, None).facts
    assert (facts["state"], facts["missing"]) == ("half", [LOCAL_CONF, f"{PVE_CONF} naming this node"])


def test_the_shared_configuration_is_the_newer_one(machine: FakeMachine) -> None:
    """A node that was down while the cluster changed has the old list in its own file until corosync starts."""
    node = Joiner(machine)
    run(machine, join_cluster.STEP, JOIN)
    machine.write(PVE_CONF, conf(1, 2, 3))
    assert machine.read(LOCAL_CONF) == conf(1, 2)
    facts = run(machine, membership.STEP, None).facts
    assert (facts["config_version"], [one["id"] for one in facts["nodes"]]) == (3, [1, 2, 3])
    node.unmount()
    assert run(machine, membership.STEP, None).facts["config_version"] == 2, "what it has when /etc/pve is away"


@pytest.mark.parametrize("damaged", ["no base64!", "caf\udce9", ""])
def test_a_damaged_certificate_or_key_has_no_fingerprint(damaged: str) -> None:
    """Bytes that are no UTF-8 arrive as halves of characters."""
    whole = base64.b64encode(b"a certificate").decode()
    pem = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
    assert membership.fingerprint(pem.format(whole))
    assert membership.fingerprint(pem.format(damaged)) is None
    assert membership.key_fingerprints(f"ssh-rsa AAAA{damaged}é x\nssh-rsa AAAA y\n") == membership.key_fingerprints(
        "ssh-rsa AAAA y"
    )
    assert membership.key_fingerprints("ssh-rsa AAAA y")
