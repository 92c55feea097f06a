"""A started VM becomes what its CD, disks, cards and processor make of it: a node, or one that never comes up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.conftest import Lab, eventually
from tests.lab.nested import OUTER, Nested

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VMIDS = iter(range(220, 250))


@pytest.fixture
def make(lab: Lab) -> Iterator[Callable[..., Nested]]:
    """VMs that are gone after the test."""
    made: list[Nested] = []

    def build(**arguments: object) -> Nested:
        vm = Nested(lab, next(VMIDS), **arguments)  # type: ignore[arg-type]
        made.append(vm)
        vm.prepare()
        return vm

    yield build
    for vm in made:
        vm.destroy()


@pytest.fixture
def nested_on(lab: Lab) -> Iterator[None]:
    """Nested virtualization on the outer host, as a reload of the module turns it on."""
    lab.sh(OUTER, "modprobe -r kvm_intel && modprobe kvm_intel nested=1")
    yield
    lab.sh(OUTER, "modprobe -r kvm_intel && modprobe kvm_intel nested=0")


def wait_until_up(vm: Nested) -> None:
    eventually(vm.up, f"{vm.name} answers; its console: {vm.console[-500:]}")


def test_an_installation_does_what_the_answer_says(lab: Lab, make: Callable[..., Nested]) -> None:
    vm = make()
    assert vm.start() == {"ok": True}
    wait_until_up(vm)

    assert lab.sh(vm.address, "hostname -f").strip() == f"{vm.name}.lab.internal"
    assert lab.sh(vm.address, "hostname --ip-address").strip() == vm.address
    assert lab.sh(vm.address, "readlink /etc/localtime").strip().endswith("Europe/Vienna")
    interfaces = lab.sh(vm.address, "cat /etc/network/interfaces")
    assert "bridge-ports ens18" in interfaces
    assert "iface ens19 inet manual" in interfaces
    assert lab.sh(vm.address, "cat /sys/class/net/ens18/address").strip() == vm.mac
    assert vm.mac[3:] in lab.sh(OUTER, f"bridge link show dev tap{vm.vmid}i0; ip link show tap{vm.vmid}i0")
    assert "correct horse" not in lab.sh(vm.address, "cat /etc/shadow")
    eventually(lambda: "fully-up" in lab.ssh(vm.address, "cat /root/first-boot-ran").stdout, "first boot ran")

    # It boots from its disk again, as the same system, and the script does not run twice.
    lab.sh(vm.address, "touch /root/mark")
    lab.do("node", "reboot", vm.name)
    eventually(lambda: vm.console.count("Booting from Hard Disk...") > 2, "second boot from disk")
    wait_until_up(vm)
    eventually(lambda: "running" in lab.ssh(vm.address, "systemctl is-system-running --wait").stdout, "booted")
    assert lab.sh(vm.address, "ls /root/mark; cat /root/first-boot-ran").split() == ["/root/mark", "fully-up"]


def test_a_failed_first_boot_script_runs_again_at_the_next_boot(lab: Lab, make: Callable[..., Nested]) -> None:
    vm = make(first_boot="#!/bin/sh\necho again >> /root/tries\n[ $(wc -l < /root/tries) -ge 2 ]\n")
    vm.start()
    wait_until_up(vm)
    flag = "/var/lib/proxmox-first-boot/pending-first-boot-setup"
    eventually(lambda: "again" in lab.ssh(vm.address, "cat /root/tries").stdout, "first try")
    eventually(lambda: lab.ssh(vm.address, "systemctl is-system-running --wait").returncode >= 0, "booted")
    assert lab.sh(vm.address, f"ls {flag}").strip() == flag

    vm.ask("vm.reboot")
    eventually(lambda: lab.ssh(vm.address, "cat /root/tries").stdout.count("again") == 2, "second try")
    eventually(lambda: lab.ssh(vm.address, f"ls {flag}").returncode == 2, "the flag is gone after the success")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (('"*bc24', '"*ffff'), "filter did not match any device"),
        (('disk-list = ["sda"]', 'disk-list = ["vda"]'), "disk in 'disk-selection' not found"),
        (('source = "from-answer"\ncidr', 'source = "from-answer"\nfilter.X = "y"\ncidr'), None),
    ],
    ids=["no such card", "no such disk", "control"],
)
def test_an_answer_that_does_not_fit_never_gives_a_node(
    lab: Lab, make: Callable[..., Nested], edit: tuple[str, str], message: str | None
) -> None:
    vm = make(answer_edits=[edit])
    vm.start()
    if message is None:
        wait_until_up(vm)
        return
    eventually(lambda: "Installation failed" in vm.console, "the installer gave up")
    assert message in vm.console
    assert lab.power(vm.name)
    assert not vm.up()
    assert vm.ask("vm.status")["running"]


def test_an_iso_with_an_answer_that_the_validator_refuses_cannot_be_made(make: Callable[..., Nested]) -> None:
    with pytest.raises(AssertionError, match="Error parsing answer file: unknown field `contry`"):
        make(answer_edits=[("country", "contry")])


def test_a_bad_answer_on_a_cd_made_by_other_means_stops_the_installer(lab: Lab, make: Callable[..., Nested]) -> None:
    vm = make()
    bad = "/root/bad.toml"
    lab.sh(
        OUTER,
        f"""
        sed 's/country/contry/' /var/tmp/answer-{vm.vmid}.toml > {bad}
        xorriso -dev {vm.cd} -map {bad} /answer.toml -commit 2>&1
        """,
    )
    vm.start()
    eventually(lambda: "unknown field `contry`" in vm.console, "the installer gave up")
    assert not vm.up()


@pytest.mark.parametrize("order", ["order=scsi0", "order=net0"])
def test_an_empty_disk_alone_does_not_boot(make: Callable[..., Nested], order: str) -> None:
    vm = make(changes={"boot": order})
    vm.start()
    eventually(lambda: "No bootable device." in vm.console, "nothing boots")
    assert vm.ask("vm.status")["running"]
    assert not vm.up()


def test_the_cd_first_installs_again_and_again(lab: Lab, make: Callable[..., Nested]) -> None:
    vm = make(changes={"boot": "order=ide2;scsi0"})
    vm.start()
    eventually(lambda: vm.console.count("Starting automatic installation") > 2, "it reinstalls in a loop")
    assert not vm.up()
    assert lab.power(vm.name)


def test_an_iso_that_is_not_prepared_waits_for_a_person(lab: Lab, make: Callable[..., Nested]) -> None:
    vm = make()
    lab.sh(OUTER, f"cp /var/lib/vz/template/iso/proxmox-ve_9.1-1.iso {vm.cd}")
    vm.start()
    eventually(lambda: "waiting for somebody" in vm.console, "the graphical installer waits")
    assert not vm.up()


@pytest.mark.usefixtures("nested_on")
@pytest.mark.parametrize(
    ("cpu", "virtualized"),
    [("host", True), ("x86-64-v2-AES,flags=+nested-virt", True), ("qemu64", False), ("kvm64", False)],
)
def test_the_processor_type_decides_about_nested_virtualization(
    lab: Lab, make: Callable[..., Nested], cpu: str, *, virtualized: bool
) -> None:
    vm = make(changes={"cpu": cpu})
    vm.start()
    wait_until_up(vm)
    assert (lab.ssh(vm.address, "grep -qE 'vmx|svm' /proc/cpuinfo").returncode == 0) == virtualized
    assert (lab.ssh(vm.address, "test -c /dev/kvm").returncode == 0) == virtualized
    vm.ask("vm.stop")


def test_without_nested_on_the_host_no_processor_type_helps(lab: Lab, make: Callable[..., Nested]) -> None:
    assert lab.sh(OUTER, "cat /sys/module/kvm_intel/parameters/nested").strip() == "N"
    vm = make()
    vm.start()
    wait_until_up(vm)
    assert lab.ssh(vm.address, "grep -qE 'vmx|svm' /proc/cpuinfo").returncode != 0
    assert lab.ssh(vm.address, "test -e /dev/kvm").returncode != 0


def test_a_missing_bridge_is_refused_as_by_qm(make: Callable[..., Nested]) -> None:
    vm = make(changes={"net1": "virtio=BC:24:11:01:00:99,bridge=vmbr77"})
    answer = vm.start()
    assert not answer["ok"]
    assert "bridge 'vmbr77' does not exist" in answer["error"]
    assert "start failed: QEMU exited with code 1" in answer["error"]
    assert not vm.ask("vm.status")["running"]


def test_the_outer_hosts_end_is_its_vms_end(lab: Lab, make: Callable[..., Nested]) -> None:
    vm = make()
    vm.start()
    wait_until_up(vm)
    lab.do("node", "kill", "virtual")
    try:
        assert not lab.power(vm.name)
    finally:
        lab.do("node", "start", "virtual")
        eventually(lambda: lab.answers(OUTER), "the outer host is back")
