"""The stand-in kernel: a KVM module that is configured, reloaded and refused as the real one."""

from __future__ import annotations

import base64
import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.lab.conftest import PROJECT, Done, Lab, eventually
from tests.lab.nested import OUTER, Nested

if TYPE_CHECKING:
    from collections.abc import Iterator

PARAMETER = "/sys/module/kvm_intel/parameters/nested"
CMDLINE = "/etc/kernel/cmdline"
BUILT_IN = "/lib/modules/$(uname -r)/modules.builtin"
OPTIONS = "/etc/modprobe.d/nested-pve-ha.conf"


@pytest.fixture
def idle(lab: Lab) -> Iterator[Lab]:
    """The outer host, its module as at first boot afterwards."""
    yield lab
    lab.sh(OUTER, "rm -f /etc/modprobe.d/test.conf; modprobe -r kvm_intel; modprobe kvm_intel")


@pytest.fixture
def rebooted(lab: Lab) -> Iterator[Lab]:
    """The outer host, booted as at first afterwards."""
    yield lab
    lab.sh(OUTER, f"rm -f {CMDLINE} {BUILT_IN} {OPTIONS} /etc/modprobe.d/test.conf")
    reboot(lab)


def reboot(lab: Lab) -> None:
    before = lab.sh(OUTER, "cat /proc/sys/kernel/random/boot_id")
    lab.do("node", "reboot", "virtual")
    eventually(lambda: lab.ssh(OUTER, "cat /proc/sys/kernel/random/boot_id").stdout not in ("", before), "rebooted")


def step(lab: Lab, machine: str, name: str, desired: str) -> Done:
    """A step of this checkout's package, which leaves nothing on the machine."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in (PROJECT / "onnode").rglob("*.py"):
            archive.write(path, path.relative_to(PROJECT))
    script = f"""\
package=$(mktemp); trap 'rm -f $package' EXIT
base64 -d > $package <<'END'
{base64.b64encode(packed.getvalue()).decode()}
END
PYTHONPATH=$package python3 -m onnode {name} <<< '{desired}'
"""
    return lab.ssh(machine, script)


def test_a_reload_takes_what_modprobe_d_says(idle: Lab) -> None:
    assert idle.sh(OUTER, f"cat {PARAMETER}").strip() == "N"
    idle.sh(OUTER, "echo 'options kvm-intel nested=Y' > /etc/modprobe.d/test.conf")
    assert idle.sh(OUTER, f"cat {PARAMETER}").strip() == "N"  # only a reload reads it

    idle.sh(OUTER, "modprobe -r kvm_intel && test ! -e /dev/kvm && ! lsmod | grep -q kvm && modprobe kvm_intel")

    assert idle.sh(OUTER, f"cat {PARAMETER}").strip() == "Y"
    assert "kvm_intel" in idle.sh(OUTER, "test -c /dev/kvm && lsmod")


def test_a_reboot_takes_what_modprobe_d_says(idle: Lab) -> None:
    idle.sh(OUTER, "echo 'options kvm-intel nested=Y' > /etc/modprobe.d/test.conf")
    reboot(idle)
    assert idle.sh(OUTER, f"cat {PARAMETER}").strip() == "Y"


def test_what_the_kernel_itself_decides_comes_before_modprobe_d_and_is_told(rebooted: Lab) -> None:
    lab = rebooted
    lab.sh(OUTER, f"mkdir -p /etc/kernel && echo 'ro quiet kvm-intel.nested=0' > {CMDLINE}")
    lab.sh(OUTER, "echo 'options kvm-intel nested=1' > /etc/modprobe.d/test.conf")
    reboot(lab)
    lab.sh(OUTER, "modprobe -r kvm_intel && modprobe kvm_intel")
    assert lab.sh(OUTER, f"cat {PARAMETER}").strip() == "N"
    refused = step(lab, OUTER, "kvm-nested", '{"enabled": true}')
    assert refused.returncode != 0
    assert "error[kvm-command-line]" in refused.stderr
    assert "kvm-intel.nested=0" in refused.stderr

    lab.sh(OUTER, f'rm {CMDLINE} && mkdir -p "$(dirname {BUILT_IN})"')
    lab.sh(OUTER, f"echo kernel/arch/x86/kvm/kvm-intel.ko > {BUILT_IN}")
    reboot(lab)
    assert lab.sh(OUTER, f"test -c /dev/kvm && ! lsmod | grep kvm_intel; cat {PARAMETER}").strip() == "N"
    assert lab.ssh(OUTER, "modprobe -r kvm_intel").stderr.strip() == "modprobe: FATAL: Module kvm_intel is builtin."
    refused = step(lab, OUTER, "kvm-nested", '{"enabled": true}')
    assert refused.returncode != 0
    assert "error[kvm-built-in]" in refused.stderr
    assert lab.ssh(OUTER, f"test -e {OPTIONS}").returncode == 1


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
