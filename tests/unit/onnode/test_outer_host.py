"""The steps of the outer host, whole: once with work, once without, killed half way, and undone."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from onnode.contract.host import Bridge, BridgePorts, Dhcp, Journal, KvmNested, NfsExport, VerifyHost
from onnode.contract.node import Repository
from onnode.errors import StepError
from onnode.host import dhcp, journal, journal_restore, kvm_nested, nfs_export, verify_host
from onnode.system import originals, repository
from onnode.system.machine import Result
from tests.support.fake_machine import hangs
from tests.support.onnode_worlds import Apt, Kvm, Systemd, interfaces, run, twice

if TYPE_CHECKING:
    from tests.support.fake_machine import FakeMachine

ENTERPRISE = "/etc/apt/sources.list.d/pve-enterprise.sources"
ENTERPRISE_TEXT = (
    "Types: deb\nURIs: https://enterprise.proxmox.com/debian/pve\nSuites: trixie\nComponents: pve-enterprise\n"
)
NO_SUBSCRIPTION = Repository("no-subscription", "http://download.proxmox.com/debian/pve", ["dnsmasq-base"])
BRIDGES = [
    Bridge("vmbr1", "10.10.1.1/24", "10.10.1.10", "10.10.1.20"),
    Bridge("vmbr2", "10.20.1.1/24", "10.20.1.10", "10.20.1.20"),
    Bridge("vmbr3", "10.30.1.1/24"),
]


@pytest.fixture
def apt(machine: FakeMachine) -> Apt:
    machine.write(ENTERPRISE, ENTERPRISE_TEXT)
    return Apt(machine, available=["dnsmasq-base"])


class TestKvmNested:
    def test_on_now_and_after_a_reboot(self, machine: FakeMachine) -> None:
        Kvm(machine)
        outcome = twice(machine, kvm_nested.STEP, KvmNested())
        assert outcome.facts == {"virtualization": "vmx", "nested": True}
        assert machine.read("/etc/modprobe.d/nested-pve-ha.conf") == (
            "# Made by nested-pve-ha.\noptions kvm-intel nested=1\noptions kvm-amd nested=1\n"
        )

    @pytest.mark.parametrize(("enabled", "value"), [(True, "1"), (False, "0")])
    def test_the_file_says_what_is_wanted_of_either_module(
        self, machine: FakeMachine, value: str, *, enabled: bool
    ) -> None:
        Kvm(machine, live="N" if enabled else "Y")
        twice(machine, kvm_nested.STEP, KvmNested(enabled=enabled))
        options = (machine.read(kvm_nested.OPTIONS_FILE) or "").splitlines()[1:]
        assert options == [f"options kvm-intel nested={value}", f"options kvm-amd nested={value}"]

    def test_refused_while_a_vm_runs_but_ready_for_a_reboot(self, machine: FakeMachine) -> None:
        Kvm(machine, running="101 db running 512 8.00 99\n")
        with pytest.raises(StepError) as refused:
            run(machine, kvm_nested.STEP, KvmNested())
        assert refused.value.code == "kvm-in-use"
        assert "nested=1" in (machine.read("/etc/modprobe.d/nested-pve-ha.conf") or "")
        assert machine.ran("modprobe") == []

    def test_a_vm_that_started_at_the_last_moment(self, machine: FakeMachine) -> None:
        world = Kvm(machine)

        def modprobe(arguments: list[str], stdin: str) -> int | Result:
            world.running = "101 db running 512 8 9\n"
            return world.modprobe(arguments, stdin)

        machine.programs["modprobe"] = modprobe
        with pytest.raises(StepError) as refused:
            run(machine, kvm_nested.STEP, KvmNested())
        assert refused.value.code == "kvm-in-use"

    def test_killed_between_unloading_and_loading(self, machine: FakeMachine) -> None:
        world = Kvm(machine)
        world.modprobe(["-r", "kvm_intel"], "")
        twice(machine, kvm_nested.STEP, KvmNested())

    def test_a_module_that_ignores_the_option(self, machine: FakeMachine) -> None:
        Kvm(machine)
        machine.programs["modprobe"] = lambda _arguments, _stdin: 0
        with pytest.raises(StepError) as failed:
            run(machine, kvm_nested.STEP, KvmNested())
        assert failed.value.code == "not-converged"
        assert "reload kvm_intel" in failed.value.observed

    @pytest.mark.parametrize(
        ("refusal", "log", "code"),
        [
            ("modprobe: ERROR: could not insert 'kvm_intel': Operation not supported", "[    2.1] kvm: disabled by bios", "kvm-refused-by-firmware"),
            ("modprobe: ERROR: could not insert 'kvm_intel': Operation not supported", "[    2.1] kvm_amd: SVM disabled (by BIOS) in MSR_VM_CR on CPU 0", "kvm-refused-by-firmware"),
            ("modprobe: ERROR: could not insert 'kvm_intel': Operation not supported", "", "kvm-refused-by-firmware"),
            ("modprobe: FATAL: Module kvm_intel not found in directory /lib/modules/6.17.2-2-pve", "", "kvm-module-missing"),
            ("modprobe: ERROR: could not insert 'kvm_intel': Operation not permitted", "[ 9.1] Module kvm_intel is blacklisted", "kvm-command-line"),
            ("modprobe: ERROR: ../libkmod/libkmod-module.c:1084 command_do() Error running install command '/bin/false' for module kvm_intel: retcode 1", "", "kvm-load-failed"),
        ],
    )  # fmt: skip
    def test_a_module_that_cannot_be_loaded_is_told_as_what_it_is(
        self, machine: FakeMachine, refusal: str, log: str, code: str
    ) -> None:
        world = Kvm(machine)
        machine.programs["dmesg"] = lambda *_: f"[    0.0] Linux version 6.17\n{log}\n"
        world.modprobe(["-r", "kvm_intel"], "")
        world.refusal = refusal
        with pytest.raises(StepError) as refused:
            run(machine, kvm_nested.STEP, KvmNested())
        assert refused.value.code == code
        assert refusal.rpartition(": ")[2] in refused.value.observed
        assert log in refused.value.observed
        assert "Linux version" not in refused.value.observed
        world.refusal = ""
        twice(machine, kvm_nested.STEP, KvmNested())

    def test_a_module_that_is_part_of_the_kernel(self, machine: FakeMachine) -> None:
        Kvm(machine)
        machine.remove("/sys/module/kvm_intel/initstate")
        with pytest.raises(StepError) as refused:
            run(machine, kvm_nested.STEP, KvmNested())
        assert refused.value.code == "kvm-built-in"
        assert machine.read(kvm_nested.OPTIONS_FILE) is None, "it would have no effect"
        assert machine.ran("modprobe") == []

    def test_the_kernels_command_line_wins_over_files(self, machine: FakeMachine) -> None:
        Kvm(machine)
        machine.write(
            "/proc/cmdline", "BOOT_IMAGE=/boot/vmlinuz-6.17.2-2-pve root=/dev/sda1 kvm-intel.nested=0 quiet\n"
        )
        with pytest.raises(StepError) as refused:
            run(machine, kvm_nested.STEP, KvmNested())
        assert refused.value.code == "kvm-command-line"
        assert "kvm-intel.nested=0" in refused.value.observed
        assert machine.read(kvm_nested.OPTIONS_FILE) is None

    def test_who_has_kvm_open_is_named_and_references_are_not_called_users(self, machine: FakeMachine) -> None:
        Kvm(machine)
        machine.write(kvm_nested.OPTIONS_FILE, kvm_nested.options_text(enabled=True))
        machine.write("/sys/module/kvm_intel/refcnt", "3\n")
        machine.write("/proc/4711/comm", "qemu-system-x86\n")
        machine.write("/proc/4711/stat", "")
        machine.path("/proc/4711/fd").mkdir()
        machine.path("/proc/4711/fd/7").symlink_to("anon_inode:kvm-vm")
        machine.path("/proc/4711/fd/8").symlink_to("anon_inode:kvm-vcpu:0")
        with pytest.raises(StepError) as refused:
            run(machine, kvm_nested.STEP, KvmNested())
        assert refused.value.code == "kvm-in-use"
        assert "qemu-system-x86 (process 4711)" in refused.value.observed
        assert "3" not in refused.value.observed
        assert machine.ran("modprobe") == []

    def test_a_modprobe_that_hangs(self, machine: FakeMachine) -> None:
        Kvm(machine)
        machine.programs["modprobe"] = lambda arguments, stdin: 0 if arguments[0] == "-r" else hangs(arguments, stdin)
        before = machine.monotonic()
        with pytest.raises(StepError) as failed:
            run(machine, kvm_nested.STEP, KvmNested())
        assert failed.value.code == "command-timeout"
        assert machine.monotonic() - before < 120


class TestRepository:
    def test_enterprise_off_no_subscription_on_packages_in(self, machine: FakeMachine, apt: Apt) -> None:
        outcome = twice(machine, repository.STEP, NO_SUBSCRIPTION)
        assert "Enabled: no" in (machine.read(ENTERPRISE) or "")
        assert apt.installed == {"dnsmasq-base"}
        assert outcome.facts == {"repositories": ["http://download.proxmox.com/debian/pve trixie"]}

    def test_packages_that_would_remove_others_are_refused_before_anything_is_installed(
        self, machine: FakeMachine, apt: Apt
    ) -> None:
        apt.conflicts = {"ifupdown": "ifupdown2"}
        apt.available = [*apt.available, "ifupdown"]
        more = replace(NO_SUBSCRIPTION, packages=[*NO_SUBSCRIPTION.packages, "ifupdown"])
        with pytest.raises(StepError) as error:
            run(machine, repository.STEP, more)
        assert (error.value.code, error.value.observed) == ("install-removes", "ifupdown2")
        assert apt.installed == set()
        twice(machine, repository.STEP, NO_SUBSCRIPTION)
        assert apt.installed == {"dnsmasq-base"}

    def test_another_package_manager_is_waited_for(self, machine: FakeMachine, apt: Apt) -> None:
        apt.broken = ["E: Could not get lock /var/lib/apt/lists/lock. It is held by process 812 (apt-get)\n"]
        twice(machine, repository.STEP, NO_SUBSCRIPTION)

    def test_but_not_for_ever(self, machine: FakeMachine, apt: Apt) -> None:
        apt.broken = [
            "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)"
        ] * 999
        before = machine.monotonic()
        with pytest.raises(StepError) as failed:
            run(machine, repository.STEP, NO_SUBSCRIPTION)
        assert failed.value.code == "apt-locked"
        assert "process 812 (unattended-upgr)" in failed.value.render()
        assert machine.monotonic() - before < 200

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            ("Err:4 https://enterprise.proxmox.com/debian/pve trixie InRelease\n  401  Unauthorized [IP: 1.2.3.4 443]", "repository-unauthorized"),
            ("W: GPG error: http://x trixie InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 1140AF8F639E0C39", "repository-untrusted"),
            ("E: The repository 'http://x trixie InRelease' is not signed.", "repository-untrusted"),
            ("W: Failed to fetch http://x/InRelease  Temporary failure resolving 'download.proxmox.com'", "repository-unreachable"),
            ("E: Failed to fetch http://x/InRelease  Clearsigned file isn't valid, got 'NOSPLIT'", "repository-untrusted"),
            ("E: Unable to locate package dnsmasq-base", "package-unavailable"),
            ("E: You don't have enough free space in /var/cache/apt/archives/.", "disk-full"),
            ("E: Failed to fetch http://x/Packages.gz  Write error - write (28: No space left on device)", "disk-full"),
            ("E: Release file for http://x/dists/trixie/InRelease is expired (invalid since 3d 4h 5min 6s). Updates for this repository will not be applied.", "repository-expired"),
            ("E: Release file for http://x/dists/trixie/InRelease is not valid yet (invalid for another 2h 1min). Updates for this repository will not be applied.", "clock"),
            ("E: Repository 'http://x trixie InRelease' changed its 'Suite' value from 'testing' to 'stable'", "repository-changed"),
            ("E: Conflicting values set for option Signed-By regarding source http://x/ trixie: /a != /b\nE: The list of sources could not be read.", "sources-unreadable"),
            ("The following packages have unmet dependencies:\nE: Unable to correct problems, you have held broken packages.", "packages-broken"),
            ("E: something new", "apt-failed"),
        ],
    )  # fmt: skip
    def test_what_apt_complains_about(self, machine: FakeMachine, apt: Apt, said: str, code: str) -> None:
        apt.broken = [said]
        with pytest.raises(StepError) as failed:
            run(machine, repository.STEP, NO_SUBSCRIPTION)
        assert failed.value.code == code
        twice(machine, repository.STEP, NO_SUBSCRIPTION)

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            ("E: Failed to fetch http://x/main/binary-amd64/Packages.gz  File has unexpected size (1234 != 1299). Mirror sync in progress? [IP: 1.2.3.4 80]", "repository-syncing"),
            ("E: Failed to fetch http://x/pool/a.deb  Hash Sum mismatch\n   Hashes of expected file:\n    - SHA256:aa", "repository-damaged"),
        ],
    )  # fmt: skip
    def test_a_mirror_that_is_out_of_step_is_tried_again_but_not_for_ever(
        self, machine: FakeMachine, apt: Apt, said: str, code: str
    ) -> None:
        apt.broken = [said, said]
        run(machine, repository.STEP, NO_SUBSCRIPTION)
        assert apt.installed == {"dnsmasq-base"}
        assert any("trying again in 20 s" in note for note in machine.notes)
        machine.sleep(86_400)
        apt.installed, apt.broken = set(), [said] * 99
        before = machine.monotonic()
        with pytest.raises(StepError) as failed:
            run(machine, repository.STEP, NO_SUBSCRIPTION)
        assert failed.value.code == code
        assert said.splitlines()[0] in failed.value.observed
        assert len(apt.broken) == 96
        assert machine.monotonic() - before < 60

    def test_a_failed_update_is_not_forgotten(self, machine: FakeMachine, apt: Apt) -> None:
        apt.installed = {"dnsmasq-base"}
        apt.broken = ["E: Failed to fetch"]
        with pytest.raises(StepError):
            run(machine, repository.STEP, NO_SUBSCRIPTION)
        assert "Enabled: no" in (machine.read(ENTERPRISE) or ""), "the sources are as wanted already"
        run(machine, repository.STEP, NO_SUBSCRIPTION)
        assert machine.ran("apt-get")[-1].endswith(" update")

    def test_a_failed_update_is_not_forgotten_though_an_earlier_one_went_well(
        self, machine: FakeMachine, apt: Apt
    ) -> None:
        run(machine, repository.STEP, NO_SUBSCRIPTION)
        machine.write(ENTERPRISE, ENTERPRISE_TEXT)
        apt.broken = ["E: Failed to fetch"]
        with pytest.raises(StepError):
            run(machine, repository.STEP, NO_SUBSCRIPTION)
        assert run(machine, repository.STEP, NO_SUBSCRIPTION).changed

    def test_a_source_that_others_add_or_take_away_is_no_difference(self, machine: FakeMachine, apt: Apt) -> None:
        run(machine, repository.STEP, NO_SUBSCRIPTION)
        machine.write("/etc/apt/sources.list.d/theirs.list", "deb http://theirs.lab.internal/ ./\n")
        assert not run(machine, repository.STEP, NO_SUBSCRIPTION).changed
        apt.available.append("xorriso")
        wanted = Repository(NO_SUBSCRIPTION.mode, NO_SUBSCRIPTION.uri, ["dnsmasq-base", "xorriso"])
        run(machine, repository.STEP, wanted)
        asked = [command.split()[-1] for command in machine.ran("apt-get")]
        assert asked[-3:] == ["update", "xorriso", "xorriso"], "what is installed comes from the sources of the moment"
        machine.remove("/etc/apt/sources.list.d/theirs.list")
        assert not run(machine, repository.STEP, wanted).changed

    def test_what_a_killed_dpkg_left_is_finished_first(self, machine: FakeMachine, apt: Apt) -> None:
        apt.half = True
        run(machine, repository.STEP, NO_SUBSCRIPTION)
        assert not apt.half
        order = [command.split()[0] + command.split()[-1] for command in machine.commands if "audit" not in command]
        assert order.index("dpkg-a") < order.index("apt-getupdate")

    def test_a_day_later_nothing_is_fetched_again(self, machine: FakeMachine, apt: Apt) -> None:
        twice(machine, repository.STEP, NO_SUBSCRIPTION)
        machine.sleep(86_400)
        assert not run(machine, repository.STEP, NO_SUBSCRIPTION).changed
        apt.available.append("xorriso")
        wanted = Repository(NO_SUBSCRIPTION.mode, NO_SUBSCRIPTION.uri, ["dnsmasq-base", "xorriso"])
        run(machine, repository.STEP, wanted)
        assert [command.split()[-1] for command in machine.ran("apt-get")] == ["update", "xorriso", "xorriso"]


class TestDhcp:
    def test_one_unit_per_bridge_with_a_range(self, machine: FakeMachine) -> None:
        systemd = Systemd(machine)
        outcome = twice(machine, dhcp.STEP, Dhcp("dev", BRIDGES))
        assert outcome.facts == {"units": ["nested-pve-ha-dhcp@vmbr1.service", "nested-pve-ha-dhcp@vmbr2.service"]}
        config = (machine.read("/etc/nested-pve-ha/dhcp/vmbr1.conf") or "").splitlines()
        assert "dhcp-range=10.10.1.10,10.10.1.20,255.255.255.0,12h" in config
        assert "dhcp-option=option:router" in config, "without a value: no default route is offered"
        assert systemd.enabled == {"nested-pve-ha-dhcp@vmbr1", "nested-pve-ha-dhcp@vmbr2"}

    def test_another_range_and_one_bridge_less(self, machine: FakeMachine) -> None:
        systemd = Systemd(machine)
        run(machine, dhcp.STEP, Dhcp("dev", BRIDGES))
        twice(machine, dhcp.STEP, Dhcp("dev", [Bridge("vmbr1", "10.10.1.1/24", "10.10.1.30", "10.10.1.40")]))
        assert "10.10.1.30" in (machine.read("/etc/nested-pve-ha/dhcp/vmbr1.conf") or "")
        assert machine.read("/etc/nested-pve-ha/dhcp/vmbr2.conf") is None
        assert systemd.enabled == {"nested-pve-ha-dhcp@vmbr1"}

    def test_a_changed_configuration_is_written_while_the_unit_is_down(self, machine: FakeMachine) -> None:
        systemd = Systemd(machine)
        run(machine, dhcp.STEP, Dhcp("dev", BRIDGES[:1]))
        systemd.hooks["stop nested-pve-ha-dhcp@vmbr1"] = lambda: (_ for _ in ()).throw(
            StepError("interrupted", "killed")
        )
        changed = Dhcp("dev", [Bridge("vmbr1", "10.10.1.1/24", "10.10.1.30", "10.10.1.40")])
        with pytest.raises(StepError):
            run(machine, dhcp.STEP, changed)
        systemd.hooks.clear()
        assert systemd.units["nested-pve-ha-dhcp@vmbr1"] == "inactive"
        twice(machine, dhcp.STEP, changed)

    def test_a_bridge_with_a_longer_name(self, machine: FakeMachine) -> None:
        Systemd(machine)
        outcome = twice(
            machine, dhcp.STEP, Dhcp("dev", [Bridge("vmbr100", "10.10.1.1/24", "10.10.1.30", "10.10.1.40")])
        )
        assert outcome.facts == {"units": ["nested-pve-ha-dhcp@vmbr100.service"]}

    def test_another_stacks_bridge_is_left_alone(self, machine: FakeMachine) -> None:
        systemd = Systemd(machine)
        run(machine, dhcp.STEP, Dhcp("prod", [Bridge("vmbr7", "10.77.1.1/24", "10.77.1.2", "10.77.1.9")]))
        run(machine, dhcp.STEP, Dhcp("dev", BRIDGES[:1]))
        run(machine, dhcp.STEP, Dhcp("dev", []))
        assert systemd.units["nested-pve-ha-dhcp@vmbr7"] == "active"
        assert systemd.units["nested-pve-ha-dhcp@vmbr1"] == "inactive", "positive control"

    def test_dnsmasq_that_does_not_run(self, machine: FakeMachine) -> None:
        Systemd(machine).broken = {"nested-pve-ha-dhcp@vmbr1"}
        with pytest.raises(StepError) as failed:
            run(machine, dhcp.STEP, Dhcp("dev", BRIDGES[:1]))
        assert failed.value.code == "dhcp-failed"
        assert "address in use" in failed.value.observed

    def test_dnsmasq_that_dies_a_moment_later(self, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
        systemd = Systemd(machine)
        monkeypatch.setattr(machine, "sleep", lambda _seconds: systemd.units.clear())
        with pytest.raises(StepError) as failed:
            run(machine, dhcp.STEP, Dhcp("dev", BRIDGES[:1]))
        assert failed.value.code == "dhcp-failed"


def nfs_server(machine: FakeMachine) -> Systemd:
    def exportfs(arguments: list[str], _stdin: str) -> str:
        if arguments == ["-ra"]:
            names = machine.names("/etc/exports.d")
            exported[:] = ["".join(machine.read(f"/etc/exports.d/{name}") or "" for name in names)]
            return ""
        return "".join(line.replace(" ", "  ") + "\n" for line in exported[0].splitlines() if line[0] == "/")

    exported = [""]
    machine.programs["exportfs"] = exportfs
    return Systemd(machine)


class TestNfsExport:
    def test_exported(self, machine: FakeMachine) -> None:
        nfs_server(machine)
        twice(machine, nfs_export.STEP, NfsExport("dev", "/srv/pve-shared", "10.30.1.0/24"))
        assert machine.exists("/srv/pve-shared")

    def test_no_server(self, machine: FakeMachine) -> None:
        nfs_server(machine)
        machine.programs["exportfs"] = lambda _arguments, _stdin: Result(
            ("exportfs",), 1, err="exportfs: no kernel support"
        )
        with pytest.raises(StepError) as failed:
            run(machine, nfs_export.STEP, NfsExport("dev", "/srv/pve-shared", "10.30.1.0/24"))
        assert failed.value.code == "nfs-failed"
        assert "no kernel support" in failed.value.observed


class TestJournal:
    def test_entered_once(self, machine: FakeMachine) -> None:
        interfaces(machine, {"name": "vmbr0"})
        outcome = twice(machine, journal.STEP, Journal("dev", ["vmbr1"]))
        assert outcome.facts == {"bridges": ["vmbr1"]}

    def test_a_configured_bridge_that_is_down_is_foreign_too(self, machine: FakeMachine) -> None:
        interfaces(machine, {"name": "vmbr0"})
        machine.write("/etc/network/interfaces", "iface vmbr1 inet static\n\taddress 10.1.1.1/24\n")
        with pytest.raises(StepError) as refused:
            run(machine, journal.STEP, Journal("dev", ["vmbr1"]))
        assert refused.value.code == "foreign-bridge"

    def test_a_lost_journal_knows_the_bridges_by_their_mark(self, machine: FakeMachine) -> None:
        """With /var/lib/nested-pve-ha gone, the stack's own bridges were refused as somebody else's, with no way out."""
        interfaces(machine, {"name": "vmbr0"}, {"name": "vmbr1"})
        text = "iface vmbr1 inet static\n\taddress 10.1.1.1/24\n#{}\n\nauto vmbr0\niface vmbr0 inet manual\n#uplink\n"
        machine.write("/etc/network/interfaces", text.format("stack-prod"))
        with pytest.raises(StepError) as refused:
            run(machine, journal.STEP, Journal("dev", ["vmbr1"]))
        assert refused.value.code == "foreign-bridge"
        assert originals.bridges(machine, "dev") == []
        machine.write("/etc/network/interfaces", text.format("stack-dev"))
        assert twice(machine, journal.STEP, Journal("dev", ["vmbr1"])).facts == {"bridges": ["vmbr1"]}

    @pytest.mark.parametrize("text", ["", '{"stacks": {"dev"', "[1]", '{"stacks": null}', '{"files": []}'])
    def test_a_damaged_journal_is_named_and_stays(self, machine: FakeMachine, text: str) -> None:
        interfaces(machine, {"name": "vmbr0"})
        machine.write(originals.PATH, text)
        with pytest.raises(StepError) as refused:
            run(machine, journal.STEP, Journal("dev", ["vmbr1"]))
        assert refused.value.code == "journal-damaged"
        assert "journal.json.damaged" in refused.value.fix
        assert machine.read(originals.PATH) == text

    def test_two_stacks(self, machine: FakeMachine) -> None:
        interfaces(machine, {"name": "vmbr0"})
        run(machine, journal.STEP, Journal("dev", ["vmbr1"]))
        run(machine, journal.STEP, Journal("prod", ["vmbr5"]))
        with pytest.raises(StepError) as refused:
            run(machine, journal.STEP, Journal("prod", ["vmbr1", "vmbr5"]))
        assert "stack dev" in refused.value.observed

    def test_originals_are_written_once(self, machine: FakeMachine) -> None:
        machine.write("/etc/thing", "original")
        for text in ("first change", "second change"):
            originals.replace_file(machine, "/etc/thing", text)
        assert originals.load(machine)["files"]["/etc/thing"]["original"] == "original"
        assert machine.path(originals.PATH).stat().st_mode & 0o777 == 0o600

    def test_an_original_that_is_no_utf_8_comes_back_byte_for_byte(self, machine: FakeMachine) -> None:
        interfaces(machine, {"name": "vmbr0"})
        machine.programs["qm"] = lambda *_: ""
        run(machine, journal.STEP, Journal("dev"))
        theirs = b"# caf\xe9\r\nthing \xff"
        machine.path("/etc").mkdir(exist_ok=True)
        machine.path("/etc/thing").write_bytes(theirs)
        ours = (machine.read("/etc/thing") or "") + "\nmore"
        originals.replace_file(machine, "/etc/thing", ours)
        assert machine.path("/etc/thing").read_bytes() == theirs + b"\nmore"
        run(machine, journal_restore.STEP, Journal("dev"))
        assert machine.path("/etc/thing").read_bytes() == theirs


class TestRestore:
    """Destroy leaves the outer host as it was found."""

    def build(self, machine: FakeMachine, stack: str = "dev") -> None:
        interfaces(machine, {"name": "vmbr0"})
        run(machine, journal.STEP, Journal(stack, ["vmbr1"]))
        run(machine, repository.STEP, NO_SUBSCRIPTION)
        run(machine, kvm_nested.STEP, KvmNested())
        run(machine, dhcp.STEP, Dhcp(stack, BRIDGES[:1]))
        run(machine, nfs_export.STEP, NfsExport(stack, f"/srv/{stack}", "10.30.1.0/24"))

    def files(self, machine: FakeMachine) -> dict[str, str]:
        root = machine.path("/")
        skipped = ("/run/nested-pve-ha",)
        found = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}
        return {name: text for name, text in found.items() if not f"/{name}".startswith(skipped)}

    @pytest.fixture
    def world(self, machine: FakeMachine, apt: Apt) -> tuple[Apt, Kvm, Systemd]:
        return apt, Kvm(machine), nfs_server(machine)

    def test_as_it_was(self, machine: FakeMachine, world: tuple[Apt, Kvm, Systemd]) -> None:
        apt, _, systemd = world
        before = self.files(machine)
        self.build(machine)
        machine.write("/var/lib/nested-pve-ha/onnode/__main__.py", "the package")
        machine.path("/srv/dev/images").mkdir()
        assert self.files(machine) != before, "positive control"
        twice(machine, journal_restore.STEP, Journal("dev"))
        assert self.files(machine) == before
        assert apt.installed == set()
        assert systemd.units["nested-pve-ha-dhcp@vmbr1"] == "inactive"
        assert not machine.exists("/srv/dev")
        assert not machine.exists("/etc/nested-pve-ha")
        assert not machine.exists("/var/lib/nested-pve-ha")

    @pytest.mark.parametrize("stop_after", range(1, 11))
    def test_killed_anywhere_and_run_again(
        self, machine: FakeMachine, world: tuple[Apt, Kvm, Systemd], stop_after: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = self.files(machine)
        self.build(machine)
        left = [stop_after]
        save = originals.save

        def killed_at_some_point(target: FakeMachine, entries: dict[str, object]) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise StepError("interrupted", "killed")
            save(target, entries)

        with monkeypatch.context() as patched:
            patched.setattr(originals, "save", killed_at_some_point)
            with contextlib.suppress(StepError):
                run(machine, journal_restore.STEP, Journal("dev"))
        run(machine, journal_restore.STEP, Journal("dev"))
        assert self.files(machine) == before
        assert world[0].installed == set()

    @pytest.mark.usefixtures("world")
    def test_the_last_stack_puts_the_originals_back(self, machine: FakeMachine) -> None:
        before = self.files(machine)
        self.build(machine)
        run(machine, journal.STEP, Journal("prod", ["vmbr5"]))
        outcome = twice(machine, journal_restore.STEP, Journal("dev"))
        assert outcome.facts == {"other_stacks": ["prod"]}
        assert "Enabled: no" in (machine.read(ENTERPRISE) or ""), "still needed by the other stack"
        twice(machine, journal_restore.STEP, Journal("prod"))
        assert self.files(machine) == before

    @pytest.mark.usefixtures("world")
    def test_somebody_elses_change_stays(self, machine: FakeMachine) -> None:
        self.build(machine)
        machine.write(ENTERPRISE, "# by hand\n")
        machine.write("/srv/dev/disk", "data")
        run(machine, journal_restore.STEP, Journal("dev"))
        assert machine.read(ENTERPRISE) == "# by hand\n"
        assert machine.read("/srv/dev/disk") == "data"
        assert f"keep-file {ENTERPRISE}" in machine.notes
        assert "keep-directory /srv/dev" in machine.notes

    def test_a_module_in_use_is_left_for_the_next_boot(
        self, machine: FakeMachine, world: tuple[Apt, Kvm, Systemd]
    ) -> None:
        _, kvm, _ = world
        self.build(machine)
        kvm.running = "7 mail running 512 8 9\n"
        run(machine, journal_restore.STEP, Journal("dev"))
        assert machine.read("/sys/module/kvm_intel/parameters/nested") == "Y\n"
        assert machine.read("/etc/modprobe.d/nested-pve-ha.conf") is None
        assert "keep-module kvm_intel" in machine.notes

    @pytest.mark.usefixtures("world")
    def test_the_module_has_its_old_parameter(self, machine: FakeMachine) -> None:
        self.build(machine)
        assert machine.read("/sys/module/kvm_intel/parameters/nested") == "Y\n"
        run(machine, journal_restore.STEP, Journal("dev"))
        assert machine.read("/sys/module/kvm_intel/parameters/nested") == "N\n"

    def test_a_package_that_something_else_needs_now(
        self, machine: FakeMachine, world: tuple[Apt, Kvm, Systemd]
    ) -> None:
        apt, *_ = world
        self.build(machine)
        apt.installed.add("libvirt-daemon")
        apt.needs["libvirt-daemon"] = ["dnsmasq-base"]
        run(machine, journal_restore.STEP, Journal("dev"))
        assert apt.installed == {"libvirt-daemon", "dnsmasq-base"}
        assert "kept dnsmasq-base: libvirt-daemon would be removed with it" in machine.notes

    def test_packages_of_before_stay(self, machine: FakeMachine, world: tuple[Apt, Kvm, Systemd]) -> None:
        apt, *_ = world
        apt.installed = {"dnsmasq-base"}
        self.build(machine)
        run(machine, journal_restore.STEP, Journal("dev"))
        assert apt.installed == {"dnsmasq-base"}


class TestVerifyHost:
    DESIRED = VerifyHost("dev", 9, [101, 300], BRIDGES, 4096, iso_path="/srv/pve.iso")

    @pytest.fixture(autouse=True)
    def host(self, machine: FakeMachine) -> None:
        machine.write("/proc/cpuinfo", "flags: svm\n")
        machine.write("/proc/meminfo", "MemTotal: 16384000 kB\n")
        machine.write("/proc/sys/kernel/hostname", "virtual\n")
        machine.write("/srv/pve.iso", "")
        machine.programs["dpkg-query"] = lambda *_: "installed 9.1.1\n"
        interfaces(machine, {"name": "vmbr0", "address": "192.168.0.180/24"}, routes='[{"dst": "default"}]')

    def test_a_host_that_will_do(self, machine: FakeMachine) -> None:
        machine.write("/etc/pve/nodes/virtual/qemu-server/101.conf", "tags: nested-pve-ha;stack-dev\n")
        machine.write("/etc/pve/nodes/virtual/qemu-server/7.conf", "tags: production\n")
        outcome = run(machine, verify_host.STEP, self.DESIRED)
        assert not outcome.changed
        assert outcome.facts["own_vmids"] == [101]
        assert outcome.facts["virtualization"] == "svm"

    def test_the_management_bridges_network_card_goes_into_no_other_bridge(self, machine: FakeMachine) -> None:
        text = "iface nic0 inet manual\n\nauto vmbr0\niface vmbr0 inet static\n\tbridge-ports nic0\n"
        machine.write("/etc/network/interfaces", text)
        wanted = dataclasses.replace(self.DESIRED, ports=[BridgePorts("vmbr1", ["nic0"])])
        with pytest.raises(StepError) as refused:
            run(machine, verify_host.STEP, wanted)
        assert refused.value.code == "interface-in-use"
        assert refused.value.observed == "nic0 belongs to vmbr0"
        assert "for the bridge, name another network card" in refused.value.fix
        assert machine.read("/etc/network/interfaces") == text

    @pytest.mark.parametrize("path", ["other/qemu-server/101", "other/lxc/101", "virtual/qemu-server/101"])
    def test_a_foreign_guest_anywhere_in_the_hosts_cluster(self, machine: FakeMachine, path: str) -> None:
        machine.write(f"/etc/pve/nodes/{path}.conf", "name: precious\ntags: customer\n")
        with pytest.raises(StepError) as refused:
            run(machine, verify_host.STEP, self.DESIRED)
        assert refused.value.code == "foreign-vmid"
        assert "customer" in refused.value.observed

    def test_a_foreign_container(self, machine: FakeMachine) -> None:
        machine.write("/etc/pve/nodes/virtual/lxc/300.conf", "hostname: dns\n")
        with pytest.raises(StepError) as refused:
            run(machine, verify_host.STEP, self.DESIRED)
        assert refused.value.code == "foreign-vmid"

    def test_a_configured_subnet_that_is_down(self, machine: FakeMachine) -> None:
        machine.write("/etc/network/interfaces", "iface eth5 inet static\n\taddress 10.20.0.0/16\n")
        with pytest.raises(StepError) as refused:
            run(machine, verify_host.STEP, self.DESIRED)
        assert refused.value.code == "foreign-subnet"

    def test_no_proxmox(self, machine: FakeMachine) -> None:
        machine.programs["dpkg-query"] = lambda *_: "config-files 9.1.1\n"
        with pytest.raises(StepError) as refused:
            run(machine, verify_host.STEP, self.DESIRED)
        assert refused.value.code == "not-proxmox"

    def test_no_iso(self, machine: FakeMachine) -> None:
        machine.remove("/srv/pve.iso")
        with pytest.raises(StepError) as refused:
            run(machine, verify_host.STEP, self.DESIRED)
        assert refused.value.code == "iso-missing"


def test_the_journal_is_plain_json(machine: FakeMachine) -> None:
    originals.remember_parameter(machine, "kvm_intel", "N")
    originals.remember_parameter(machine, "kvm_intel", "Y")
    assert json.loads(machine.read(originals.PATH) or "")["kvm"] == {"kvm_intel": "N"}
