"""A node's VM that a step made on a host with libvirt: where it is asked about, and what is known of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cli.drift import installations, questions
from cli.state import outer_vms, protection, vanished
from cluster import marks
from cluster.errors import AdminError
from cluster.marks import Look, Thing
from components.recorded import DOMAIN, NODE, ON_NODE, REMOTE_STEP
from config.load import validate
from tests.support.program import stack_file

if TYPE_CHECKING:
    from cli.description import Description

PARENT = f"urn:pulumi:dev::p::{NODE}::proxmox01"
URN = "urn:pulumi:dev::p::x$command:remote:Command::proxmox01-vm"
INSTALL = "urn:pulumi:dev::p::x$command:remote:Command::proxmox01-install"
NOTE = "/var/lib/nested-pve-ha/install/dev/101.json"
FILE = "/etc/libvirt/qemu/proxmox01.xml"
XML = (
    '<domain xmlns:ha="urn:nested-pve-ha"><name>proxmox01</name><uuid>u1</uuid>'
    '<metadata><ha:stack name="dev" vmid="101"/></metadata></domain>'
)
GOOD = {FILE: XML, NOTE: json.dumps({"installed": True, "identity": "u1"})}


def resource(name: str, step: str, wanted: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any part of it
    inputs = {"create": f"{ON_NODE} {step}", "stdin": json.dumps(wanted)}
    return {"urn": name, "type": REMOTE_STEP, "parent": PARENT, "inputs": inputs, **more}


def state(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - as there
    domain = resource(URN, DOMAIN, {"stack": "dev", "host": "kvmhost", "vmid": 101, "name": "proxmox01"}, **more)
    return {"deployment": {"resources": [domain, resource(INSTALL, "install-node", {})]}}


@pytest.fixture
def described(dev: Description) -> Description:
    return replace(dev, config=validate(stack_file("libvirt")))


def test_its_host_is_asked_and_not_the_node_that_it_is_of() -> None:
    asked = questions.of(state(), ["kvmhost", "proxmox01"], "secret")
    assert {name: [(one.name, one.step) for one in steps] for name, steps in asked.there.items()} == {
        "kvmhost": [(URN, DOMAIN)]
    }


def test_it_is_a_recorded_vm_of_its_host() -> None:
    (found,) = outer_vms.recorded(state()).values()
    assert (found.vmid, found.urn, found.host) == (101, URN, "kvmhost")


@pytest.mark.parametrize(("there", "lost"), [(True, []), (False, [("proxmox01", URN)])])
def test_one_that_is_gone_by_hand_is_seen(described: Description, there: bool, lost: list[tuple[str, str]]) -> None:  # noqa: FBT001 - a column
    things = (Thing(marks.VM, "101", "kvmhost", ours=True, shown="", domain="proxmox01"),) if there else ()
    looks = {"kvmhost": [Look("kvmhost", "kvmhost", quorate=True, things=things)]}
    found = vanished.vanished_nodes(described, state(), looks)
    assert [(node.name, urn) for node, urn in found] == lost


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (GOOD, ""),
        ({NOTE: GOOD[NOTE]}, ""),
        ({FILE: XML}, f"{NOTE} is gone"),
        ({**GOOD, NOTE: "{"}, f"{NOTE} is damaged"),
        (
            {**GOOD, NOTE: json.dumps({"installed": True, "identity": "u0"})},
            f"{NOTE} does not say that this VM 101 is installed",
        ),
        ({**GOOD, FILE: XML.replace("101", "102")}, ""),
    ],
)
def test_the_hosts_note_on_its_installation_belongs_to_that_very_domain(files: dict[str, str], what: str) -> None:
    found = list(installations.differ(questions.of(state(), ["kvmhost"], ""), {"kvmhost": files}))
    assert [(one.urn, one.where, one.what) for one in found] == ([(INSTALL, "kvmhost", what)] if what else [])


def test_a_protected_one_of_a_node_that_is_left_out_is_refused(described: Description) -> None:
    left = [node for node in described.config.nodes if node.name != "proxmox01"]
    protecting = replace(
        described, config=described.config.model_copy(update={"nodes": tuple(left), "protect_nodes": True})
    )
    with pytest.raises(AdminError) as error:
        protection.released(protecting, state(protect=True))
    assert error.value.code == "node-protected"
    assert protection.released(protecting, state()) == state()
