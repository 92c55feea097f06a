"""The stand-in kernel: a KVM module that is configured, reloaded and refused as the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.conftest import Lab, eventually
from tests.lab.nested import OUTER, Nested

if TYPE_CHECKING:
    from collections.abc import Iterator

PARAMETER = "/sys/module/kvm_intel/parameters/nested"


@pytest.fixture
def idle(lab: Lab) -> Iterator[Lab]:
    """The outer host, its module as at first boot afterwards."""
    yield lab
    lab.sh(OUTER, "rm -f /etc/modprobe.d/test.conf; modprobe -r kvm_intel; modprobe kvm_intel")


def test_a_reload_takes_what_modprobe_d_says(idle: Lab) -> None:
    assert idle.sh(OUTER, f"cat {PARAMETER}").strip() == "N"
    idle.sh(OUTER, "echo 'options kvm-intel nested=Y' > /etc/modprobe.d/test.conf")
    assert idle.sh(OUTER, f"cat {PARAMETER}").strip() == "N"  # only a reload reads it

    idle.sh(OUTER, "modprobe -r kvm_intel && test ! -e /dev/kvm && ! lsmod | grep -q kvm && modprobe kvm_intel")

    assert idle.sh(OUTER, f"cat {PARAMETER}").strip() == "Y"
    assert "kvm_intel" in idle.sh(OUTER, "test -c /dev/kvm && lsmod")


def test_a_reboot_takes_what_modprobe_d_says(idle: Lab) -> None:
    idle.sh(OUTER, "echo 'options kvm-intel nested=Y' > /etc/modprobe.d/test.conf")
    before = idle.sh(OUTER, "cat /proc/sys/kernel/random/boot_id")
    idle.do("node", "reboot", "virtual")
    eventually(lambda: idle.ssh(OUTER, "cat /proc/sys/kernel/random/boot_id").stdout not in ("", before), "rebooted")
    assert idle.sh(OUTER, f"cat {PARAMETER}").strip() == "Y"


def test_the_module_is_in_use_while_a_vm_runs(idle: Lab) -> None:
    vm = Nested(idle, 251, changes={"boot": "order=scsi0"})
    vm.prepare()
    vm.start()
    refusal = idle.ssh(OUTER, "modprobe -r kvm_intel")
    assert refusal.returncode == 1
    assert refusal.stderr.strip() == "modprobe: FATAL: Module kvm_intel is in use."
    assert idle.sh(OUTER, f"cat {PARAMETER}").strip() == "N"

    vm.destroy()

    idle.sh(OUTER, "modprobe -r kvm_intel")


def test_unknown_and_unfit_modules_are_refused(idle: Lab) -> None:
    unknown = idle.ssh(OUTER, "modprobe nosuch")
    assert (unknown.returncode, unknown.stderr.split(" in ")[0]) == (1, "modprobe: FATAL: Module nosuch not found")
    unfit = idle.ssh(OUTER, "modprobe kvm_amd")
    assert "could not insert 'kvm_amd': Operation not supported" in unfit.stderr


def test_processor_memory_and_kernel_name_are_the_machines_own(idle: Lab) -> None:
    assert "vmx" in idle.sh(OUTER, "cat /proc/cpuinfo")
    assert idle.sh(OUTER, "uname -r").strip().endswith("-pve")
    assert idle.sh(OUTER, "uname -r") == idle.sh(OUTER, "cat /proc/sys/kernel/osrelease")
    assert idle.sh(OUTER, "grep MemTotal /proc/meminfo").split()[1] == str(65536 * 1024)
