"""What is told of a changed stack file, and what it means for a cluster that runs."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cli.report import changes as module
from cli.report.changes import Change, changes
from cli.report.described import whole
from cli.report.known import KNOWN, Mark
from config.load import validate
from tests.support.fourth_node import NODE4, ROOM
from tests.support.program import change, stack_file

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4YpXn0p2Jm0jv3b3kV7mXq5qY2g4l8nQmYQ9pXk3Zt"
GUEST = {**stack_file("dev")["guests"][0], "name": "vm02", "vmid": 201}

# What is changed in stack dev, and what is told of it: place, text, effect, mark.
TOLD: list[tuple[dict[str, Any], str, str, str, Mark]] = [
    ({"nodes.1.memoryMib": 1024}, "node proxmox02", "memory in MiB 2048 → 1024", "next stopped and started", Mark.NONE),
    ({"nodes.1.cores": 2}, "node proxmox02", "processors 4 → 2", "next stopped and started", Mark.NONE),
    ({"nodes.1.links.1": "10.20.1.196"}, "node proxmox02", "link 1 address 10.20.1.186 → 10.20.1.196", "out of use meanwhile", Mark.QUORUM),
    ({"nodes.1.votes": 2}, "node proxmox02", "votes 1 → 2", "in the live cluster", Mark.NONE),
    ({"nodes.1.vmid": 111}, "node proxmox02", "vmid 102 → 111", "vm-changed", Mark.REFUSED),
    ({"nodes.1.address": "192.168.0.196"}, "node proxmox02", "management address 192.168.0.186 → 192.168.0.196", "change it there first", Mark.QUORUM),
    ({"nodes.1.macs": {"vmbr1": "BC:24:11:00:00:01"}}, "node proxmox02", "MAC address on vmbr1", "matched by MAC", Mark.QUORUM),
    ({"nodes.1.networks": ["10.30.1.196"]}, "node proxmox02", "further addresses 10.30.1.186 → 10.30.1.196", "reloaded", Mark.RESTART),
    ({"cluster.seed": "proxmox02"}, "cluster", "seed proxmox01 → proxmox02", "creates the cluster", Mark.NONE),
    ({"cluster.name": "other"}, "cluster", "name proxmox → other", "other-cluster", Mark.REFUSED),
    ({"cluster.links.1.priority": 5}, "cluster", "link 1 priority 10 → 5", "in the live cluster", Mark.NONE),
    ({"cluster.links.1.priority": None}, "cluster", "link 1 priority 10 → none", "any is accepted", Mark.NONE),
    ({"cluster.totem": {"tokenMs": 4000}}, "cluster", "setting of corosync none → 4000", "in the live cluster", Mark.NONE),
    ({"cluster.totem": {"linkMode": "active"}}, "cluster", "link mode none → active", "node by node", Mark.QUORUM),
    ({"cluster.options.migrationNetwork": None}, "cluster", "migration network 10.30.1.0/24 → none", "next live migrations", Mark.NONE),
    ({"cluster.options.haShutdownPolicy": "freeze"}, "cluster", "HA shutdown policy migrate → freeze", "next shutdown", Mark.NONE),
    ({"cluster.api.user": "ops@pve"}, "cluster", "API user pulumi@pve → ops@pve", "the old one stays", Mark.NONE),
    ({"outerHosts.0.nested": False}, "outer host virtual", "nested virtualization true → false", "no VM runs", Mark.NONE),
    ({"outerHosts.0.bridges.0.dhcp.end": "10.10.1.30"}, "outer host virtual", "DHCP end on vmbr1 10.10.1.20 → 10.10.1.30", "restarted", Mark.NONE),
    ({"outerHosts.0.memoryMib": 16384}, "outer host virtual", "memory for nodes in MiB 8192 → 16384", "", Mark.NONE),
    ({"maintenance": {"repository": "keep"}}, "stack", "repository of the nodes no-subscription → keep", "not upgraded", Mark.NONE),
    ({"guests.0.memoryMib": 600}, "guest vm01", "memory in MiB 512 → 600", "next stopped and started", Mark.NONE),
    ({"guests.0.vmid": 250}, "guest vm01", "vmid 200 → 250", "guest-changed", Mark.REFUSED),
    ({"guests.0.diskGib": 8}, "guest vm01", "disk in GiB none → 8", "enlarged while it runs", Mark.NONE),
    ({"guests.0.keep": True}, "guest vm01", "keep false → true", "left out of the stack file after this run", Mark.NONE),
    ({"guests.0.ha.state": "stopped"}, "guest vm01", "HA state started → stopped", "starts or stops", Mark.RESTART),
    ({"guests.0.ha.nodes": {"proxmox01": 1, "proxmox02": 1}}, "guest vm01", "HA nodes proxmox01 (2), proxmox02 (1), proxmox03 (1) → proxmox01 (1), proxmox02 (1)", "a VM live", Mark.NONE),
    ({"guests.1.address": "192.168.0.50/24"}, "guest ct01", "address dhcp → 192.168.0.50", "never replaced", Mark.REFUSED),
    ({"guests.+": GUEST}, "guest vm02", "is made, and put under HA", "", Mark.NONE),
    ({"protectNodes": True}, "stack", "protection of the nodes' VMs false → true", "", Mark.NONE),
    ({"nodes.1.cpuType": "kvm64"}, "node proxmox02", "CPU type host → kvm64", "next stopped and started", Mark.NONE),
    ({"nodes.1.diskGib": 40}, "node proxmox02", "disk in GiB 32 → 40", "only enlarges", Mark.NONE),
    ({"nodes.1.nodeId": 9}, "node proxmox02", "Corosync number 2 → 9", "identity-changed", Mark.REFUSED),
    ({"nodes.1.watchdog": "iTCO_wdt"}, "node proxmox02", "watchdog softdog → iTCO_wdt", "never set", Mark.NONE),
    ({"cluster.latencyMaxMs": 9}, "cluster", "latencyMaxMs 5 → 9", "", Mark.NONE),
    ({"cluster.links.0.mtu": 1400}, "cluster", "link 0 mtu 1500 → 1400", "", Mark.NONE),
    ({"cluster.api.endpoint": "https://elsewhere:8006"}, "cluster", "api.endpoint https://pve.lab.internal:8006 → https://elsewhere:8006", "passwords are sent there", Mark.TRUST),
    ({"cluster.onDestroy": "keep"}, "stack", "guests outlive the stack (onDestroy) false → true", "make down", Mark.NONE),
    ({"outerHosts.0.cores": 16}, "outer host virtual", "processors for nodes 12 → 16", "", Mark.NONE),
    ({"outerHosts.0.diskGib": 256}, "outer host virtual", "disk for nodes in GiB 128 → 256", "", Mark.NONE),
    ({"outerHosts.0.repository": "keep"}, "outer host virtual", "repository no-subscription → keep", "source lists", Mark.NONE),
    ({"outerHosts.0.bridges.1.address": "10.20.1.2/24"}, "outer host virtual", "address of vmbr2 10.20.1.1 → 10.20.1.2", "reloaded", Mark.NONE),
    ({"outerHosts.0.bridges.1.mtu": 9000}, "outer host virtual", "bridges[vmbr2].mtu 1500 → 9000", "", Mark.NONE),
    ({"outerHosts.0.bridges.+": {"name": "vmbr4", "address": "10.40.1.1/24"}}, "outer host virtual", "gets bridge vmbr4", "reloaded", Mark.NONE),
    ({"outerHosts.0.hostKey": KEY}, "outer host virtual", "SSH host key none → ssh-ed25519", "whoever has that key", Mark.TRUST),
    ({"maintenance": {"upgrade": False}}, "stack", "maintenance.upgrade true → false", "", Mark.NONE),
    ({"storages.0.server": "10.30.1.2"}, "storage shared", "server 10.30.1.1 → 10.30.1.2", "is replaced under", Mark.RESTART),
    ({"templates.0.vmid": 9001}, "template debian-template", "vmid 9000 → 9001", "no longer managed", Mark.LEFT),
    ({"templates.0.cores": 2}, "template debian-template", "cores 1 → 2", "", Mark.NONE),
    ({"guests.0.cores": 2}, "guest vm01", "processors 1 → 2", "next stopped and started", Mark.NONE),
    ({"guests.0.node": "proxmox02"}, "guest vm01", "node proxmox01 → proxmox02", "only where it is made", Mark.NONE),
    ({"guests.0.ha.strict": True}, "guest vm01", "HA strict false → true", "a VM live", Mark.NONE),
    ({"guests.0.ha.failback": False}, "guest vm01", "HA failback true → false", "", Mark.NONE),
    ({"guests.0.ha.nodes.proxmox01": 5}, "guest vm01", "HA nodes proxmox01 (2), proxmox02 (1), proxmox03 (1) → proxmox01 (5)", "a VM live", Mark.NONE),
    ({"guests.1.vmid": 301}, "guest ct01", "vmid 300 → 301", "guest-changed", Mark.REFUSED),
    ({"guests.1.memoryMib": 600}, "guest ct01", "memory in MiB 512 → 600", "at once", Mark.NONE),
    ({"guests.1.cores": 2}, "guest ct01", "processors 1 → 2", "at once", Mark.NONE),
    ({"guests.1.diskGib": 2}, "guest ct01", "disk in GiB 1 → 2", "enlarged while it runs", Mark.NONE),
    ({"guests.1.ha.strict": True}, "guest ct01", "HA strict false → true", "stopped and started for that", Mark.RESTART),
    ({"guests.1.ha.nodes": {"proxmox02": 1, "proxmox03": 1}}, "guest ct01", "HA nodes", "stopped and started for that", Mark.RESTART),
]  # fmt: skip


# What no stack file of ours can change alone, changed in the design itself.
ALTERED: list[tuple[str, dict[str, Any], str, str, Mark]] = [
    ("dev", {"nodes.1.host": "other"}, "node proxmox02", "outer host virtual → other", Mark.REPLACE),
    ("dev", {"nodes.1.hostKey": KEY}, "node proxmox02", "SSH host key", Mark.TRUST),
    ("dev", {"cluster.links.1.subnet": "10.50.1.0/24"}, "cluster", "link 1 subnet 10.20.1.0/24 → 10.50.1.0/24", Mark.NONE),
    ("dev", {"cluster.api.tls": "verified"}, "cluster", "api.tls pinned → verified", Mark.TRUST),
    ("dev", {"outerHosts.0.address": "192.168.0.9"}, "outer host virtual", "address 192.168.0.180 → 192.168.0.9", Mark.TRUST),
    ("dev", {"outerHosts.0.endpoint": "https://other:8006"}, "outer host virtual", "endpoint https://", Mark.TRUST),
    ("dev", {"outerHosts.0.tls": "verified"}, "outer host virtual", "tls pinned → verified", Mark.TRUST),
    ("dev", {"outerHosts.0.installer.url": "http://other/x.iso"}, "outer host virtual", "installer.url http://", Mark.TRUST),
    ("dev", {"outerHosts.0.bridges.0.subnet": "10.10.0.0/16"}, "outer host virtual", "subnet of vmbr1", Mark.NONE),
    ("dev", {"maintenance.uri": "http://other/pve"}, "stack", "package source of the nodes http://", Mark.TRUST),
    ("dev", {"storages.0.export": "/srv/other"}, "storage shared", "export /srv/pve-shared → /srv/other", Mark.RESTART),
    ("dev", {"storages.0.kind": "external"}, "storage shared", "kind nfs → external", Mark.RESTART),
    ("dev", {"guests.0.existing": True}, "guest vm01", "existing none → true", Mark.REFUSED),
    ("dev", {"guests.0.bridge": "vmbr3"}, "guest vm01", "bridge vmbr0 → vmbr3", Mark.NONE),
    ("dev", {"guests.1.bridge": "vmbr3"}, "guest ct01", "bridge vmbr0 → vmbr3", Mark.REFUSED),
    ("dev", {"guests.0.storage": "fast"}, "guest vm01", "storage shared → fast", Mark.NONE),
    ("dev", {"guests.1.storage": "fast"}, "guest ct01", "storage shared → fast", Mark.REFUSED),
    ("dev", {"guests.0.kind": "container"}, "guest vm01", "kind vm → container", Mark.REFUSED),
    ("dev", {"guests.0.template": "other"}, "guest vm01", "template debian-template → other", Mark.NONE),
    ("dev", {"guests.1.template.fileName": "x.tar.zst"}, "guest ct01", "template fileName debian", Mark.NONE),
    ("dev", {"guests.1.diskGib": 0.5}, "guest ct01", "disk in GiB 1 → 0.5", Mark.REFUSED),
    ("dev", {"guests.0.ha.preferred": ["proxmox02"]}, "guest vm01", "preferred node none → proxmox02", Mark.NONE),
    ("dev", {"guests.1.ha.preferred": ["proxmox03"]}, "guest ct01", "preferred node none → proxmox03", Mark.RESTART),
    ("dev", {"nodes.1.kind": "existing"}, "node proxmox02", "kind nested → existing", Mark.REFUSED),
    ("dev", {"plainSecrets": ["x:password"]}, "stack", "plain secrets in the stack file none → x:password", Mark.NONE),
    ("dev", {"pveMajor": 8}, "stack", "Proxmox VE's major version 9 → 8", Mark.NONE),
    ("physical", {"nodes.0.memoryMib": 4096}, "node pve1", "memory in MiB none → 4096", Mark.NONE),
    ("physical", {"nodes.0.manageNetwork": False}, "node pve1", "manageNetwork true → false", Mark.NONE),
]  # fmt: skip


def facts(config: dict[str, Any]) -> dict[str, Any]:
    return whole(validate(config), [])


BEFORE = facts(stack_file("dev"))


def told(changed: dict[str, Any]) -> list[Change]:
    return changes(BEFORE, facts(change(stack_file("dev"), changed)))


@pytest.mark.parametrize(("changed", "place", "text", "effect", "mark"), TOLD)
def test_a_change_is_told_once_with_what_it_means(
    changed: dict[str, Any], place: str, text: str, effect: str, mark: Mark
) -> None:
    (found,) = told(changed)
    assert (found.place, found.mark) == (place, mark)
    assert text in found.text
    assert effect in found.effect


@pytest.mark.parametrize(("stack", "changed", "place", "text", "mark"), ALTERED)
def test_a_value_that_differs_in_the_design_is_told_once(
    stack: str, changed: dict[str, Any], place: str, text: str, mark: Mark
) -> None:
    before = facts(stack_file(stack))
    (found,) = changes(before, change(before, changed))
    assert (found.place, found.mark) == (place, mark)
    assert text in found.text


def test_every_value_that_is_known_to_matter_has_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    met: set[tuple[str, str, str, Mark] | None] = set()

    def spy(*paths: str) -> tuple[str, str, str, Mark] | None:
        found = known(*paths)
        met.add(found)
        return found

    known = module._known
    monkeypatch.setattr(module, "_known", spy)
    for changed, *_ in TOLD:
        told(changed)
    for stack, altered, *_ in ALTERED:
        changes(facts(stack_file(stack)), change(facts(stack_file(stack)), altered))
    assert met - {None} == set(KNOWN)


def test_what_does_not_change_is_not_told() -> None:
    assert told({}) == []


def test_a_new_node_is_installed_and_joins_while_the_cluster_stays_quorate() -> None:
    *room, installed, joined = told({"nodes.+": NODE4, **ROOM})
    assert installed.text == "is installed as VM 104 on virtual (4 processors, 2048 MiB, 32 GiB)"
    assert joined == Change(
        "node proxmox04",
        "joins cluster proxmox: votes 3 → 4, 3 needed",
        "the cluster stays quorate, members are not restarted",
    )
    assert {one.place for one in room} == {"outer host virtual"}


def test_a_second_node_joins_at_the_price_of_the_quorum() -> None:
    """While it joins, two votes are needed and one is there."""
    one = copy.deepcopy(stack_file("twonode"))
    two = copy.deepcopy(one)
    del one["nodes"][1]
    (joined,) = [found for found in changes(facts(one), facts(two)) if "joins" in found.text]
    assert joined.mark is Mark.QUORUM


def test_an_existing_node_only_joins() -> None:
    three = stack_file("physical")
    two = copy.deepcopy(three)
    del two["nodes"][2], two["guests"]
    del three["guests"]
    (joined,) = changes(facts(two), facts(three))
    assert (joined.place, joined.mark) == ("node pve3", Mark.NONE)
    assert "votes 2 → 3, 2 needed" in joined.text


def without_the_third(stack: str, **changed: Any) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ANN401 - values as they are
    before = facts(change(stack_file(stack), changed))
    config = change(stack_file(stack), changed)
    del config["nodes"][2], config["guests"]
    return before, facts(config)


@pytest.mark.parametrize(
    ("stack", "name", "end"), [("dev", "proxmox03", "its VM is destroyed last"), ("physical", "pve3", "it stays off")]
)
def test_a_node_left_out_leaves_for_good(stack: str, name: str, end: str) -> None:
    (found,) = [one for one in changes(*without_the_third(stack)) if one.place == f"node {name}"]
    assert (found.text.partition(": ")[2], found.mark) == ("votes 3 → 2, 2 needed", Mark.LEAVES)
    assert found.effect == f"its guests move first, then it is powered off and taken out of the cluster; {end}"


def test_a_node_left_out_whose_vm_is_protected_is_refused() -> None:
    (found,) = [one for one in changes(*without_the_third("dev", protectNodes=True)) if one.place == "node proxmox03"]
    assert (found.mark, "node-protected" in found.effect) == (Mark.REFUSED, True)


def test_nodes_leave_one_after_another_when_all_others_have_joined() -> None:
    before = facts(stack_file("dev"))
    after = facts(change(stack_file("dev"), {"nodes.+": NODE4, **ROOM}))
    del after["nodes"][1:3]
    told = {one.place: one.text.partition(": ")[2] for one in changes(before, after) if "cluster proxmox" in one.text}
    assert told == {
        "node proxmox04": "votes 3 → 4, 3 needed",
        "node proxmox02": "votes 4 → 3, 2 needed",
        "node proxmox03": "votes 3 → 2, 2 needed",
    }


@pytest.mark.parametrize(
    ("kept", "keeps", "text", "mark"),
    [
        (None, None, "VM 200 is destroyed with its disks, if it is still this stack's", Mark.DATA),
        ("keep", "keep", "is forgotten, and runs on", Mark.NONE),
        # What was recorded decides: the engine never sees the new value for a guest that is described no more.
        (None, "keep", "destroyed with its disks", Mark.DATA),
        ("keep", None, "is forgotten, and runs on", Mark.NONE),
    ],
)
def test_a_guest_left_out_is_destroyed_or_forgotten(kept: str | None, keeps: str | None, text: str, mark: Mark) -> None:
    before = facts(change(stack_file("dev"), {"cluster.onDestroy": kept}))
    config = change(stack_file("dev"), {"cluster.onDestroy": keeps})
    del config["guests"][0]
    (found,) = [found for found in changes(before, facts(config)) if found.place != "stack"]
    assert found.place == "guest vm01"
    assert text in found.text
    assert found.mark is mark


EXISTING = {"kind": "existing", "type": "container", "name": "cache", "vmid": 310, "memoryMib": 64}


def test_an_existing_guest_comes_and_goes_and_runs_on() -> None:
    after = facts(change(stack_file("dev"), {"guests.+": EXISTING}))
    assert changes(BEFORE, after) == [Change("guest cache", "CT 310 exists, and is put under HA as it is")]
    (gone,) = changes(after, BEFORE)
    assert (gone.text, gone.mark) == ("CT 310 leaves HA as far as this stack put it there, and runs on", Mark.NONE)


@pytest.mark.parametrize(
    ("changed", "text", "effect", "mark"),
    [
        ({"memoryMib": 128}, "memory in MiB 64 → 128", "nothing is changed there", Mark.NONE),
        ({"memoryMib": None}, "memory in MiB 64 → none", "nothing is changed there", Mark.NONE),
        ({"vmid": 311}, "vmid 310 → 311", "guest-changed", Mark.REFUSED),
        ({"ha": {"state": "stopped"}}, "HA state started → stopped", "starts or stops", Mark.RESTART),
        ({"ha": {"nodes": {"proxmox01": 1}}}, "HA nodes none → proxmox01 (1)", "stopped and started", Mark.RESTART),
    ],
)
def test_what_changes_of_an_existing_guest(changed: dict[str, Any], text: str, effect: str, mark: Mark) -> None:
    before, after = (change(stack_file("dev"), {"guests.+": {**EXISTING, **keys}}) for keys in ({}, changed))
    found = {one.text: one for one in changes(facts(before), facts(after))}
    assert effect in found[text].effect
    assert found[text].mark is mark


def test_links_come_and_go() -> None:
    config = stack_file("dev")
    config["cluster"]["links"].pop()
    for node in config["nodes"]:
        node["links"].pop()
        node["networks"].append("10.20.1." + node["address"].rsplit(".", 1)[1])
    gone = [one for one in changes(BEFORE, facts(config)) if one.place == "cluster"]
    assert [(one.text, one.mark) for one in gone] == [("loses link 1 (10.20.1.0/24)", Mark.QUORUM)]
    came = [one for one in changes(facts(config), BEFORE) if one.place == "cluster"]
    assert [(one.text, one.mark) for one in came] == [("gets link 1 (10.20.1.0/24)", Mark.NONE)]


def test_a_network_card_that_comes_or_goes_is_told_as_such() -> None:
    config = stack_file("dev")
    config["cluster"]["links"].pop()
    for node in config["nodes"]:
        node["links"].pop()
    gone = [one for one in changes(BEFORE, facts(config)) if one.place == "node proxmox02"]
    assert [(one.text, one.mark) for one in gone] == [("loses a network card on vmbr2", Mark.QUORUM)]
    came = [one for one in changes(facts(config), BEFORE) if one.place == "node proxmox02"]
    assert [(one.text, one.mark) for one in came] == [("gets a network card on vmbr2", Mark.QUORUM)]


def test_what_follows_from_a_known_host_protection_is_refused() -> None:
    before = change(BEFORE, {"protectNodes": True})
    (found,) = changes(before, change(before, {"nodes.1.host": "other"}))
    assert (found.mark, "node-protected" in found.effect) == (Mark.REFUSED, True)


def test_several_nodes_join_one_after_another() -> None:
    """With all of them at once, three of seven votes would be no majority. They join by their ids."""
    before = facts(stack_file("dev"))
    third = before["nodes"][2]
    more = [{**third, "name": f"new{number}", "vmid": 110 + number, "nodeId": 4 + number} for number in range(4)]
    after = change(before, {"cluster.votes": 7})
    after["nodes"] += reversed(more)
    joined = [found for found in changes(before, after) if "joins" in found.text]
    assert [found.mark for found in joined] == [Mark.NONE] * 4
    assert [found.text.split("votes ")[1] for found in joined] == [
        "3 → 4, 3 needed",
        "4 → 5, 3 needed",
        "5 → 6, 4 needed",
        "6 → 7, 4 needed",
    ]


def test_what_is_not_ours_is_neither_made_nor_taken_away() -> None:
    before = facts(stack_file("dev"))
    after = copy.deepcopy(before)
    after["storages"].append({"name": "san", "kind": "external", "shared": True})
    assert [found.text for found in changes(before, after)] == ["is used as it is"]
    assert [found.text for found in changes(after, before)] == ["is no longer used"]


@pytest.mark.parametrize(
    ("keeps", "text"),
    [(True, "is forgotten, and stays"), (False, "VM 9000 is destroyed with its disk, if it is still this stack's")],
)
def test_a_template_goes_with_the_stack_or_stays(keeps: bool, text: str) -> None:  # noqa: FBT001 - a case's value
    before = change(BEFORE, {"keepsGuests": keeps})
    after = copy.deepcopy(before)
    after["templates"], after["guests"] = [], copy.deepcopy(before["guests"])
    assert [found.text for found in changes(before, after)] == [text]


def test_a_template_with_a_new_name_is_a_new_one_and_needs_a_vmid_of_its_own() -> None:
    renamed = change(BEFORE, {"templates.0.name": "other"})
    found = {one.place: one.mark for one in changes(BEFORE, renamed)}
    assert found["template other"] is Mark.REFUSED
    free = change(renamed, {"templates.0.vmid": 555})
    assert Mark.REFUSED not in {one.mark for one in changes(BEFORE, free)}


@pytest.mark.parametrize(
    ("number", "name", "inside"),
    [(0, "vm01", "inside, nothing changes"), (1, "ct01", "inside, when it next restarts")],
)
def test_a_guest_with_a_new_name_is_the_same_guest(number: int, name: str, inside: str) -> None:
    renamed = change(BEFORE, {f"guests.{number}.name": "other"})
    (found,) = changes(BEFORE, renamed)
    assert (found.place, found.text, found.mark) == ("guest other", f"name {name} → other", Mark.NONE)
    assert inside in found.effect
    also = {one.text for one in changes(BEFORE, change(renamed, {f"guests.{number}.cores": 3}))}
    assert also == {f"name {name} → other", "processors 1 → 3"}


def test_a_new_name_with_a_new_number_is_a_new_guest_and_the_end_of_the_old_one() -> None:
    found = {
        one.place: one.mark for one in changes(BEFORE, change(BEFORE, {"guests.0.name": "other", "guests.0.vmid": 555}))
    }
    assert found == {"guest other": Mark.NONE, "guest vm01": Mark.DATA}
    taken = {"guests.0.name": "other", "guests.0.kind": "container"}
    assert {one.place: one.mark for one in changes(BEFORE, change(BEFORE, taken))}["guest other"] is Mark.REFUSED


def test_a_guest_that_is_kept_is_not_destroyed_when_it_goes() -> None:
    kept = change(BEFORE, {"guests.0.keep": True})
    without = copy.deepcopy(kept)
    del without["guests"][0]
    (found,) = changes(kept, without)
    assert (found.text, found.mark) == ("VM 200 is taken out of HA and of this stack, and runs on", Mark.NONE)
    (lost,) = changes(BEFORE, without)
    assert lost.mark is Mark.DATA


def test_what_an_earlier_version_did_not_record_of_guests_is_no_change() -> None:
    earlier = copy.deepcopy(BEFORE)
    for guest in earlier["guests"]:
        for key in ("cores", "diskGib", "keep"):
            guest.pop(key, None)
    assert changes(earlier, BEFORE) == []
    (found,) = changes(earlier, change(BEFORE, {"guests.0.memoryMib": 600}))
    assert found.text == "memory in MiB 512 → 600"


def test_a_preferred_node_that_is_preferred_no_more_moves_nothing() -> None:
    (found,) = changes(change(BEFORE, {"guests.1.ha.preferred": ["proxmox03"]}), BEFORE)
    assert (found.effect, found.mark) == ("HA leaves it where it is", Mark.NONE)
