"""VMs that were destroyed by hand: the node is installed anew; a member only where the cluster is quorate without it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from cli.drift import record
from cli.state import vanished
from cli.state.belongings import CLUSTER
from cli.state.outer_vms import nested_nodes
from cluster import marks
from cluster.errors import AdminError
from cluster.marks import Look, Thing
from components.recorded import VM_TYPE

if TYPE_CHECKING:
    from cli.description import Description

VM_2 = "urn:pulumi:dev::nested-pve-ha::x$vm::proxmox02-vm"


def step(name: str, *, within: str | None = None, after: tuple[str, ...] = ()) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "command:remote:Command", "urn": f"urn:{name}::{name}", "inputs": {}}
    found |= {"dependencies": list(after), "propertyDependencies": {"stdin": list(after)}}
    return found | ({"deletedWith": within} if within else {})


def state(*steps: dict[str, Any]) -> dict[str, Any]:
    vms = [
        {
            "type": VM_TYPE,
            "urn": VM_2.replace("02", f"0{number}"),
            "inputs": {"vmId": 100 + number, "nodeName": "virtual"},
        }
        for number in (1, 2, 3)
    ]
    return {"version": 3, "deployment": {"resources": [*vms, *steps]}}


def on_host(*vmids: int, host: str = "virtual") -> dict[str, list[Look]]:
    things = [Thing(marks.VM, str(vmid), host, ours=True, shown=f"VM {vmid}") for vmid in vmids]
    return {host: [Look(host, host, quorate=True, things=tuple(things))]}


@pytest.mark.parametrize(
    ("vms", "names"),
    [
        (on_host(101, 102, 103), []),
        (on_host(101, 103), ["proxmox02"]),
        (on_host(101, 103) | on_host(102, host="other"), ["proxmox02"]),
        (on_host(), ["proxmox01", "proxmox02", "proxmox03"]),
        # Nobody looked there: a preview goes on beside a host that does not answer.
        ({}, []),
    ],
)
def test_recorded_vms_are_looked_for_on_their_own_host(
    dev: Description, vms: dict[str, list[Look]], names: list[str]
) -> None:
    assert [node.name for node, _ in vanished.vanished_nodes(dev, state(), vms)] == names


def test_a_node_whose_disk_is_there_is_not_lost(dev: Description) -> None:
    """`virsh undefine` leaves it: the node is to go on from it, as the member that it is."""
    looks = on_host(101, 103)
    (look,) = looks["virtual"]
    disk = Thing(marks.DISK, "102", "virtual", ours=True, shown="disk")
    nodes = [node for node, _ in vanished.vanished_nodes(dev, state(), looks)]
    assert vanished.with_disk(nodes, looks) == []
    assert vanished.with_disk(nodes, {"virtual": [dataclasses.replace(look, things=(*look.things, disk))]}) == nodes
    assert vanished.with_disk(nodes, {"other": [dataclasses.replace(look, things=(disk,))]}) == []


def test_a_vm_on_the_host_that_the_node_was_described_on_before_is_not_gone(dev: Description) -> None:
    """It would have been forgotten while it runs: the engine is to move it, or to refuse."""
    known = state()
    known["deployment"]["resources"][1]["inputs"]["nodeName"] = "before"
    assert vanished.vanished_nodes(dev, known, on_host(101, 103)) == []


def test_what_nobody_recorded_cannot_vanish(dev: Description) -> None:
    assert vanished.vanished_nodes(dev, {"deployment": {}}, {}) == []


def test_what_lived_in_the_vm_is_forgotten_with_it_and_nothing_else() -> None:
    inside = step("proxmox02-prepare", within=VM_2)
    elsewhere = step("proxmox01-prepare", within=VM_2.replace("02", "01"))
    later = step("cluster-preflight", after=(inside["urn"], elsewhere["urn"]))
    kept = vanished.forget(state(inside, elsewhere, later), [VM_2])["deployment"]["resources"]
    assert [entry["urn"].rsplit("::")[-1] for entry in kept] == [
        "proxmox01-vm",
        "proxmox03-vm",
        "proxmox01-prepare",
        "cluster-preflight",
    ]
    assert kept[-1]["dependencies"] == [elsewhere["urn"]]
    assert kept[-1]["propertyDependencies"] == {"stdin": [elsewhere["urn"]]}


def membership(name: str, seed: str = "proxmox01") -> dict[str, Any]:
    inputs = {"stdin": json.dumps({"cluster": "proxmox", "seed": seed})}
    return {**step(name), "inputs": inputs, "outputs": dict(inputs)}


def of_cluster(*, quorate: bool = True, cluster: str = "proxmox") -> dict[str, list[Look]]:
    return {CLUSTER: [Look("proxmox02", "proxmox02", quorate, (), cluster)]}


NOBODY: dict[str, list[Look]] = {}


@pytest.mark.parametrize(("name", "made"), [("proxmox01", "cluster-create"), ("proxmox03", "cluster-join-proxmox03")])
@pytest.mark.parametrize("looks", [NOBODY, of_cluster(quorate=False), of_cluster(cluster="")])
def test_a_member_is_refused_where_no_quorate_member_can_let_go_of_it(
    dev: Description, name: str, made: str, looks: dict[str, list[Look]]
) -> None:
    node = next(node for node, _ in vanished.vanished_nodes(dev, state(), on_host()) if node.name == name)
    vanished.refuse_members(dev, state(membership("cluster-preflight")), [node], looks)
    with pytest.raises(AdminError) as caught:
        vanished.refuse_members(dev, state(membership(made)), [node], looks)
    assert caught.value.code == "member-vm-missing"
    assert name in caught.value.observed
    assert f"`pvecm delnode NAME` for each of {name}" in caught.value.fix
    vanished.refuse_members(dev, state(membership(made)), [node], of_cluster())


def test_who_created_the_cluster_is_no_member_under_another_name(dev: Description) -> None:
    node = nested_nodes(dev)[0]
    assert vanished.is_member(state(membership("cluster-create")), node)
    assert not vanished.is_member(state(membership("cluster-create", "proxmox02")), node)


def test_a_lost_member_joins_anew_and_the_identity_step_runs_before() -> None:
    """What the identity step remembers stays: it is not made anew, but run again."""
    identity = {**membership("design-identity"), "outputs": {"stdout": "facts"}}
    joins = [membership(f"cluster-join-proxmox0{n}") for n in (1, 2, 3)]
    later = step("cluster-verify", after=(joins[1]["urn"], joins[2]["urn"]))
    before = state(identity, *joins, later)
    found = vanished.released(before, ["proxmox02"])["deployment"]["resources"]
    assert [entry["urn"].rsplit("::")[-1] for entry in found][3:] == [
        "design-identity",
        "cluster-join-proxmox01",
        "cluster-join-proxmox03",
        "cluster-verify",
    ]
    assert found[3]["inputs"] == {**identity["inputs"], "update": "lost: proxmox02"}
    assert found[3]["outputs"] == {"stdout": "facts", "update": "lost: proxmox02"}
    assert found[-1]["dependencies"] == [joins[2]["urn"]]
    kept = record.marked({"deployment": {"resources": found}}, [])["deployment"]["resources"][3]
    assert kept["inputs"]["update"] == "lost: proxmox02", (
        "marks of drift that is gone are taken away, and this one stays"
    )


@pytest.mark.parametrize("qdevice", [True, False])
def test_under_a_qdevice_a_lost_member_has_it_removed_before_it_joins_anew_and_set_up_after(*, qdevice: bool) -> None:
    """Their inputs do not change, so the engine would not run these steps."""
    names = ["design-identity", "cluster-change", "cluster-settings", "cluster-verify"]
    steps = [membership(name) for name in [*names, *(["cluster-qdevice"] if qdevice else [])]]
    joins = [membership(f"cluster-join-proxmox0{n}") for n in (1, 2)]
    found = vanished.released(state(*steps, *joins), ["proxmox02"])["deployment"]["resources"]
    assert "cluster-join-proxmox02" not in {entry["urn"].rsplit("::")[-1] for entry in found}
    again = {"design-identity", *(("cluster-change", "cluster-qdevice") if qdevice else ())}
    for part in ("inputs", "outputs"):
        marked = {entry["urn"].rsplit("::")[-1]: entry.get(part, {}).get("update") for entry in found}
        assert {name: update for name, update in marked.items() if update} == dict.fromkeys(again, "lost: proxmox02")
