"""A preview that looks plans from the live cluster: what was changed by hand, what is cut, who is lost; and nothing is touched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bad_world import BadWorld, refusal, succeeded
from tests.support.outer_host import OUTER
from tests.support.program import stack_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NODES: dict[str, str] = {node["name"]: node["address"] for node in stack_file("dev")["nodes"]}
FIRST = NODES["proxmox01"]
# As Proxmox VE's manual says: a copy, its version, and moved into place.
OTHER_PRIORITY = """
cp /etc/pve/corosync.conf /etc/pve/corosync.conf.new
sed -i 's/knet_link_priority: 10$/knet_link_priority: 5/' /etc/pve/corosync.conf.new
number=$(sed -n 's/^ *config_version: //p' /etc/pve/corosync.conf)
sed -i "s/config_version: .*/config_version: $((number + 1))/" /etc/pve/corosync.conf.new
mv /etc/pve/corosync.conf.new /etc/pve/corosync.conf
echo $((number + 1))
"""
RELEASED = "1. the entry of proxmox02, which is lost, goes, so that it can join anew;"
JOINS = "2. proxmox02 joins;"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BadWorld]:
    """Stack dev; each test of the module begins with what the one before has left."""
    directory = tmp_path_factory.mktemp("looked")
    project = BadWorld(directory / "project", directory / "lab", "dev")
    try:
        succeeded(project.lab("up"))
        succeeded(project.admin("up"))
        yield project
    finally:
        project.lab("down")


def shell(project: BadWorld, address: str, command: str) -> str:
    return succeeded(project.ssh(address, command)).output


def conf(project: BadWorld) -> str:
    return shell(project, FIRST, "cat /etc/pve/corosync.conf")


def with_token(values: dict[str, Any]) -> None:
    values["cluster"]["totem"] = {"tokenMs": 4000}


def with_another_address(values: dict[str, Any]) -> None:
    values["nodes"][1]["links"][0] = "10.10.1.196"


def previewed(project: BadWorld, *arguments: str, described: Callable[[dict[str, Any]], None]) -> str:
    with project.described_otherwise(described):
        return succeeded(project.admin("preview", *arguments)).output


def test_as_it_was_built_nothing_is_different(three: BadWorld) -> None:
    output = succeeded(three.admin("preview", "--look")).output
    assert "not as recorded" not in output
    assert "one after another" not in output


def test_what_was_changed_by_hand_is_part_of_the_plan(three: BadWorld) -> None:
    number = shell(three, FIRST, OTHER_PRIORITY).split()[-1]
    line = f"corosync.conf, config_version {number}: link 1 has priority 5, not 10"
    alone = succeeded(three.admin("preview", "--look")).output
    assert line in alone
    assert "no step of this plan looks at that" in alone
    blind = previewed(three, described=with_token)
    assert "1. other settings of corosync: token 4000;" in blind
    assert "priority 5" not in blind
    assert "link 1 gets priority" not in blind
    looked = previewed(three, "--look", described=with_token)
    assert line in looked
    assert "1. link 1 gets priority 10;" in looked
    assert "2. other settings of corosync: token 4000;" in looked


def test_what_the_live_cluster_refuses_ends_as_the_run_does(three: BadWorld) -> None:
    before = conf(three)
    assert "10.10.1.196" in previewed(three, "--look", described=with_another_address), "all links work"
    succeeded(three.lab("link", "cut", "proxmox01", "1"))
    try:
        assert three.eventually(lambda: "disconnected" in shell(three, FIRST, "corosync-cfgtool -s"))
        succeeded(three.admin("preview"))
        with three.described_otherwise(with_another_address):
            succeeded(three.admin("preview"))
            looked = refusal(three.admin("preview", "--look"), "link-last")
            assert "bring link 1 between proxmox01 and proxmox02 back" in looked
            assert refusal(three.admin("up"), "link-last") == looked
    finally:
        three.lab("link", "restore", "proxmox01", "1")
    assert conf(three) == before


def test_a_lost_member_is_planned_to_be_released_and_to_join_again(three: BadWorld) -> None:
    before = conf(three)
    shell(three, OUTER, "qm stop 102 && qm destroy 102 --purge 1")
    assert three.eventually(lambda: re.search(r"Total votes:\s+2\b", shell(three, FIRST, "pvecm status")) is not None)
    looked = succeeded(three.admin("preview", "--look")).output
    assert "proxmox02 is lost, since its VM is gone: its entry is released, and it joins again" in looked
    assert RELEASED in looked
    assert JOINS in looked
    assert RELEASED not in succeeded(three.admin("preview")).output
    assert conf(three) == before
