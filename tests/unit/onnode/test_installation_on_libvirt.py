"""A nested node is installed on an outer host with libvirt: its CD is made by xorriso, goes in and out, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from onnode.contract.host import InstallNode, VmPower
from onnode.errors import StepError
from onnode.host import install_node, vm_power
from onnode.host.installation_medium import CAPABLE
from onnode.host.libvirt_files import DOMAINS, parse_domain
from onnode.system.machine import Result
from tests.support.libvirt_host import LibvirtHost
from tests.support.onnode_worlds import run, twice
from tests.unit.onnode.test_libvirt_steps import DOMAIN, built

if TYPE_CHECKING:
    from tests.support.fake_machine import FakeMachine

INSTALL = InstallNode(
    stack="dev",
    vmid=101,
    name="proxmox01",
    base_iso_path="/iso/pve.iso",
    iso_storage="/srv/nested",
    answer={"global": {"fqdn": "proxmox01.lab.internal", "root-password": "correct horse"}},
    first_boot="#!/bin/sh\n# -----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n",
    ssh_address="10.10.1.11",
    ssh_host_key="ecdsa-sha2-nistp256 AAAApinned proxmox01",
    timeout_s=600,
)
ISO = "/srv/nested/nested-pve-ha-dev-debian-101.iso"
POWER = VmPower("dev", 101, "proxmox01", INSTALL.ssh_address, INSTALL.ssh_host_key, INSTALL.timeout_s)
REPORT = f"-volid 'PVE'\n-volume_date uuid '2025111910203000'\n-boot_image any cat_path='/boot.cat'\n'{CAPABLE}'\n"


class Installer:
    """A disk on which the CD of the VM installs a node, if all that it needs is on it; an ISO is JSON here."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.host = built(LibvirtHost(machine))
        self.report: str | Result = REPORT
        self.installed = False
        self.seen: list[dict[str, Any]] = []  # of each CD: what is on it, and who may read it
        machine.write("/iso/pve.iso", '{"boot": "loader"}')
        machine.programs |= {"ssh-keyscan": self.keyscan, "sh": self.copy, "xorriso": self.xorriso}

    def copy(self, arguments: list[str], _stdin: str) -> str:
        assert arguments[1:5] == ['umask 077 && exec "$@"', "sh", "cp", "--"]
        source, target = arguments[5:]
        Path(target).write_text(self.machine.read(source) or "")
        Path(target).chmod(0o600)
        return ""

    def xorriso(self, arguments: list[str], _stdin: str) -> str | Result:
        if arguments[0] == "-indev":
            return self.report
        image = Path(arguments[arguments.index("-dev") + 1])
        maps = [arguments[at + 1 : at + 3] for at, word in enumerate(arguments) if word == "-map"]
        content = json.loads(image.read_text())
        content |= {there: [Path(here).read_text(), Path(here).stat().st_mode & 0o777] for here, there in maps}
        content["date"] = arguments[arguments.index("-volume_date") + 2] if "-volume_date" in arguments else ""
        image.write_text(json.dumps(content))
        return ""

    def keyscan(self, _arguments: list[str], _stdin: str) -> str:
        running = self.host.running.get("proxmox01")
        medium = parse_domain(running, "").medium if running else ""
        if medium and not self.installed:
            content = json.loads(self.machine.read(medium) or "{}")
            self.seen.append({**content, "mode": self.machine.path(medium).stat().st_mode & 0o777})
            self.installed = content["/auto-installer-mode.toml"][0] == 'mode = "iso"\n' and "/answer.toml" in content
        return f"10.10.1.11 {INSTALL.ssh_host_key}\n" if running and self.installed else ""


@pytest.fixture
def installer(machine: FakeMachine) -> Installer:
    return Installer(machine)


def definition(machine: FakeMachine) -> str:
    return machine.read(f"{DOMAINS}/proxmox01.xml") or ""


def test_from_an_empty_vm_to_a_node_that_answers(machine: FakeMachine, installer: Installer) -> None:
    before = parse_domain(definition(machine), "")
    twice(machine, install_node.STEP, INSTALL)
    (cd,) = installer.seen
    assert cd["/answer.toml"] == ['[global]\nfqdn = "proxmox01.lab.internal"\nroot-password = "correct horse"\n', 0o600]
    assert cd["/proxmox-first-boot"] == [INSTALL.first_boot, 0o700], "it can be executed"
    assert (cd["boot"], cd["date"]) == ("loader", "2025111910203000"), "by the date its boot loader finds it"
    assert cd["mode"] == 0o600
    assert parse_domain(definition(machine), "") == before
    assert not parse_domain(installer.host.running["proxmox01"], "").medium
    assert machine.names("/srv/nested") == [".dev-101.raw.nested-pve-ha", ".nested-pve-ha", "dev-101.raw"]
    left = [path.read_text() for path in machine.path("/").rglob("*") if path.is_file() and path.suffix != ".raw"]
    assert not any("correct horse" in text or "MHcCAQEE" in text for text in left)
    assert not any("correct horse" in command for command in machine.commands)


def test_an_iso_without_a_date_gets_none(machine: FakeMachine, installer: Installer) -> None:
    installer.report = f"'{CAPABLE}'\n"
    run(machine, install_node.STEP, INSTALL)
    assert installer.seen[0]["date"] == ""


@pytest.mark.parametrize(
    "report",
    [
        Result(
            ("xorriso",), 5, err="xorriso : FAILURE : Cannot find path '/auto-installer-capable' in loaded ISO image"
        ),
        Result(("xorriso",), 5, "-volid 'DEBIAN'\n", "xorriso : FAILURE : Cannot find path"),
    ],
)
def test_an_iso_that_asks_people_is_refused_before_anything_boots(
    machine: FakeMachine, installer: Installer, report: Result
) -> None:
    installer.report = report
    before = definition(machine)
    with pytest.raises(StepError) as refused:
        run(machine, install_node.STEP, INSTALL)
    assert refused.value.code == "iso-not-automatic"
    assert "/iso/pve.iso" in refused.value.observed
    assert definition(machine) == before
    assert not machine.exists(ISO)
    assert installer.host.running == {}


def test_without_xorriso(machine: FakeMachine, installer: Installer) -> None:
    del machine.programs["xorriso"]
    with pytest.raises(StepError) as refused:
        run(machine, install_node.STEP, INSTALL)
    assert (refused.value.code, installer.host.running) == ("command-missing", {})


@pytest.mark.parametrize(
    "killed_at", ["xorriso -indev", "sh cp", "xorriso -dev", "change-media", "start", "keyscan", "eject"]
)
def test_killed_anywhere_and_run_again(machine: FakeMachine, installer: Installer, killed_at: str) -> None:
    program, _, word = killed_at.rpartition(" ")
    program = program or ("ssh-keyscan" if word == "keyscan" else "virsh")
    word = "" if word == "keyscan" else word
    real = machine.programs[program]

    def killed(arguments: list[str], stdin: str) -> Any:  # noqa: ANN401 - as the real one
        if word in " ".join(arguments):
            machine.programs[program] = real
            raise StepError("interrupted", "killed")
        return real(arguments, stdin)

    machine.programs[program] = killed
    with pytest.raises(StepError):
        run(machine, install_node.STEP, INSTALL)
    twice(machine, install_node.STEP, INSTALL)
    assert installer.installed
    assert machine.names("/srv/nested") == [".dev-101.raw.nested-pve-ha", ".nested-pve-ha", "dev-101.raw"]


def test_an_installed_node_that_is_off_is_started(machine: FakeMachine, installer: Installer) -> None:
    assert not run(machine, vm_power.STEP, POWER).changed, "an empty VM is off, and not to be started as it is"
    run(machine, install_node.STEP, INSTALL)
    installer.host._destroy("proxmox01")
    twice(machine, vm_power.STEP, POWER)
    assert installer.host.running.keys() == {"proxmox01"}


def test_a_vm_that_was_made_again_is_installed_again(machine: FakeMachine, installer: Installer) -> None:
    run(machine, install_node.STEP, INSTALL)
    installer.host._destroy("proxmox01")
    installer.host._undefine("proxmox01")
    machine.remove("/srv/nested/dev-101.raw")
    installer.installed = False
    built(installer.host)
    assert not run(machine, vm_power.STEP, POWER).changed
    twice(machine, install_node.STEP, INSTALL)
    assert len(installer.seen) == 2


def test_a_foreign_vm_of_that_number_is_not_touched(machine: FakeMachine, installer: Installer) -> None:
    machine.write(f"{DOMAINS}/proxmox01.xml", definition(machine).replace('name="dev"', 'name="prod"'))
    with pytest.raises(StepError) as refused:
        run(machine, install_node.STEP, INSTALL)
    assert refused.value.code == "foreign-vmid"
    assert "stack-prod" in refused.value.observed
    assert installer.host.running == {}
    assert DOMAIN.vmid == INSTALL.vmid
