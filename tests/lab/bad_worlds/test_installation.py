"""What goes wrong while nested nodes are installed, one fault after another on the same outer host (stack twonode).

Each is named and loses nothing; the next run goes on from there, which is why this is one story. In the end the
cluster stands, a second run changes nothing, and destroying it leaves the host as it was found.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.bad_world import refusal, succeeded
from tests.support.outer_host import OUTER, difference, look
from tests.support.processes import end_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.bad_world import BadWorld

NODES = {"proxmox01": "192.168.0.185", "proxmox02": "192.168.0.186"}
VMIDS = (101, 102)
ZONE, ZONES = "Europe/Vienna", "/usr/share/zoneinfo/zone.tab"
# The host's API stops in the middle of the first VM that it makes: nobody is told that it exists.
STOP_AT_FIRST_VM = """
cd /etc/pve/qemu-server
until ls *.conf 2>/dev/null; do sleep 0.02; done
systemctl kill --signal=STOP pveproxy
"""
# Another package manager has both locks, until apt-get has run for some seconds beside it, which only waiting survives (F13).
HOLDER = """
import fcntl, os, pathlib, subprocess, time
locks = [open(name, "w") for name in ("/var/lib/apt/lists/lock", "/var/lib/dpkg/lock-frontend")]
for lock in locks:
    fcntl.lockf(lock, fcntl.LOCK_EX)
pathlib.Path("/run/held").touch()
while not os.path.exists("/run/awaited") or subprocess.run(["pgrep", "-x", "apt-get"], stdout=subprocess.DEVNULL).returncode:
    time.sleep(0.02)
time.sleep(3)
pathlib.Path("/run/let-go").touch()
"""


def shell(world: BadWorld, command: str) -> str:
    return succeeded(world.ssh(OUTER, command)).output


def vms(world: BadWorld) -> dict[int, str]:
    """The outer host's VMs with their tags."""
    listed = json.loads(shell(world, "pvesh get /nodes/virtual/qemu --output-format json"))
    return {int(vm["vmid"]): vm.get("tags", "") for vm in listed}


def boot_ids(world: BadWorld) -> list[str]:
    return [succeeded(world.ssh(address, "cat /proc/sys/kernel/random/boot_id")).output for address in NODES.values()]


@contextmanager
def unplugged(world: BadWorld, node: str) -> Iterator[None]:
    """A node whose management network leads nowhere, and a program that waits no longer than it must."""

    def impatient(values: dict[str, Any]) -> None:
        values["installation"]["timeoutS"] = 30

    succeeded(world.lab("link", "cut", node, "vmbr0"))
    try:
        with world.described_otherwise(impatient):
            yield
    finally:
        succeeded(world.lab("link", "restore", node, "vmbr0"))


@contextmanager
def another_package_manager(world: BadWorld) -> Iterator[None]:
    """It is at work on the outer host when a run wants to install packages there, and the run waits for it."""
    shell(world, f"systemd-run --quiet --unit=holder python3 -c '{HOLDER}'")
    shell(world, "timeout 10 sh -c 'until test -e /run/held; do sleep 0.1; done'")
    assert "Could not get lock" in world.ssh(OUTER, "apt-get update").output
    shell(world, "touch /run/awaited")
    yield
    shell(world, "test -e /run/let-go && rm /run/held /run/awaited /run/let-go")
    assert "install ok installed" in shell(world, "dpkg-query -W -f '${Status}' proxmox-auto-install-assistant")


def test_each_fault_while_installing_is_named_and_the_next_run_goes_on(outer_host: BadWorld) -> None:
    world = outer_host
    found = look(world)
    an_answer_that_the_installer_would_refuse_is_named_and_never_attached(world)
    a_node_that_never_comes_up_is_named_in_bounded_time(world)
    a_run_is_killed_while_it_makes_a_vm(world)
    the_next_run_adopts_the_vm_and_nodes_without_virtualization_are_refused(world)
    the_whole_is_as_described_and_a_second_run_changes_nothing(world)
    a_vm_that_the_state_forgot_is_never_made_twice(world)
    a_member_whose_vm_is_gone_is_refused(world)
    succeeded(world.admin("down", "--yes"))
    assert difference(found, look(world)) == []


def an_answer_that_the_installer_would_refuse_is_named_and_never_attached(world: BadWorld) -> None:
    """The host's time zones are older than those that the description was checked with."""

    def change(values: dict[str, Any]) -> None:
        values["installation"]["timezone"] = ZONE

    shell(world, f"sed -i.whole '\\#{ZONE}#d' {ZONES}")
    try:
        with world.described_otherwise(change), another_package_manager(world):
            said = refusal(world.admin("up"), "answer-refused")
    finally:
        shell(world, f"mv {ZONES}.whole {ZONES}")
    assert ZONE in said
    for vmid in VMIDS:
        config = shell(world, f"qm config {vmid}")
        assert "scsi0:" in config
        assert ":iso/" not in config
    assert shell(world, "ls /var/lib/vz/template/iso").split() == ["stack-twonode-virtual-proxmox-ve_9.1-1.iso"]


def a_node_that_never_comes_up_is_named_in_bounded_time(world: BadWorld) -> None:
    # The run before made the VM, and refused its answer file before it started it: there is no machine to unplug yet.
    shell(world, "qm start 101")
    with unplugged(world, "proxmox01"):
        assert "proxmox01" in refusal(world.admin("up"), "node-not-up")


def a_run_is_killed_while_it_makes_a_vm(world: BadWorld) -> None:
    for vmid in VMIDS:
        shell(world, f"qm stop {vmid}; qm destroy {vmid} --purge 1")
    assert vms(world) == {}
    run = world.start_admin("up")
    try:
        shell(world, STOP_AT_FIRST_VM)
        assert "process" in refusal(world.admin("up"), "stack-locked")
    finally:
        end_all(run.pid)
        run.wait()
        shell(world, "systemctl kill --signal=CONT pveproxy")


def the_next_run_adopts_the_vm_and_nodes_without_virtualization_are_refused(world: BadWorld) -> None:
    def change(values: dict[str, Any]) -> None:
        for node in values["nodes"]:
            node["cpuType"] = "kvm64"

    with world.described_otherwise(change):
        run = world.admin("up")
        assert "cleared the lock" in run.output
        assert re.search(r"checking: .*proxmox0\d-vm", run.output), run.output
        assert "kvm64" in refusal(run, "policy-violated")
        without_policies = world.pulumi("up", "--yes", "--skip-preview", "--refresh")
    assert without_policies.code != 0
    assert "error[no-virtualization]" in without_policies.output
    assert "cpu: kvm64" in shell(world, "qm config 101")
    # The description says `host` again, which a VM gets when it starts; members are never restarted by a change.
    assert "stop and start" in refusal(world.admin("up"), "no-virtualization")
    assert {vmid: "stack-twonode" in tags for vmid, tags in vms(world).items()} == dict.fromkeys(VMIDS, True)
    for vmid in VMIDS:
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
    adopts = "exists with this stack's mark, and is recorded now"
    assert "proxmox01-vm" in succeeded(world.admin("up")).output.partition(adopts)[2]
    again = succeeded(world.admin("up")).output
    assert adopts not in again
    assert "0 changes" in again, again
    succeeded(world.admin("status"))
    assert set(vms(world)) == set(VMIDS)
    assert boot_ids(world) == before


def a_member_whose_vm_is_gone_is_refused(world: BadWorld) -> None:
    shell(world, "qm stop 102; qm destroy 102 --purge 1")
    assert "proxmox02" in refusal(world.admin("up"), "member-vm-missing")
    assert set(vms(world)) == {101}
