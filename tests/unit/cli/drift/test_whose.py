"""What somebody else has, and what is not described any more, is told as that, with what the next run does with it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cli.drift import judge, questions, whose
from cli.drift.kinds import FOREIGN, PROVIDED, UNDESCRIBED
from cli.drift.look import Answer
from cli.state import ownership
from cli.state.belongings import CLUSTER
from cli.status.model import Wanted, WantedGuest
from cli.status.verdict import behind_ones_back, without_taken
from cluster.marks import VM as VM_KIND
from cluster.marks import Look, Thing
from components.recorded import BRIDGE_TYPE, GUEST, RESOURCE_TYPE, RULE_TYPE, VM_TYPE
from config.model import ContainerGuest
from onnode.contract.documents import document
from tests.unit.cli.drift.test_drift import STORAGE, WORKING, here, there
from tests.unit.cli.state.test_belongings import HOST, INTERFACES, entry, state
from tests.unit.cluster.test_existing_guests import WANTED as EXISTING_GUEST
from tests.unit.cluster.test_guests import CONTAINER

if TYPE_CHECKING:
    from cli.description import Description
    from cli.drift.model import Drift

MARK = "tags: nested-pve-ha;stack-dev\n"
OWN = "net0: virtio=BC:24:11:AA:00:01,bridge=vmbr0\n"
VM = f"name: vm01\ncores: 1\nmemory: 512\n{OWN}{MARK}"
COLLEAGUE = "name: colleague2\ncores: 3\nmemory: 333\nnet0: virtio=BC:24:11:FF:00:01,bridge=vmbr0\n"
REGISTERED = "vm: 200\n\tstate started\n\tcomment stack-dev\n"
PLACED = "node-affinity: vm01-placement\n\tresources vm:200\n\tcomment stack-dev\n"
COMPONENT = f"urn:pulumi:dev::p::{GUEST}::vm01"
OF_VM01 = [
    entry(
        VM_TYPE,
        {"vmId": 200, "nodeName": "proxmox01", "name": "vm01", "tags": ["nested-pve-ha", "stack-dev"]},
        name="vm01-vm",
    )
    | {"outputs": {"networkDevices": [{"macAddress": "BC:24:11:AA:00:01"}]}, "parent": COMPONENT},
    entry(RESOURCE_TYPE, {"resourceId": "vm:200", "state": "started", "comment": "stack-dev"}, name="vm01-ha")
    | {"parent": COMPONENT},
    entry(RULE_TYPE, {"rule": "vm01-placement", "type": "node-affinity", "resources": ["vm:200"]}, name="vm01-ha-rule")
    | {"parent": COMPONENT},
]
BRIDGE = entry(
    BRIDGE_TYPE,
    {"name": "vmbr1", "nodeName": HOST, "address": "10.10.1.1/24", "comment": "stack-dev", "ports": []},
    "virtual-api",
    "virtual-vmbr1",
)
CT_URN = "urn::ct01-container"


def files(vm: str | None = VM, ha: str = REGISTERED, rules: str = PLACED, **guests: str) -> dict[str, str]:
    """The cluster's, as a member shows them; `lxc_200=…` is a container."""
    found = {"/etc/pve/ha/resources.cfg": ha, "/etc/pve/ha/rules.cfg": rules}
    found |= {f"/etc/pve/nodes/proxmox03/{name.replace('_', '/')}.conf": text for name, text in guests.items()}
    return found if vm is None else {**found, "/etc/pve/nodes/proxmox03/qemu-server/200.conf": vm}


def looked(
    described: Description, recorded: dict[str, Any], cluster: dict[str, str], host: dict[str, str] | None = None
) -> list[Drift]:
    """What a look finds, as `over` puts it together."""
    asked = questions.of(recorded, ["virtual", "proxmox01"], "secret")
    answers = {"proxmox01": Answer(files=cluster, membership=WORKING)} | ({HOST: Answer(files=host)} if host else {})
    found = judge.drift(asked, answers, "proxmox01", [HOST])
    places = judge.places(answers, "proxmox01", [HOST])
    return whose.explained(whose.Inventory(described, recorded, asked, places), found)


def without(dev: Description, *vmids: int) -> Description:
    guests = [guest for guest in dev.config.guests if guest.vmid not in vmids]
    return replace(dev, config=dev.config.model_copy(update={"guests": guests}))


def test_what_is_ours_and_described_is_nobodys_finding(dev: Description) -> None:
    assert looked(dev, state(*OF_VM01), files()) == []
    changed = looked(dev, state(*OF_VM01), files(ha=REGISTERED.replace("started", "ignored")))
    assert [(one.name, one.kind) for one in changed] == [("vm01-ha", PROVIDED)]


@pytest.mark.parametrize("recorded", [state(*OF_VM01), state(), state(BRIDGE)], ids=["recorded", "nothing", "other"])
@pytest.mark.parametrize("ha", ["", REGISTERED.replace("stack-dev", "mine")], ids=["no-ha", "their-ha"])
def test_nobody_is_told_to_mark_a_vm_that_somebody_else_made(
    dev: Description, recorded: dict[str, Any], ha: str
) -> None:
    """Whoever obeyed let the next run destroy a colleague's VM."""
    found = looked(dev, recorded, files(COLLEAGUE, ha, ""))
    vm = found[0]
    assert (vm.where, vm.kind) == ("vm01", FOREIGN)
    assert "VM 200 (colleague2) on proxmox03, tags: none: not this stack's" in vm.what
    assert vm.next == "`make up` leaves it alone; give vm01 another vmid in the stack file"
    assert {one.kind for one in found} == {FOREIGN}  # nobody is sent to a run that is refused
    assert not any("nested-pve-ha" in one.next for one in found)


def test_a_container_under_the_number_of_a_vm_is_somebody_elses_too(dev: Description) -> None:
    found = looked(dev, state(*OF_VM01), files(None, "", "", lxc_200="hostname: box\n"))
    assert [(one.where, one.kind) for one in found] == [("vm01", FOREIGN)]
    assert "CT 200 (box)" in found[0].what


@pytest.mark.parametrize(
    ("text", "careful"),
    [
        (VM.replace(MARK, ""), True),
        (VM.replace(MARK, "tags: nested-pve-ha;stack-prod\n"), True),
        (VM.replace(MARK, "").replace("vm01", "vm02"), False),
        (VM.replace(MARK, "").replace("AA:00:01", "AA:00:02"), False),
    ],
)
def test_only_the_vm_that_was_recorded_may_have_lost_its_mark(dev: Description, text: str, *, careful: bool) -> None:
    found = looked(dev, state(*OF_VM01), files(text))
    assert found[0].kind == FOREIGN
    said = "only if it is this stack's own and lost its mark, give it the tags nested-pve-ha and stack-dev again"
    assert (said in found[0].next) is careful
    assert "give vm01 another vmid" in found[0].next


@pytest.mark.parametrize(
    ("interfaces", "careful"),
    [
        (INTERFACES.replace("#stack-dev", "#mine"), True),
        (INTERFACES.replace("#stack-dev", "#mine").replace("10.10.1.1/", "10.99.1.1/"), False),
        (INTERFACES.replace("#stack-dev", "#mine").replace("bridge-ports none", "bridge-ports eno7"), False),
    ],
)
def test_a_bridge_of_somebody_else_is_not_to_be_marked_either(
    dev: Description, interfaces: str, *, careful: bool
) -> None:
    found = looked(dev, state(BRIDGE), files(), {"/etc/network/interfaces": interfaces})
    assert [(one.where, one.kind) for one in found] == [(HOST, FOREIGN)]
    assert "interface vmbr1 on virtual, comment: mine: not this stack's" in found[0].what
    assert "choose another name for the bridge" in found[0].next
    assert ("lost its mark, give it the comment stack-dev again" in found[0].next) is careful


def test_a_node_s_vm_of_somebody_else_is_told_at_its_host(dev: Description) -> None:
    node = entry(VM_TYPE, {"vmId": 101, "nodeName": HOST, "name": "proxmox01"}, "virtual-api", "proxmox01-vm")
    at_host = {f"/etc/pve/nodes/{HOST}/qemu-server/101.conf": COLLEAGUE, "/etc/network/interfaces": INTERFACES}
    found = looked(dev, state(node), files(), at_host)
    assert [(one.where, one.kind) for one in found] == [(HOST, FOREIGN)]
    assert found[0].next == "`make up` leaves it alone; give the node another vmid in the stack file"


def test_a_registration_of_somebody_else_is_not_put_right(dev: Description) -> None:
    """The HA manager's rule of our name that is about somebody else's guest."""
    rule = "node-affinity: vm01-placement\n\tresources vm:999\n\tcomment mine\n"
    found = looked(dev, state(*OF_VM01), files(rules=rule))
    assert [(one.where, one.kind, one.name) for one in found] == [("cluster", FOREIGN, "vm01-ha-rule")]
    assert "give vm01 another name or vmid" in found[0].next


def test_a_container_of_somebody_else_is_not_put_right(dev: Description) -> None:
    guest = next(guest for guest in dev.config.guests if isinstance(guest, ContainerGuest))
    recorded = state(
        here("ct01-container", "container", document(replace(CONTAINER, vmid=guest.vmid, name=guest.name)))
    )
    found = looked(dev, recorded, files(**{f"lxc_{guest.vmid}": "hostname: theirs\nmemory: 7\n"}))
    assert [(one.where, one.kind, one.urn) for one in found] == [(guest.name, FOREIGN, CT_URN)]


@pytest.mark.parametrize(
    ("cluster", "what", "step"),
    [
        (
            files(COLLEAGUE, "", ""),
            "VM 200 (colleague2) on proxmox03, tags: none: not this stack's",
            "`make up` leaves it alone, and only takes it out of the state",
        ),
        (
            files(None, "", ""),
            "VM 200 (vm01) is gone, and not in the stack file any more",
            "`make up` only takes it out of the state",
        ),
        (files(), "VM 200 (vm01) on proxmox03", "otherwise `make up` destroys it with its disks"),
        (files(ha=""), "VM 200 (vm01) on proxmox03", "`make up` destroys it with its disks"),
        # Somebody marked it: the name as it is, and as it was.
        (
            files(COLLEAGUE + MARK),
            "VM 200 (colleague2) on proxmox03, tags: nested-pve-ha, stack-dev (recorded as vm01)",
            "`make up` destroys it with its disks",
        ),
    ],
)
def test_a_guest_that_is_not_described_any_more_is_told_once_with_what_becomes_of_it(
    dev: Description, cluster: dict[str, str], what: str, step: str
) -> None:
    """ "HA resource vm:200 is not in resources.cfg, next: make up", which destroyed it."""
    found = looked(without(dev, 200), state(*OF_VM01), cluster)
    assert [(one.where, one.kind, one.name) for one in found] == [("cluster", UNDESCRIBED, "vm01-vm")]
    assert what in found[0].what
    assert step in found[0].next
    (finding,) = behind_ones_back("home", found, [])
    assert finding.next == found[0].next.replace("make up", "make up STACK=home")


def test_a_guest_that_is_kept_is_only_forgotten(dev: Description) -> None:
    kept = state(*({**one, "retainOnDelete": True} for one in OF_VM01))
    (found,) = looked(without(dev, 200), kept, files())
    assert (found.kind, "only takes it out of the state" in found.next) == (UNDESCRIBED, True)


def test_a_container_and_a_storage_that_are_not_described_any_more(dev: Description) -> None:
    wanted = document(replace(CONTAINER, vmid=333, name="ct33"))
    other = here(
        "cluster-storage-other", "storage", {"members": wanted["members"], "storage": {**STORAGE, "name": "other"}}
    )
    recorded = state(here("ct33-container", "container", wanted), other)
    found = {one.name: one for one in looked(dev, recorded, files(lxc_333=f"hostname: ct33\n{MARK}"))}
    assert {one.kind for one in found.values()} == {UNDESCRIBED}
    assert "CT 333 (ct33) on proxmox03" in found["ct33-container"].what
    assert "destroys it with its disks" in found["ct33-container"].next
    assert "takes it out of the cluster; its content stays" in found["cluster-storage-other"].next


def test_an_existing_guest_that_is_not_described_any_more_is_said_to_run_on(dev: Description) -> None:
    recorded = state(here("web-existing-guest", "existing-guest", document(EXISTING_GUEST)))
    existing = "scsi0: shared:210/x.raw\nname: web\n"
    (found,) = looked(dev, recorded, {**files(), "/etc/pve/nodes/proxmox03/qemu-server/210.conf": existing})
    assert (found.kind, found.what) == (
        UNDESCRIBED,
        "vm:210 (web): under this stack's HA, and not in the stack file any more",
    )
    assert "it runs on" in found.next


def test_a_destroy_names_what_goes_as_it_is(dev: Description) -> None:
    """By number and live name; what is kept, and what is somebody else's and so forgotten before, is not named."""
    wanted = document(replace(CONTAINER, vmid=300, name="ct01"))
    node = entry(VM_TYPE, {"vmId": 101, "nodeName": HOST, "name": "proxmox01"}, "virtual-api", "proxmox01-vm")
    recorded = state(*OF_VM01, here("ct01-container", "container", wanted), node)
    cluster = files(COLLEAGUE + MARK, lxc_300=f"hostname: ct01\n{MARK}")
    places = {CLUSTER: cluster, HOST: {f"/etc/pve/nodes/{HOST}/qemu-server/101.conf": f"name: proxmox01\n{MARK}"}}
    looks = whose.Inventory(dev, recorded, questions.of(recorded, [], ""), places).looks
    named = [line.partition(",")[0] for line in whose.destroyed(recorded, looks)]
    assert named == ["CT 300 (ct01) on proxmox03", "VM 101 (proxmox01) on virtual", "VM 200 (colleague2) on proxmox03"]
    kept = state(*({**one, "retainOnDelete": True} for one in OF_VM01), node)
    assert [line[:6] for line in whose.destroyed(kept, looks)] == ["VM 101"]
    assert whose.destroyed(recorded, {}) == []


@pytest.mark.parametrize("ours", [True, False])
def test_a_destroy_names_the_nodes_that_steps_made(*, ours: bool) -> None:
    """Their disks go, too; a person is asked before."""
    made = there("proxmox01-vm", "libvirt-domain", "", json.dumps({"host": "kvmhost", "vmid": 101}))
    thing = Thing(VM_KIND, "101", "kvmhost", ours=ours, shown="VM 101 (domain proxmox01) on kvmhost")
    looks = {"kvmhost": [Look("kvmhost", "kvmhost", quorate=True, things=(thing,))]}
    assert whose.destroyed(state(made), looks) == ["VM 101 (domain proxmox01) on kvmhost"] * ours


def test_nothing_is_said_of_places_that_nobody_looked_at(dev: Description) -> None:
    asked = questions.of(state(*OF_VM01, BRIDGE), ["virtual"], "secret")
    assert whose.explained(whose.Inventory(without(dev, 200), state(*OF_VM01, BRIDGE), asked, {}), []) == []
    assert judge.places({"proxmox01": Answer([])}, "proxmox01", [HOST]) == {}


def test_what_the_status_shows_is_what_the_run_refuses(dev: Description) -> None:
    cluster = files(COLLEAGUE, "", "")
    places = {CLUSTER: cluster}
    recorded = state(*OF_VM01)
    looks = whose.Inventory(dev, recorded, questions.of(recorded, [], ""), places).looks
    taken = ownership.taken(dev, recorded, looks)
    assert [thing.shown for _, thing in taken] == ["VM 200 (colleague2) on proxmox03, tags: none"]


def test_nobody_looks_for_a_guest_under_ha_whose_number_somebody_else_has(dev: Description) -> None:
    guests = [WantedGuest("vm01", "vm:200", "started", []), WantedGuest("ct01", "ct:300", "started", [])]
    wanted = Wanted("dev", "dev", 9, [], [], guests)
    found = looked(dev, state(), files(COLLEAGUE, "", ""))
    assert [guest.name for guest in without_taken(wanted, found).guests] == ["ct01"]
    assert without_taken(wanted, []).guests == guests


def test_the_rule_of_a_guest_with_another_name_is_none_that_nobody_describes(dev: Description) -> None:
    """It gives way to one of the new name: `make up` takes nothing out of HA."""
    rule = entry(
        RULE_TYPE, {"rule": "old-placement", "type": "node-affinity", "resources": ["vm:200"]}, name="vm01-ha-rule"
    )
    rules = PLACED.replace("vm01-placement", "old-placement")
    renamed = state(*OF_VM01[:2], rule | {"parent": COMPONENT})
    assert UNDESCRIBED not in {one.kind for one in looked(dev, renamed, files(rules=rules))}
    other = state(*OF_VM01[:2], rule | {"urn": rule["urn"].replace("vm01-ha-rule", "other-ha-rule")})
    assert UNDESCRIBED in {one.kind for one in looked(dev, other, files(rules=rules))}
