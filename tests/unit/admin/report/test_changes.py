"""What is told of a changed stack file, and what it means for a cluster that runs."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from admin.report.changes import Change, Mark, changes
from components.config.load import validate
from components.facts import design_facts
from tests.support.fourth_node import NODE4, ROOM
from tests.support.program import change, stack_file

GUEST = {**stack_file("dev")["guests"][0], "name": "vm02", "vmid": 201}

# What is changed in stack dev, and what is told of it: place, text, effect, mark.
TOLD: list[tuple[dict[str, Any], str, str, str, Mark]] = [
    ({"nodes.1.memoryMib": 1024}, "node proxmox02", "memory in MiB 2048 → 1024", "next stopped and started", Mark.NONE),
    ({"nodes.1.cores": 2}, "node proxmox02", "processors 4 → 2", "next stopped and started", Mark.NONE),
    ({"nodes.1.links.1": "10.20.1.196"}, "node proxmox02", "link 1 address 10.20.1.186 → 10.20.1.196", "identity-changed", Mark.REFUSED),
    ({"nodes.1.votes": 2}, "node proxmox02", "votes 1 → 2", "identity-changed", Mark.REFUSED),
    ({"nodes.1.vmid": 111}, "node proxmox02", "vmid 102 → 111", "is made anew", Mark.REPLACE),
    ({"nodes.1.address": "192.168.0.196"}, "node proxmox02", "management address 192.168.0.186 → 192.168.0.196", "change it there first", Mark.QUORUM),
    ({"nodes.1.macs": {"vmbr1": "BC:24:11:00:00:01"}}, "node proxmox02", "MAC address on vmbr1", "matched by MAC", Mark.QUORUM),
    ({"nodes.1.networks": ["10.30.1.196"]}, "node proxmox02", "further addresses 10.30.1.186 → 10.30.1.196", "reloaded", Mark.RESTART),
    ({"cluster.seed": "proxmox02"}, "cluster", "seed proxmox01 → proxmox02", "identity-changed", Mark.REFUSED),
    ({"cluster.name": "other"}, "cluster", "name proxmox → other", "identity-changed", Mark.REFUSED),
    ({"cluster.links.1.priority": 5}, "cluster", "link 1 priority 10 → 5", "member-differs", Mark.REFUSED),
    ({"cluster.links.1.priority": None}, "cluster", "link 1 priority 10 → none", "member-differs", Mark.REFUSED),
    ({"cluster.options.migrationNetwork": None}, "cluster", "migration network 10.30.1.0/24 → none", "next live migrations", Mark.NONE),
    ({"cluster.options.haShutdownPolicy": "freeze"}, "cluster", "HA shutdown policy migrate → freeze", "next shutdown", Mark.NONE),
    ({"cluster.api.user": "ops@pve"}, "cluster", "API user pulumi@pve → ops@pve", "the old one stays", Mark.NONE),
    ({"outerHosts.0.nested": False}, "outer host virtual", "nested virtualization true → false", "no VM runs", Mark.NONE),
    ({"outerHosts.0.bridges.0.dhcp.end": "10.10.1.30"}, "outer host virtual", "DHCP end 10.10.1.20 → 10.10.1.30", "restarted", Mark.NONE),
    ({"outerHosts.0.memoryMib": 16384}, "outer host virtual", "memoryMib 8192 → 16384", "", Mark.NONE),
    ({"maintenance": {"repository": "keep"}}, "stack", "repository of the nodes no-subscription → keep", "not upgraded", Mark.NONE),
    ({"guests.0.memoryMib": 600}, "guest vm01", "memory in MiB 512 → 600", "a container at once", Mark.NONE),
    ({"guests.0.vmid": 250}, "guest vm01", "vmid 200 → 250", "its disks are lost", Mark.DATA),
    ({"guests.0.ha.state": "stopped"}, "guest vm01", "HA state started → stopped", "starts or stops", Mark.RESTART),
    ({"guests.0.ha.nodes": {"proxmox01": 1, "proxmox02": 1}}, "guest vm01", "HA nodes proxmox01, proxmox02, proxmox03 → proxmox01, proxmox02", "HA may move it", Mark.NONE),
    ({"guests.1.address": "192.168.0.50/24"}, "guest ct01", "address none → 192.168.0.50", "not made anew", Mark.REFUSED),
    ({"guests.+": GUEST}, "guest vm02", "is made, and put under HA", "", Mark.NONE),
    ({"protectNodes": True}, "stack", "protection of the nodes' VMs false → true", "", Mark.NONE),
]  # fmt: skip


def facts(config: dict[str, Any]) -> dict[str, Any]:
    return design_facts(validate(config), [])


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


def test_a_node_left_out_is_refused_and_nothing_else_is_told_of_it() -> None:
    config = stack_file("dev")
    del config["nodes"][2], config["guests"]
    found = [one for one in changes(BEFORE, facts(config)) if one.place == "node proxmox03"]
    assert [one.mark for one in found] == [Mark.REFUSED]
    assert "member-removed" in found[0].effect


@pytest.mark.parametrize(
    ("keeps", "text", "mark"), [(None, "destroyed with its disks", Mark.DATA), ("keep", "is forgotten", Mark.NONE)]
)
def test_a_guest_left_out_is_destroyed_or_forgotten(keeps: str | None, text: str, mark: Mark) -> None:
    config = change(stack_file("dev"), {"cluster.onDestroy": keeps})
    before = facts(config)
    del config["guests"][0]
    (found,) = changes(before, facts(config))
    assert found.place == "guest vm01"
    assert text in found.text
    assert found.mark is mark


def test_links_that_come_or_go_are_refused() -> None:
    config = stack_file("dev")
    config["cluster"]["links"].pop()
    for node in config["nodes"]:
        node["links"].pop()
        node["networks"].append("10.20.1." + node["address"].rsplit(".", 1)[1])
    gone = [one for one in changes(BEFORE, facts(config)) if one.place == "cluster"]
    assert [(one.text, one.mark) for one in gone] == [("loses link 1 (10.20.1.0/24)", Mark.REFUSED)]
    came = [one for one in changes(facts(config), BEFORE) if one.place == "cluster"]
    assert [(one.text, one.mark) for one in came] == [("gets link 1 (10.20.1.0/24)", Mark.REFUSED)]


def test_a_network_card_that_comes_or_goes_is_told_as_such() -> None:
    config = stack_file("dev")
    config["cluster"]["links"].pop()
    for node in config["nodes"]:
        node["links"].pop()
    gone = [one for one in changes(BEFORE, facts(config)) if one.place == "node proxmox02"]
    assert [(one.text, one.mark) for one in gone] == [("loses a network card on vmbr2", Mark.QUORUM)]
    came = [one for one in changes(facts(config), BEFORE) if one.place == "node proxmox02"]
    assert [(one.text, one.mark) for one in came] == [("gets a network card on vmbr2", Mark.QUORUM)]
