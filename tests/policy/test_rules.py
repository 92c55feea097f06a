"""Each rule: what it refuses and in which words, what it lets pass, what it cannot know, what is none of its business."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from policy.pve_policies import HOST_CPU, NESTED_ON, POLICIES, TWO_LINKS, resources
from tests.support.policy import UNKNOWN_BOOLEAN, UNKNOWN_STRING, analyze
from tests.support.program import ROOT, Recording, run, stack_file

if TYPE_CHECKING:
    from pathlib import Path

    from pulumi_policy import ResourceValidationPolicy

STORAGE = "proxmoxve:storage/nfs:Nfs"


def link(number: int, subnet: str, bridge: str = "") -> dict[str, Any]:
    return {"number": number, "subnet": subnet, "bridges": {"virtual": bridge} if bridge else {}}


TWO = [link(0, "10.10.1.0/24", "vmbr1"), link(1, "10.20.1.0/24", "vmbr2")]
DESIGN: dict[str, Any] = {
    "outerHosts": [{"name": "virtual", "nested": True}],
    "nodes": [{"name": "proxmox01", "kind": "nested", "cpuType": "host"}, {"name": "pve1", "kind": "existing"}],
    "cluster": {"name": "proxmox", "links": TWO},
}
HOST = {"host": "virtual", "nested": True}
VM = {"name": "proxmox01", "cpu": {"type": "host", "cores": 4}}
CLUSTER = {"name": "proxmox", "links": TWO}
NODE, GUEST = resources.NESTED_PVE_NODE, "nested-pve-ha:index:HaGuest"

# Rule, type, parent's type, properties.
GOOD: list[tuple[ResourceValidationPolicy, str, str, dict[str, Any]]] = [
    (NESTED_ON, resources.DESIGN, "", DESIGN),
    (NESTED_ON, resources.DESIGN, "", DESIGN | {"outerHosts": []}),
    (NESTED_ON, resources.HOST_PREP, "", HOST),
    (HOST_CPU, resources.DESIGN, "", DESIGN),
    (HOST_CPU, resources.VM, NODE, VM),
    (TWO_LINKS, resources.DESIGN, "", DESIGN),
    (TWO_LINKS, resources.COROSYNC_CLUSTER, "", CLUSTER),
    (
        TWO_LINKS,
        resources.COROSYNC_CLUSTER,
        "",
        {"name": "p", "links": [link(0, "10.1.0.0/24"), link(1, "10.2.0.0/24")]},
    ),
]

# The same, and what the message says: resource and value found, then the fix.
BAD: list[tuple[ResourceValidationPolicy, str, str, dict[str, Any], str, str]] = [
    (NESTED_ON, resources.DESIGN, "", DESIGN | {"outerHosts": [{"name": "virtual", "nested": False}]}, "subject: outer host virtual has nested: false", "Set nested: true for virtual"),
    (NESTED_ON, resources.HOST_PREP, "", HOST | {"nested": False}, "outer host virtual has nested: false", "Set nested: true"),
    (NESTED_ON, resources.HOST_PREP, "", {"host": "virtual"}, "outer host virtual has nested: none", "Set nested: true"),
    (HOST_CPU, resources.DESIGN, "", DESIGN | {"nodes": [{"name": "n1", "kind": "nested", "cpuType": "kvm64"}]}, "nested node n1 has CPU type kvm64", "Set cpuType: host for n1"),
    (HOST_CPU, resources.VM, NODE, VM | {"cpu": {"type": "x86-64-v2-AES"}}, "proxmox01 has CPU type x86-64-v2-AES", "Set cpuType: host"),
    (HOST_CPU, resources.VM, NODE, VM | {"cpu": {"cores": 4}}, "proxmox01 has CPU type qemu64", "Set cpuType: host"),
    (HOST_CPU, resources.VM, NODE, {"name": "proxmox01"}, "proxmox01 has CPU type qemu64", "Set cpuType: host"),
    (TWO_LINKS, resources.DESIGN, "", DESIGN | {"cluster": {"name": "proxmox", "links": TWO[:1]}}, "subject: cluster proxmox has 1 Corosync link", "Add a second entry"),
    (TWO_LINKS, resources.COROSYNC_CLUSTER, "", CLUSTER | {"links": []}, "has 0 Corosync link", "Add a second entry"),
    (TWO_LINKS, resources.COROSYNC_CLUSTER, "", CLUSTER | {"links": [link(0, "10.10.1.0/24"), link(1, "10.10.0.0/16")]}, "links 0 and 1 in one network (10.10.1.0/24 and 10.10.0.0/16)", "subnet of its own"),
    (TWO_LINKS, resources.DESIGN, "", DESIGN | {"cluster": {"name": "p", "links": [link(0, "10.1.0.0/24", "vmbr1"), link(1, "10.2.0.0/24", "vmbr1")]}}, "links 0 and 1 on bridge vmbr1 of virtual", "bridge of its own"),
]  # fmt: skip

UNKNOWN: list[tuple[ResourceValidationPolicy, str, str, dict[str, Any]]] = [
    (NESTED_ON, resources.HOST_PREP, "", HOST | {"nested": UNKNOWN_BOOLEAN}),
    (HOST_CPU, resources.VM, NODE, VM | {"cpu": {"type": UNKNOWN_STRING}}),
    (TWO_LINKS, resources.COROSYNC_CLUSTER, "", CLUSTER | {"links": [link(0, UNKNOWN_STRING), TWO[1]]}),
]


@pytest.mark.parametrize(("rule", "type_", "parent", "properties"), GOOD)
def test_good_designs_pass(rule: ResourceValidationPolicy, type_: str, parent: str, properties: dict[str, Any]) -> None:
    assert analyze(rule, type_, properties, parent=parent) == []


@pytest.mark.parametrize(("rule", "type_", "parent", "properties", "found", "fix"), BAD)
def test_bad_designs_are_refused_with_the_value_and_the_fix(  # noqa: PLR0913, PLR0917 - a row of the table
    rule: ResourceValidationPolicy, type_: str, parent: str, properties: dict[str, Any], found: str, fix: str
) -> None:
    (finding,) = analyze(rule, type_, properties, parent=parent)
    assert finding.mandatory
    assert found in finding.message
    assert fix in finding.message


@pytest.mark.parametrize(("rule", "type_", "parent", "properties"), UNKNOWN)
def test_what_is_not_known_yet_is_advice(
    rule: ResourceValidationPolicy, type_: str, parent: str, properties: dict[str, Any]
) -> None:
    (finding,) = analyze(rule, type_, properties, parent=parent)
    assert not finding.mandatory
    assert "can't be known during preview" in finding.message


@pytest.mark.parametrize("rule", POLICIES, ids=lambda rule: rule.name)
def test_other_resources_are_none_of_its_business(rule: ResourceValidationPolicy) -> None:
    assert analyze(rule, STORAGE, {"nested": False, "cpu": {"type": "kvm64"}, "links": []}) == []


def test_a_guest_may_have_any_processor() -> None:
    """Positive control: the same VM is refused below a node."""
    guest = {"name": "vm01", "cpu": {"type": "qemu64"}}
    assert analyze(HOST_CPU, resources.VM, guest, parent=GUEST) == []
    assert analyze(HOST_CPU, resources.VM, guest) == []
    assert analyze(HOST_CPU, resources.VM, guest, parent=NODE) != []


def test_every_rule_is_mandatory_and_has_both_directions() -> None:
    assert [rule.name for rule in POLICIES] == [
        "nested-virtualization-on",
        "nested-node-cpu-host",
        "two-independent-links",
    ]
    for rule in POLICIES:
        assert rule in [case[0] for case in GOOD]
        assert rule in [case[0] for case in BAD]
        assert rule in [case[0] for case in UNKNOWN]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return run(stack_file("dev"), tmp_path_factory.mktemp("program"))


def judged(recording: Recording) -> list[tuple[str, str]]:
    """What the rules say about everything that the program registers: resource and message."""
    return [
        (resource.name, finding.message)
        for resource in recording.resources.values()
        for rule in POLICIES
        for finding in analyze(rule, resource.type, resource.inputs, parent=_type_of_parent(recording, resource.parent))
    ]


def _type_of_parent(recording: Recording, urn: str) -> str:
    return recording.resources[urn].type if urn in recording.resources else ""


def test_the_program_and_the_rules_mean_the_same_properties(recording: Recording, tmp_path: Path) -> None:
    assert judged(recording) == []
    bad = copy.deepcopy(stack_file("dev"))
    bad["outerHosts"][0]["nested"] = False
    bad["nodes"][1]["cpuType"] = "kvm64"
    bad["cluster"]["links"].pop()
    for node in bad["nodes"]:
        node["links"].pop()
    by_resource = sorted(name for name, _ in judged(run(bad, tmp_path)))
    assert by_resource == ["cluster", "design", "design", "design", "proxmox02-vm", "virtual"]


def test_the_pack_never_imports_the_program() -> None:
    """It runs in a process of its own, and must judge what the program registered, not what it would compute."""
    code = "import sys; sys.path.insert(0, 'policy'); import pve_policies; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "pve_policies" in loaded
    assert not loaded & {"components", "onnode", "admin", "pulumi_proxmoxve", "pulumi_command"}
