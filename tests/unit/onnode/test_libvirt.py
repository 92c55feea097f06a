"""An outer host with libvirt, as the steps of both kinds ask it: its VMs and their marks, CDs, power; and what its complaints mean."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from onnode.contract.host import Journal, KvmNested
from onnode.contract.libvirt import LibvirtDomain
from onnode.errors import StepError
from onnode.host import journal, journal_restore, kind, kvm_nested, libvirt_domain, virsh
from onnode.host.hypervisor import RunningVm, Vm
from onnode.host.installation_medium import Assistant, Xorriso
from onnode.host.libvirt import Libvirt
from onnode.host.libvirt_files import DOMAINS, LIVE, NETWORKS
from onnode.host.proxmox_ve import ProxmoxVe
from onnode.system import originals
from onnode.system.machine import Result
from tests.support.fake_machine import hangs
from tests.support.libvirt_host import DOWN, NO_KVM, LibvirtHost
from tests.support.onnode_worlds import Apt, run, twice
from tests.unit.onnode.test_libvirt_steps import DOMAIN, NETWORK, POOL, built

if TYPE_CHECKING:
    from tests.support.fake_machine import FakeMachine

ISO = "nested-pve-ha-dev-debian-101.iso"
MAIL = "<domain type='kvm'><name>mail</name><uuid>u9</uuid></domain>"


@pytest.fixture
def host(machine: FakeMachine) -> LibvirtHost:
    return built(LibvirtHost(machine))


@pytest.fixture
def libvirt(machine: FakeMachine, host: LibvirtHost) -> Libvirt:
    assert host.machine is machine
    return Libvirt(machine)


class TestKind:
    def test_proxmox_ve_by_its_program(self, machine: FakeMachine) -> None:
        assert isinstance(kind.hypervisor(machine), ProxmoxVe)
        assert isinstance(kind.medium(machine), Assistant)

    def test_libvirt_on_any_other_host_whether_or_not_it_is_installed(self, machine: FakeMachine) -> None:
        machine.remove("/usr/sbin/qm")
        assert isinstance(kind.hypervisor(machine), Libvirt)
        assert isinstance(kind.medium(machine), Xorriso)
        machine.write("/usr/bin/qm", "")
        assert isinstance(kind.hypervisor(machine), ProxmoxVe), "where a distribution has merged the directories"


class TestVms:
    def test_a_vm_by_the_number_in_its_mark(self, machine: FakeMachine, libvirt: Libvirt) -> None:
        found = libvirt.vm(101)
        assert found is not None
        assert (found.name, found.cd, found.disk_only) == ("proxmox01", False, True)
        assert found.owned_by("dev")
        assert not found.owned_by("prod")
        assert found.identity
        assert libvirt.vm(7) is None
        machine.write(f"{DOMAINS}/mail.xml", MAIL)
        assert libvirt.taken([101, 7]) == {101: found}

    def test_one_that_was_made_again_is_another_one(self, host: LibvirtHost, libvirt: Libvirt) -> None:
        before = libvirt.vm(101)
        host._undefine("proxmox01")
        run(host.machine, libvirt_domain.STEP, DOMAIN)
        after = libvirt.vm(101)
        assert before is not None
        assert after is not None
        assert before.identity != after.identity

    def test_a_redefined_one_is_the_same(self, machine: FakeMachine, libvirt: Libvirt) -> None:
        before = libvirt.vm(101)
        assert run(machine, libvirt_domain.STEP, dataclasses.replace(DOMAIN, cores=8)).changed
        assert libvirt.vm(101) == before

    def test_a_file_that_cannot_be_read_is_no_vm_of_a_number(self, machine: FakeMachine, libvirt: Libvirt) -> None:
        machine.write(f"{DOMAINS}/proxmox01.xml", "<domain")
        assert libvirt.vm(101) is None
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_domain.STEP, DOMAIN)
        assert refused.value.code == "foreign-domain", "and none that is not there"

    def test_what_runs_with_its_number_where_it_has_one(self, machine: FakeMachine, host: LibvirtHost) -> None:
        machine.write(f"{DOMAINS}/old mail.xml", MAIL.replace("mail", "old mail"))
        host.running = {"proxmox01": "", "old mail": "", "for-a-moment": ""}
        assert Libvirt(machine).running() == [
            RunningVm(101, "proxmox01"), RunningVm(None, "old mail"), RunningVm(None, "for-a-moment")
        ]  # fmt: skip

    def test_nothing_runs_that_anybody_could_name_without_libvirt(
        self, machine: FakeMachine, host: LibvirtHost
    ) -> None:
        host.running, host.down = {"proxmox01": ""}, True
        assert Libvirt(machine).running() == []
        del machine.programs["virsh"]
        assert Libvirt(machine).running() == []

    def test_marked_bridges(self, machine: FakeMachine, libvirt: Libvirt) -> None:
        machine.write(f"{NETWORKS}/default.xml", "<network><name>default</name><bridge name='virbr0'/></network>")
        assert libvirt.marked_bridges("dev") == ["vmbr1"]
        assert libvirt.marked_bridges("prod") == []


class TestPower:
    def test_started_and_stopped(self, host: LibvirtHost, libvirt: Libvirt) -> None:
        assert not libvirt.runs(101)
        libvirt.start(101)
        assert libvirt.runs(101)
        libvirt.stop(101)
        libvirt.stop(101)
        assert not libvirt.runs(101)
        assert len(host.machine.ran("virsh --connect qemu:///system --quiet destroy")) == 1

    @pytest.mark.parametrize(("state", "runs"), [("paused", True), ("in shutdown", True), ("crashed", False)])
    def test_a_paused_one_can_be_stopped_and_not_started(
        self, machine: FakeMachine, host: LibvirtHost, libvirt: Libvirt, state: str, *, runs: bool
    ) -> None:
        machine.programs["virsh"] = lambda arguments, stdin: (
            f"{state}\n\n" if "domstate" in arguments else host.virsh(arguments, stdin)
        )
        assert libvirt.runs(101) == runs

    def test_no_such_vm(self, libvirt: Libvirt) -> None:
        assert not libvirt.runs(7)
        with pytest.raises(StepError) as refused:
            libvirt.start(7)
        assert refused.value.code == "vm-missing"


class TestCd:
    def test_a_medium_comes_and_goes(self, host: LibvirtHost, libvirt: Libvirt) -> None:
        assert libvirt.image_path("/srv/nested", ISO) == f"/srv/nested/{ISO}"
        libvirt.attach_cd(101, "/srv/nested", ISO)
        libvirt.attach_cd(101, "/srv/nested", ISO)
        assert libvirt.vm(101) == dataclasses.replace(libvirt.vm(101) or Vm(), cd=True, disk_only=False)
        libvirt.start(101)
        assert f"/srv/nested/{ISO}" in host.running["proxmox01"]
        libvirt.detach_cd(101)
        assert ISO not in host.running["proxmox01"], "its image is about to be deleted"
        assert not (libvirt.vm(101) or Vm(cd=True)).cd

    def test_out_of_one_that_is_off(self, host: LibvirtHost, libvirt: Libvirt) -> None:
        libvirt.attach_cd(101, "/srv/nested", ISO)
        libvirt.detach_cd(101)
        assert not (libvirt.vm(101) or Vm(cd=True)).cd
        assert not any("--live" in command for command in host.machine.commands)

    def test_the_drive_is_the_one_that_the_vm_has(self, machine: FakeMachine, libvirt: Libvirt) -> None:
        text = machine.read(f"{DOMAINS}/proxmox01.xml") or ""
        machine.write(f"{DOMAINS}/proxmox01.xml", text.replace('dev="sdb"', 'dev="sdc"'))
        libvirt.attach_cd(101, "/srv/nested", ISO)
        assert machine.commands[-1].endswith(f"change-media proxmox01 sdc /srv/nested/{ISO} --update --config")


APPARMOR = "error: internal error: cannot load AppArmor profile 'libvirt-0cd723da-bd9b-4e25-bf6e-9ee129d31d80'"
DENIED = (
    "error: internal error: process exited while connecting to monitor: 2026-11-29T10:00:00.000000Z qemu-system-x86_64: "
    '-blockdev {"driver":"file"}: Could not open \'/root/nested/dev-101.raw\': Permission denied'
)
STORAGE = "error: cannot access storage file '/root/nested/dev-101.raw' (as uid:64055, gid:64055): Permission denied"


class TestComplaints:
    @pytest.mark.parametrize(
        ("said", "code", "fix"),
        [
            (NO_KVM, "kvm-inaccessible", "usermod -aG kvm libvirt-qemu"),
            (
                "error: unsupported configuration: Emulator '/usr/bin/qemu-system-x86_64' does not support virt type 'kvm'",
                "kvm-inaccessible",
                "ls -l /dev/kvm",
            ),
            (APPARMOR, "libvirt-denied", "journalctl -k --grep apparmor"),
            (DENIED, "libvirt-denied", "namei -l"),
            (STORAGE, "libvirt-denied", "chmod o+x"),
            (DOWN, "libvirt-down", "systemctl status libvirtd.socket libvirtd"),
            ("error: End of file while reading data: Input/output error", "libvirt-down", "systemctl restart libvirtd"),
            ("error: Cannot get interface MTU on 'br9': No such device", "command-failed", "run the shown command"),
        ],
    )
    def test_each_has_its_name_and_its_way_out(
        self, host: LibvirtHost, libvirt: Libvirt, said: str, code: str, fix: str
    ) -> None:
        host.refusals["start"] = said
        with pytest.raises(StepError) as refused:
            libvirt.start(101)
        assert refused.value.code == code
        assert refused.value.what == "`virsh start proxmox01` failed"
        assert said.splitlines()[-1] in refused.value.observed
        assert fix in refused.value.fix
        assert not libvirt.runs(101)

    def test_a_client_that_is_not_there_or_hangs(self, machine: FakeMachine) -> None:
        with pytest.raises(StepError) as missing:
            virsh.virsh(machine, "uri")
        assert (missing.value.code, missing.value.what) == ("command-missing", "virsh is not installed")
        machine.programs["virsh"] = hangs
        with pytest.raises(StepError) as late:
            virsh.virsh(machine, "uri")
        assert (late.value.code, late.value.what) == ("command-timeout", "`virsh uri` did not end")

    def test_a_step_that_is_stopped_is_no_complaint_of_libvirt(self, machine: FakeMachine) -> None:
        stopped = StepError("interrupted", "the step was stopped", observed="SIGTERM")

        def during(_arguments: list[str], _stdin: str) -> str:
            raise stopped

        machine.programs["virsh"] = during
        with pytest.raises(StepError) as seen:
            virsh.virsh(machine, "uri")
        assert seen.value is stopped


class TestStepsOfBothKinds:
    def test_the_journal_needs_no_interfaces_file_and_knows_marked_networks(
        self, machine: FakeMachine, host: LibvirtHost
    ) -> None:
        host.active = {"vmbr1": machine.read(f"{NETWORKS}/vmbr1.xml") or ""}
        with pytest.raises(StepError) as refused:
            run(machine, journal.STEP, Journal("prod", ["vmbr1"]))
        assert refused.value.code == "foreign-bridge"
        assert twice(machine, journal.STEP, Journal("dev", ["vmbr1"])).facts == {"bridges": ["vmbr1"]}

    def test_nested_virtualization_is_not_turned_while_a_vm_of_libvirt_runs(
        self, machine: FakeMachine, host: LibvirtHost
    ) -> None:
        machine.write("/sys/module/kvm_amd/parameters/nested", "0\n")
        machine.write("/sys/module/kvm_amd/initstate", "live\n")
        host.running = {"proxmox01": "", "mail": ""}
        with pytest.raises(StepError) as refused:
            run(machine, kvm_nested.STEP, KvmNested())
        assert refused.value.code == "kvm-in-use"
        assert refused.value.observed == "running: 101 (proxmox01), mail"
        assert machine.ran("modprobe") == []

    def test_packages_stay_while_somebody_has_a_vm(self, machine: FakeMachine, host: LibvirtHost) -> None:
        """To purge libvirt would take the definitions of all VMs with it."""
        apt = Apt(machine, available=[], installed=["libvirt-daemon-system", "xorriso"])
        run(machine, journal.STEP, Journal("dev", []))
        originals.remember_packages(machine, ["libvirt-daemon-system", "xorriso"])
        machine.write(f"{DOMAINS}/mail.xml", MAIL)
        run(machine, journal_restore.STEP, Journal("dev", []))
        assert apt.installed == {"libvirt-daemon-system", "xorriso"}
        seen = "VM mail, VM proxmox01, network vmbr1, pool nested-pve-ha-dev"
        assert f"kept libvirt-daemon-system xorriso: {seen} would be lost with it" in machine.notes
        assert host.machine is machine

    @pytest.mark.parametrize(
        ("path", "text", "seen"),
        [
            (f"{LIVE}/mail.xml", f"<domstatus>{MAIL}</domstatus>", "VM mail"),
            ("/home/ann/.config/libvirt/qemu/mail.xml", MAIL, "VM mail of /home/ann"),
            ("/proc/4711/comm", "qemu-system-x86\n", "process 4711 (qemu-system-x86)"),
        ],
    )
    def test_packages_stay_while_a_vm_needs_them_that_libvirt_has_not_defined(
        self, machine: FakeMachine, path: str, text: str, seen: str
    ) -> None:
        LibvirtHost(machine)
        apt = Apt(machine, available=[], installed=["qemu-system-x86"])
        run(machine, journal.STEP, Journal("dev", []))
        originals.remember_packages(machine, ["qemu-system-x86"])
        machine.write("/proc/1/comm", "systemd\n")
        machine.write(path, text)
        run(machine, journal_restore.STEP, Journal("dev", []))
        assert apt.installed == {"qemu-system-x86"}
        assert f"kept qemu-system-x86: {seen} would be lost with it" in machine.notes

    @pytest.mark.parametrize("with_libvirt", [True, False])
    def test_and_go_when_nobody_has_one(self, machine: FakeMachine, *, with_libvirt: bool) -> None:
        LibvirtHost(machine)
        packages = ["xorriso", *(["libvirt-daemon-system"] if with_libvirt else [])]
        apt = Apt(machine, available=[], installed=packages)
        run(machine, journal.STEP, Journal("dev", []))
        originals.remember_packages(machine, packages)
        machine.write(f"{NETWORKS}/default.xml", "<network><name>default</name></network>")
        if not with_libvirt:
            machine.write(f"{DOMAINS}/mail.xml", MAIL)
        run(machine, journal_restore.STEP, Journal("dev", []))
        assert apt.installed == set()


def test_what_is_built_here_is_what_the_steps_build(host: LibvirtHost) -> None:
    assert host.machine.names(DOMAINS) == ["autostart", "networks", "proxmox01.xml"]
    assert (NETWORK.bridge.name, POOL.directory) == ("vmbr1", "/srv/nested")
    assert isinstance(DOMAIN, LibvirtDomain)
    assert isinstance(host.virsh(["--connect", "qemu:///system", "--quiet", "destroy", "proxmox01"], ""), Result)
