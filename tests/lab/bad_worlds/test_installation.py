"""What goes wrong while nested nodes are installed, one fault after another on the same outer host (stack twonode).

Each is named and loses nothing; the next run goes on from there, which is why this is one story. In the end the
cluster stands, a second run changes nothing, and destroying it leaves the host as it was found.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.bad_world import refusal, succeeded
from tests.support.outer_host import OUTER, difference, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.bad_world import BadWorld

NODES = {"proxmox01": "192.168.0.185", "proxmox02": "192.168.0.186"}
VMIDS = (101, 102)
NOWHERE = "vmbr9"  # a bridge without any port


def shell(world: BadWorld, command: str) -> str:
    return succeeded(world.ssh(OUTER, command)).output


def vms(world: BadWorld) -> dict[int, str]:
    """The outer host's VMs with their tags."""
    listed = json.loads(shell(world, "pvesh get /nodes/virtual/qemu --output-format json"))
    return {int(vm["vmid"]): vm.get("tags", "") for vm in listed}


def boot_ids(world: BadWorld) -> list[str]:
    return [succeeded(world.ssh(address, "cat /proc/sys/kernel/random/boot_id")).output for address in NODES.values()]


@contextmanager
def bridge_to_nowhere(world: BadWorld) -> Iterator[None]:
    """The nodes' management network described as a bridge that leads nowhere."""
    shell(world, f"ip link add {NOWHERE} type bridge && ip link set {NOWHERE} up")

    def change(values: dict[str, Any]) -> None:
        values["outerHosts"][0]["managementBridge"] = NOWHERE
        values["installation"]["timeoutS"] = 20

    with world.described_otherwise(change):
        yield
    shell(world, f"ip link delete {NOWHERE}")


def test_each_fault_while_installing_is_named_and_the_next_run_goes_on(outer_host: BadWorld) -> None:
    world = outer_host
    found = outer_host.look(world)
    an_answer_that_the_installer_would_refuse_is_named_and_never_attached(world)
    a_run_killed_while_it_makes_a_vm_blocks_nobody_once_it_is_dead(world)
    a_node_that_never_comes_up_is_named_in_bounded_time(world)
    a_node_without_virtualization_is_refused_by_policy_and_by_the_step(world)
    the_whole_is_as_described_and_a_second_run_changes_nothing(world)
    a_vm_that_the_state_forgot_is_never_made_twice(world)
    succeeded(world.admin("down", "--yes"))
    assert difference(found, look(world)) == []


def an_answer_that_the_installer_would_refuse_is_named_and_never_attached(world: BadWorld) -> None:
    def change(values: dict[str, Any]) -> None:
        values["installation"]["timezone"] = "Mars/Olympus_Mons"

    with world.described_otherwise(change):
        said = refusal(world.admin("up"), "answer-refused")
    assert "Mars/Olympus_Mons" in said
    configs = [shell(world, f"qm config {vmid}") for vmid in VMIDS]
    assert all("scsi0:" in config and "media=cdrom" not in config for config in configs)


def a_run_killed_while_it_makes_a_vm_blocks_nobody_once_it_is_dead(world: BadWorld) -> None:
    for vmid in VMIDS:
        shell(world, f"qm stop {vmid}; qm destroy {vmid} --purge 1")
    assert vms(world) == {}
    run = world.start_admin("up")
    try:
        assert world.eventually(lambda: bool(vms(world)))
        assert "process" in refusal(world.admin("up"), "stack-locked")
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    with bridge_to_nowhere(world):
        run_after = world.admin("up")
    assert "cleared the lock" in run_after.output
    refusal(run_after, "node-not-up")
    assert set(vms(world)) == set(VMIDS)
    assert all("stack-twonode" in tags for tags in vms(world).values())


def a_node_that_never_comes_up_is_named_in_bounded_time(world: BadWorld) -> None:
    with bridge_to_nowhere(world):
        said = refusal(world.admin("up"), "node-not-up")
    assert any(node in said for node in NODES)


def a_node_without_virtualization_is_refused_by_policy_and_by_the_step(world: BadWorld) -> None:
    def change(values: dict[str, Any]) -> None:
        for node in values["nodes"]:
            node["cpuType"] = "kvm64"

    before = shell(world, "qm config 101; qm config 102")
    with world.described_otherwise(change):
        refusal(world.admin("up"), "policy-violated")
        assert shell(world, "qm config 101; qm config 102") == before
    for vmid in VMIDS:
        shell(world, f"qm set {vmid} --cpu kvm64; qm stop {vmid}; qm start {vmid}")
    said = refusal(world.admin("up"), "no-virtualization")
    assert "stop and start" in said
    for vmid in VMIDS:
        assert "cpu: host" in shell(world, f"qm config {vmid}")
        shell(world, f"qm stop {vmid}; qm start {vmid}")


def the_whole_is_as_described_and_a_second_run_changes_nothing(world: BadWorld) -> None:
    succeeded(world.admin("up"))
    status = succeeded(world.ssh(NODES["proxmox02"], "pvecm status")).output
    assert re.search(r"^Total votes:\s+2", status, re.MULTILINE), status
    assert re.search(r"^Quorate:\s+Yes", status, re.MULTILINE), status
    before = boot_ids(world)
    again = ("up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes", "--policy-pack", "policy")
    succeeded(world.pulumi(*again))
    succeeded(world.admin("status"))
    assert boot_ids(world) == before


def a_vm_that_the_state_forgot_is_never_made_twice(world: BadWorld) -> None:
    before = boot_ids(world)
    urns = re.findall(r"urn:pulumi:\S+::proxmox01-vm\b", world.pulumi("stack", "--show-urns").output)
    succeeded(world.pulumi("state", "delete", urns[0], "--target-dependents", "--yes"))
    said = refusal(world.admin("up"), "vm-not-recorded")
    assert set(vms(world)) == set(VMIDS)
    command = re.search(r"next: pulumi (.*?); or", said)
    assert command, said
    succeeded(world.pulumi(*shlex.split(command[1])))
    succeeded(world.admin("up"))
    succeeded(world.admin("status"))
    assert set(vms(world)) == set(VMIDS)
    assert boot_ids(world) == before
