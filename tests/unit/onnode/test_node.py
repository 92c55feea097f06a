"""The steps of one node, whole: installed, prepared, verified."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from onnode import look
from onnode.contract.documents import document
from onnode.contract.host import InstallNode, VmPower
from onnode.contract.look import Look, LookStep
from onnode.contract.node import LinkInterface, PrepareNode, Repository, VerifyNode
from onnode.errors import StepError
from onnode.host import install_node, installation_medium, proxmox_ve, vm_power
from onnode.node import prepare_node, verify_node
from onnode.step import Action
from onnode.system import kernel
from onnode.system.machine import Result
from tests.support.fake_machine import FakeMachine, hangs
from tests.support.onnode_worlds import Apt, Systemd, interfaces, run, twice

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = InstallNode(
    stack="dev",
    vmid=101,
    name="proxmox01",
    base_iso_path="/iso/pve.iso",
    iso_storage="local",
    answer={
        "global": {"fqdn": "proxmox01.lab.internal", "root-password": "correct horse"},
        "network": {"source": "from-answer", "filter": {"ID_NET_NAME_MAC": "*bc2411000001"}},
    },
    first_boot="#!/bin/sh\n# -----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n",
    ssh_address="192.168.0.185",
    ssh_host_key="ecdsa-sha2-nistp256 AAAApinned proxmox01",
    timeout_s=600,
)
CONF = "/etc/pve/nodes/virtual/qemu-server/101.conf"
CONF_TEXT = "boot: order=scsi0\nname: proxmox01\nsmbios1: uuid=1\ntags: nested-pve-ha;stack-dev\n"
ISO = "/var/lib/vz/template/iso/nested-pve-ha-dev-virtual-101.iso"


class OuterHost:
    """A VM that installs itself from its CD, if the answer is right, and then presents its host key."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.running = True
        self.installed = False
        self.seconds_to_install = 120.0
        self.started = 0.0
        self.key = "ecdsa-sha2-nistp256 AAAApinned"
        self.answer: dict[str, Any] = {}
        self.refusal = ""
        self.modes: list[int] = []
        self.locked: tuple[str, str] | None = None  # what qm refuses, and how
        machine.write("/proc/sys/kernel/hostname", "virtual\n")
        machine.write(CONF, CONF_TEXT)
        machine.write("/iso/pve.iso", "installer")
        machine.programs |= {
            "qm": self.qm,
            "pvesm": lambda _arguments, _stdin: f"{ISO}\n",
            "ssh-keyscan": self.keyscan,
            installation_medium.ASSISTANT: self.assistant,
            "sh": self.shell,
        }

    def shell(self, arguments: list[str], stdin: str) -> str | Result:
        assert "umask 077" in arguments[1]
        return self.assistant(arguments[4:], stdin)

    def assistant(self, arguments: list[str], _stdin: str) -> str | Result:
        answer = self.machine.path("/var/lib/nested-pve-ha/install/dev/101-answer.toml")
        self.modes.append(answer.stat().st_mode & 0o777)
        if arguments[0] == "validate-answer":
            if self.refusal:
                return Result(("validate-answer",), 1, err=self.refusal)
            return "The answer file was parsed successfully, no errors found!\n"
        self.answer = tomllib.loads(answer.read_text())
        assert arguments[arguments.index("--on-first-boot") + 1].endswith("101-first-boot")
        self.machine.write(ISO, "image", mode=0o644)
        return ""

    def qm(self, arguments: list[str], _stdin: str) -> str | int | Result:
        if self.locked and " ".join(arguments).replace(" 101", "").startswith(self.locked[0]):
            return Result(("qm", *arguments), 255, err=self.locked[1])
        text = self.machine.read(CONF) or ""
        values = dict(line.split(": ", 1) for line in text.splitlines())
        match arguments:
            case ["status", "101"]:
                return f"status: {'running' if self.running else 'stopped'}\n"
            case ["start", "101"]:
                self.running, self.started = True, self.machine.monotonic()
                if "ide2" in values and ISO.rpartition("/")[2] in values["ide2"]:
                    self.installed = self.machine.read(ISO) == "image"
            case ["stop", "101"]:
                self.running = False
            case ["set", "101", *options]:
                changes = dict(zip(options[::2], options[1::2], strict=True))
                values.pop(changes.pop("--delete", ""), None)
                values |= {key.removeprefix("--"): value for key, value in changes.items()}
                self.machine.write(CONF, "".join(f"{key}: {value}\n" for key, value in values.items()))
        return 0

    def keyscan(self, arguments: list[str], _stdin: str) -> str:
        assert arguments[-2:] == ["ecdsa", "192.168.0.185"]
        if self.running and self.installed and self.machine.monotonic() - self.started >= self.seconds_to_install:
            return f"# 192.168.0.185:22 SSH-2.0-OpenSSH\n192.168.0.185 {self.key}\n"
        return ""


@pytest.fixture
def host(machine: FakeMachine) -> OuterHost:
    return OuterHost(machine)


def _sharing(root: Path, shared: Path) -> FakeMachine:
    """An outer host of the name of its directory, whose images are where others have theirs, too."""
    machine = FakeMachine(root)
    machine.write("/proc/sys/kernel/hostname", f"{root.name}\n")
    machine.write(CONF.replace("virtual", root.name), CONF_TEXT)
    machine.path("/shared").symlink_to(shared)

    def build(arguments: list[str], _stdin: str) -> str:
        machine.write(arguments[arguments.index("--output") + 1], "image")
        return ""

    machine.programs |= {"pvesm": lambda arguments, _stdin: f"/shared/{arguments[1].rpartition('/')[2]}\n", "sh": build}
    return machine


class Locks(NamedTuple):
    """A lock, the tasks of the host, and what is to be said."""

    lock: str
    tasks: str | None
    seen: str
    fix: str


ENDED = "UPID:virtual:00001092:00000309:65000000:qmigrate:101:root@pam: 1 65000010 OK\n"
ANOTHER = "UPID:virtual:00001092:00000309:65000000:qmstart:102:root@pam: 0\n"
AGAIN = "UPID:virtual:00001092:00000308:65000000:qmigrate:101:root@pam: 0\n"  # a number that another process has now
WORKS = ENDED.replace(" 1 65000010 OK", " 0")
BACKUP = "UPID:virtual:00001092:00000309:65000000:vzdump::root@pam: 0\n"
LOCKS = [
    Locks("migrate", ENDED + ANOTHER + AGAIN, "no task on virtual works on it", "on virtual: qm unlock 101; then"),
    Locks("backup", "", "no task on virtual works on it", "on virtual: qm unlock 101; then"),
    Locks("migrate", WORKS, f"task {WORKS.split(maxsplit=1)[0]} runs", "wait until that task has ended, then"),
    Locks("backup", BACKUP, f"task {BACKUP.split(maxsplit=1)[0]} runs", "wait until that task has ended, then"),
    Locks("rollback", "", "may have left the VM incomplete", "check how its last task ended"),
    Locks("suspended", "", "suspended to a disk", "on virtual: qm start 101"),
    Locks(
        "migrate", None, "the running tasks are not known", "wait until the task in brackets has ended; if none runs"
    ),
]


class TestInstallNode:
    def test_from_an_empty_vm_to_a_node_that_answers(self, machine: FakeMachine, host: OuterHost) -> None:
        twice(machine, install_node.STEP, INSTALL)
        assert machine.read(CONF) == CONF_TEXT, "the VM is what the provider made, so a refresh shows nothing"
        assert host.answer == INSTALL.answer
        assert machine.read(ISO) is None, "the image holds secrets"

    def test_secrets_are_only_where_root_reads_and_only_as_long_as_needed(
        self, machine: FakeMachine, host: OuterHost
    ) -> None:
        machine.programs["pvesm"] = lambda _arguments, _stdin: ISO
        run(machine, install_node.STEP, INSTALL)
        assert host.modes == [0o600, 0o600]
        left = [path.read_text() for path in machine.path("/").rglob("*") if path.is_file()]
        assert not any("correct horse" in text or "MHcCAQEE" in text for text in left)
        assert not any("correct horse" in command for command in machine.commands)

    def test_an_answer_that_the_installer_would_refuse(self, machine: FakeMachine, host: OuterHost) -> None:
        host.refusal = 'Error: Found issues in the answer file.\n3 | root-password = "correct horse"'
        with pytest.raises(StepError) as refused:
            run(machine, install_node.STEP, INSTALL)
        assert refused.value.code == "answer-refused"
        assert "correct horse" not in machine.scrub(refused.value.render())
        assert "Found issues" in refused.value.observed
        assert machine.ran("qm set") == [], "nothing booted"

    def test_a_node_that_never_comes_up(self, machine: FakeMachine, host: OuterHost) -> None:
        host.seconds_to_install = 1e9
        before = machine.monotonic()
        with pytest.raises(StepError) as failed:
            run(machine, install_node.STEP, INSTALL)
        assert failed.value.code == "node-not-up"
        assert "no answer" in failed.value.observed
        assert machine.monotonic() - before < INSTALL.timeout_s + 60

    def test_a_node_without_its_first_boot_script(self, machine: FakeMachine, host: OuterHost) -> None:
        host.key = "ecdsa-sha2-nistp256 AAAArandom"
        with pytest.raises(StepError) as failed:
            run(machine, install_node.STEP, INSTALL)
        assert failed.value.code == "node-not-up"
        assert "another key, ecdsa-sha2-nistp256 AAAArandom" in failed.value.observed

    def test_a_vm_that_stops_while_it_is_waited_for(self, machine: FakeMachine, host: OuterHost) -> None:
        host.seconds_to_install = 1e9
        sleep = machine.sleep

        def crash(seconds: float) -> None:
            sleep(seconds)
            host.running = False

        machine.sleep = crash  # type: ignore[method-assign]
        with pytest.raises(StepError) as failed:
            run(machine, install_node.STEP, INSTALL)
        assert failed.value.code == "vm-stopped"

    @pytest.mark.parametrize("killed_at", ["validate", "pvesm", "build", "set", "stop", "start", "keyscan", "eject"])
    def test_killed_anywhere_and_run_again(self, machine: FakeMachine, host: OuterHost, killed_at: str) -> None:
        def killing(program: str, word: str) -> None:
            real = machine.programs[program]

            def killed(arguments: list[str], stdin: str) -> Any:  # noqa: ANN401
                if word in " ".join(arguments):
                    machine.programs[program] = real
                    raise StepError("interrupted", killed_at)
                return real(arguments, stdin)

            machine.programs[program] = killed

        places = {
            "validate": (installation_medium.ASSISTANT, "validate-answer"),
            "pvesm": ("pvesm", "path"),
            "build": ("sh", "prepare-iso"),
            "set": ("qm", "order=scsi0;ide2"),
            "stop": ("qm", "stop"),
            "start": ("qm", "start"),
            "keyscan": ("ssh-keyscan", ""),
            "eject": ("qm", "--delete ide2"),
        }
        killing(*places[killed_at])
        with pytest.raises(StepError):
            run(machine, install_node.STEP, INSTALL)
        twice(machine, install_node.STEP, INSTALL)
        assert machine.read(CONF) == CONF_TEXT
        assert machine.read(ISO) is None
        assert host.installed

    @pytest.mark.parametrize("installed", [True, False])
    def test_what_a_killed_build_left_is_removed(self, machine: FakeMachine, host: OuterHost, installed: bool) -> None:  # noqa: FBT001
        run(machine, install_node.STEP, INSTALL)
        records = "/var/lib/nested-pve-ha/install/dev"
        if not installed:
            host.installed = False
            machine.write(f"{records}/101.json", json.dumps({"identity": "", "digest": "", "iso": ISO}))
        left = [f"{records}/101-answer.toml", f"{records}/.101-first-boot.nested-pve-ha-new", f"{ISO}.work/boot.img"]
        for path in (*left, ISO):
            machine.write(path, "secret")
        machine.write(f"{records}/1012-answer.toml", "of another node, whose build may be at work")
        run(machine, install_node.STEP, INSTALL)
        assert [path for path in (*left, f"{ISO}.work", ISO) if machine.exists(path)] == []
        assert machine.exists(f"{records}/1012-answer.toml")

    def test_what_a_killed_build_left_is_forgotten_with_the_stack(self, machine: FakeMachine) -> None:
        machine.write("/var/lib/nested-pve-ha/install/dev/101-answer.toml", "secret")
        assert install_node.recorded(machine, "dev") == [101]
        install_node.forget(machine, "dev", 101)
        assert install_node.recorded(machine, "dev") == []
        assert not machine.exists("/var/lib/nested-pve-ha/install/dev")

    @pytest.mark.parametrize("there", [ISO, f"{ISO}.work"])
    def test_an_image_without_a_record_is_not_ours(self, machine: FakeMachine, host: OuterHost, there: str) -> None:
        machine.write(there, "precious")
        with pytest.raises(StepError) as refused:
            run(machine, install_node.STEP, INSTALL)
        assert refused.value.code == "foreign-file"
        assert there in refused.value.render()
        assert machine.read(there) == "precious"
        assert machine.read(CONF) == CONF_TEXT
        assert not host.installed

    def test_a_node_that_was_powered_off_is_known_and_started(self, machine: FakeMachine, host: OuterHost) -> None:
        power = VmPower("dev", 101, "proxmox01", INSTALL.ssh_address, INSTALL.ssh_host_key, INSTALL.timeout_s)
        host.running = False
        assert not run(machine, vm_power.STEP, power).changed, "an empty VM is off, and not to be started as it is"
        run(machine, install_node.STEP, INSTALL)
        assert not run(machine, vm_power.STEP, power).changed
        host.running = False
        seen = vm_power.observe(machine, power)
        assert [str(action) for action in vm_power.decide(seen, power)] == ["start proxmox01: VM 101 is powered off"]
        before = machine.read(CONF)
        twice(machine, vm_power.STEP, power)
        assert f"waiting for proxmox01 to answer at {power.ssh_address}" in machine.notes
        assert host.running
        assert (machine.read(CONF), machine.ran("qm set")) == (before, [])
        host.running = False
        run(machine, install_node.STEP, INSTALL)
        assert host.running
        machine.write(CONF, CONF_TEXT.replace("stack-dev", "customer"))
        host.running = False
        assert not run(machine, vm_power.STEP, power).changed

    def test_an_installation_that_is_on_its_way_is_not_begun_again(self, machine: FakeMachine, host: OuterHost) -> None:
        host.seconds_to_install = INSTALL.timeout_s + 60.0
        with pytest.raises(StepError):
            run(machine, install_node.STEP, INSTALL)
        twice(machine, install_node.STEP, INSTALL)
        assert machine.ran("qm start") == []

    def test_an_installed_node_that_is_off_is_only_started(self, machine: FakeMachine, host: OuterHost) -> None:
        run(machine, install_node.STEP, INSTALL)
        host.running = False
        twice(machine, install_node.STEP, dataclasses.replace(INSTALL, first_boot="#!/bin/sh\n# changed\n"))
        assert machine.ran("qm set") == []

    @pytest.mark.parametrize("word", ["set", "stop", "start", "set --delete", "power"])
    @pytest.mark.parametrize("case", LOCKS, ids=lambda case: f"{case.lock} {case.seen}")
    def test_a_locked_vm_is_told_as_that_with_what_takes_the_lock_away(
        self, machine: FakeMachine, host: OuterHost, word: str, case: Locks
    ) -> None:
        if word == "power":
            run(machine, install_node.STEP, INSTALL)
            host.running = False
        host.locked = (word.replace("power", "start"), f"VM is locked ({case.lock})\n")
        if case.tasks is not None:
            machine.write(proxmox_ve.TASKS, case.tasks)
        machine.write("/proc/4242/stat", f"4242 (task UPID:virtual) {' '.join('S' * 19)} 777 1 2\n")
        before = machine.read(CONF)
        power = VmPower("dev", 101, "proxmox01", INSTALL.ssh_address, INSTALL.ssh_host_key, INSTALL.timeout_s)
        with pytest.raises(StepError) as refused:
            run(machine, *((vm_power.STEP, power) if word == "power" else (install_node.STEP, INSTALL)))
        assert (refused.value.code, case.lock in refused.value.observed) == ("guest-locked", True)
        assert case.seen in refused.value.observed
        assert refused.value.fix.startswith(case.fix)
        assert ("qm unlock" in refused.value.fix) is ("unlock" in case.fix or case.tasks is None)
        assert not machine.ran("qm unlock")
        assert word not in ("set", "power") or machine.read(CONF) == before
        host.locked = None
        run(machine, install_node.STEP, INSTALL)
        assert host.installed, "the same command again goes on"

    def test_what_else_qm_refuses_is_no_lock(self, machine: FakeMachine, host: OuterHost) -> None:
        host.locked = ("set", "can't lock file '/var/lock/qemu-server/lock-101.conf' - got timeout\n")
        with pytest.raises(StepError) as refused:
            run(machine, install_node.STEP, INSTALL)
        assert refused.value.code == "command-failed"

    def test_forgotten_with_its_image(self, machine: FakeMachine, host: OuterHost) -> None:
        host.seconds_to_install = 1e9
        with pytest.raises(StepError):
            run(machine, install_node.STEP, INSTALL)
        assert machine.read(ISO) == "image"
        assert install_node.recorded(machine, "dev") == [101]
        install_node.forget(machine, "dev", 101)
        assert machine.read(ISO) is None
        assert install_node.recorded(machine, "dev") == []

    def test_hosts_that_share_a_storage_have_images_of_their_own(self, tmp_path: Path) -> None:
        """The vmids are each host's own, so that both have a VM 101; what one removes was the other's."""
        shared = tmp_path / "shared"
        shared.mkdir()
        hosts = [_sharing(tmp_path / name, shared) for name in ("virtual", "virtual2")]
        for machine in hosts:
            install_node.act(machine, INSTALL, Action("build", INSTALL.name))
        assert len(list(shared.iterdir())) == 2
        install_node.forget(hosts[0], "dev", 101)
        assert [path.name for path in shared.iterdir()] == ["nested-pve-ha-dev-virtual2-101.iso"]

    def test_the_same_vm_excludes_itself_only(self) -> None:
        assert install_node.STEP.scope(INSTALL) == "vm-101"
        assert install_node.STEP.lock_wait_s(INSTALL) > INSTALL.timeout_s


PREPARE = PrepareNode(
    name="proxmox02",
    fqdn="proxmox02.lab.internal",
    address="192.168.0.186",
    pve_major=9,
    repository=Repository("keep", "http://download.proxmox.com/debian/pve"),
    upgrade=True,
    reboot=True,
)


class Node:
    """A freshly installed node with an old kernel."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.apt = Apt(machine, available=[], installed=["proxmox-kernel-6.14.8-2-pve-signed"])
        self.apt.upgrades = {"proxmox-kernel-6.17": "proxmox-kernel-6.17.2-1-pve-signed"}
        self.systemd = Systemd(machine, ssh="active")
        machine.write("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 proxmox02\n")
        machine.write("/etc/network/interfaces", "auto lo\niface lo inet loopback\n")
        machine.write("/proc/sys/kernel/hostname", "proxmox02\n")
        machine.write("/proc/sys/kernel/osrelease", "6.14.8-2-pve\n")
        machine.write("/proc/sys/kernel/random/boot_id", "first\n")
        machine.write("/proc/cpuinfo", "flags: vmx\n")
        machine.write("/proc/self/mounts", "/dev/fuse /etc/pve fuse rw 0 0\n")
        machine.write("/dev/kvm", "")
        interfaces(machine, {"name": "lo", "address": "127.0.0.1/8"}, {"name": "nic1", "mac": "bc:24:11:00:01:02"})
        machine.programs |= {
            "stat": lambda *_: "",
            "systemd-run": lambda *_: "",
            "getent": lambda *_: "192.168.0.186   STREAM proxmox02\n192.168.0.186   DGRAM\n",
        }
        self.systemd.units |= dict.fromkeys(verify_node.SERVICES, "active")

    def boot(self, kernel_release: str) -> None:
        self.machine.write("/proc/sys/kernel/osrelease", kernel_release)
        self.machine.write("/proc/sys/kernel/random/boot_id", "second\n")
        self.systemd.units["ssh"] = "active"
        self.machine.sleep(30)


@pytest.fixture
def node(machine: FakeMachine) -> Node:
    return Node(machine)


class TestPrepareNode:
    def test_from_installed_to_rebooted(self, machine: FakeMachine, node: Node) -> None:
        outcome = twice(machine, prepare_node.STEP, PREPARE)
        assert outcome.facts["kernel_newest"] == "6.17.2-1-pve"
        assert outcome.facts["reboot_scheduled"]
        assert machine.read("/etc/hosts") == ("127.0.0.1 localhost\n192.168.0.186 proxmox02.lab.internal proxmox02\n")
        assert node.systemd.units["ssh"] == "inactive", "who dials next reaches the node only after its reboot"

    def test_after_the_reboot_nothing_is_left_to_do(self, machine: FakeMachine, node: Node) -> None:
        run(machine, prepare_node.STEP, PREPARE)
        node.boot("6.17.2-1-pve")
        outcome = run(machine, prepare_node.STEP, PREPARE)
        assert not outcome.changed
        assert not outcome.facts["reboot_scheduled"]
        assert outcome.facts["left_undone"] == []

    def test_a_reboot_that_did_not_happen_is_asked_for_again(self, machine: FakeMachine, node: Node) -> None:
        del node
        run(machine, prepare_node.STEP, PREPARE)
        assert len(machine.ran("systemd-run")) == 2
        machine.sleep(600)
        assert run(machine, prepare_node.STEP, PREPARE).changed
        assert "reboot into 6.17.2-1-pve" in machine.notes

    def test_no_reboot_while_guests_run(self, machine: FakeMachine, node: Node) -> None:
        del node
        machine.write("/etc/pve/qemu-server/100.conf", "name: db\n")
        machine.write("/etc/pve/lxc/101.conf", "hostname: web\n")
        machine.programs["qm"] = lambda _arguments, _stdin: "VMID NAME STATUS MEM(MB)\n 100 db running 512\n"
        machine.programs["pct"] = lambda _arguments, _stdin: "VMID Status Lock Name\n101 running       web\n"
        with pytest.raises(StepError) as refused:
            run(machine, prepare_node.STEP, PREPARE)
        assert refused.value.code == "guests-running"
        assert refused.value.observed == "VM 100, CT 101"
        assert machine.ran("systemd-run") == []
        machine.programs["qm"] = lambda _arguments, _stdin: "VMID NAME STATUS MEM(MB)\n 100 db stopped 512\n"
        machine.programs["pct"] = lambda _arguments, _stdin: "VMID Status Lock Name\n101 stopped       web\n"
        assert run(machine, prepare_node.STEP, PREPARE).facts["reboot_scheduled"]

    def test_a_member_is_spared(self, machine: FakeMachine, node: Node) -> None:
        machine.write("/etc/corosync/corosync.conf", "totem {\n cluster_name: proxmox\n}\n")
        before = sorted(node.apt.installed)
        outcome = run(machine, prepare_node.STEP, PREPARE)
        assert not outcome.changed
        assert outcome.facts["member"]
        assert outcome.facts["left_undone"] == ["upgrade of 1 packages"]
        assert sorted(node.apt.installed) == before
        assert machine.ran("systemd-run") == []

    def test_a_member_with_an_old_kernel_is_not_rebooted(self, machine: FakeMachine, node: Node) -> None:
        machine.write("/etc/corosync/authkey", "")
        node.apt.installed.add("proxmox-kernel-6.17.2-1-pve-signed")
        node.apt.upgrades = {}
        outcome = run(machine, prepare_node.STEP, PREPARE)
        assert outcome.facts["left_undone"] == ["reboot into 6.17.2-1-pve"]
        assert machine.ran("systemd-run") == []

    @pytest.mark.usefixtures("node")
    @pytest.mark.parametrize("text", ["", '{"boot_id": "fir', "[]"])
    def test_a_note_that_was_cut_off_asks_for_no_reboot(self, machine: FakeMachine, text: str) -> None:
        machine.write(kernel.REBOOT_FILE, text)
        assert not kernel.observe(machine).reboot_missing

    def test_a_pinned_kernel_counts_as_the_newest(self, machine: FakeMachine, node: Node) -> None:
        del node
        machine.write(kernel.PIN_FILE, "6.14.8-2-pve\n")
        outcome = run(machine, prepare_node.STEP, PREPARE)
        assert not outcome.facts["reboot_scheduled"]

    def test_the_first_boot_script_is_waited_for(self, machine: FakeMachine, node: Node) -> None:
        node.systemd.units["first-boot"] = "proxmox-first-boot-multi-user.service loaded activating start"
        sleep = machine.sleep

        def pass_time(seconds: float) -> None:
            sleep(seconds)
            node.systemd.units["first-boot"] = ""

        machine.sleep = pass_time  # type: ignore[method-assign]
        assert run(machine, prepare_node.STEP, PREPARE).changed
        assert machine.notes[0] == "wait proxmox-first-boot*"

    def test_but_not_for_ever(self, machine: FakeMachine, node: Node) -> None:
        node.systemd.units["first-boot"] = "proxmox-first-boot-multi-user.service loaded activating start"
        before = machine.monotonic()
        with pytest.raises(StepError) as failed:
            run(machine, prepare_node.STEP, PREPARE)
        assert failed.value.code == "first-boot-hangs"
        assert machine.monotonic() - before < 700


VERIFY = VerifyNode(
    name="proxmox02",
    address="192.168.0.186",
    pve_major=9,
    interfaces=[LinkInterface("10.10.1.186/24", mac="BC:24:11:00:01:02")],
    require_virtualization=True,
    require_newest_kernel=True,
)


class TestVerifyNode:
    @pytest.fixture(autouse=True)
    def rebooted(self, machine: FakeMachine, node: Node) -> None:
        machine.write("/etc/network/interfaces", "auto nic1\niface nic1 inet static\n\taddress 10.10.1.186/24\n")
        machine.programs["ifreload"]([], "")
        run(machine, prepare_node.STEP, PREPARE)
        node.boot("6.17.2-1-pve")

    def test_as_described(self, machine: FakeMachine) -> None:
        outcome = run(machine, verify_node.STEP, VERIFY)
        assert not outcome.changed
        assert outcome.facts["kernel_running"] == "6.17.2-1-pve"
        json.dumps(outcome.facts)

    def test_not_rebooted(self, machine: FakeMachine) -> None:
        machine.write("/proc/sys/kernel/random/boot_id", "first\n")
        with pytest.raises(StepError) as failed:
            run(machine, verify_node.STEP, VERIFY)
        assert failed.value.code == "reboot-missing"

    def test_services_get_time_after_a_boot(self, machine: FakeMachine, node: Node) -> None:
        node.systemd.units["pveproxy"] = "activating"
        sleep = machine.sleep

        def pass_time(seconds: float) -> None:
            sleep(seconds)
            node.systemd.units["pveproxy"] = "active"

        machine.sleep = pass_time  # type: ignore[method-assign]
        assert not run(machine, verify_node.STEP, VERIFY).changed

    def test_but_not_for_ever(self, machine: FakeMachine, node: Node) -> None:
        node.systemd.units["pvestatd"] = "failed"
        before = machine.monotonic()
        with pytest.raises(StepError) as failed:
            run(machine, verify_node.STEP, VERIFY)
        assert failed.value.code == "services"
        assert "pvestatd" in failed.value.observed
        assert machine.monotonic() - before < 120

    def test_a_pve_filesystem_that_hangs(self, machine: FakeMachine) -> None:
        machine.programs["stat"] = hangs
        with pytest.raises(StepError) as failed:
            run(machine, verify_node.STEP, VERIFY)
        assert "/etc/pve (not mounted)" in failed.value.observed

    def test_an_address_that_is_down_is_told_as_a_value_too(self, machine: FakeMachine) -> None:
        """`status` read it out of the sentence."""
        interfaces(machine, {"name": "nic1", "mac": "bc:24:11:00:01:02", "address": "10.10.1.9/24"})
        verify = LookStep("verify", "verify-node", json.dumps(document(VERIFY)))
        (told,) = run(machine, look.STEP, Look([verify])).facts["steps"]
        assert told["refusal"]["addresses"] == ["10.10.1.186/24"]

    def test_the_clock(self, machine: FakeMachine) -> None:
        machine.programs["chronyc"] = lambda *_: "System time : 61.5 seconds slow of NTP time\nLeap status : Normal\n"
        with pytest.raises(StepError) as failed:
            run(machine, verify_node.STEP, VERIFY)
        assert failed.value.code == "clock"


def test_of_the_hosts_file_only_the_names_own_ipv4_line_changes() -> None:
    before = (
        "127.0.0.1 localhost  # as installed\n"
        "127.0.1.1 pve1.lan pve1 # Debian's\n"
        "fd00::5 pve1.lab.internal pve1\n"
        "::1 localhost ip6-localhost pve1\n"
        "192.168.0.9 nas pve1 # the backup's\n"
        "\n# the end\n"
    )
    assert prepare_node.hosts_text(before, "192.168.0.101", "pve1.lab.internal", "pve1") == (
        "127.0.0.1 localhost  # as installed\n"
        "127.0.1.1 pve1.lan # Debian's\n"
        "fd00::5 pve1.lab.internal pve1\n"
        "::1 localhost ip6-localhost\n"
        "192.168.0.9 nas # the backup's\n"
        "\n# the end\n"
        "192.168.0.101 pve1.lab.internal pve1\n"
    )
