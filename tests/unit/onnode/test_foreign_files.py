"""Files in the places of ours that we did not make: refused by name and left as they are, also by destroy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from onnode.contract.host import Bridge, Dhcp, Journal, KvmNested, NfsExport
from onnode.contract.node import Repository
from onnode.errors import StepError
from onnode.host import dhcp, journal, journal_restore, kvm_nested, nfs_export
from onnode.system import repository
from tests.support.onnode_worlds import Apt, Kvm, Systemd, interfaces, run, twice

if TYPE_CHECKING:
    from onnode.step import Step
    from tests.support.fake_machine import FakeMachine

SERVED = Dhcp("dev", [Bridge("vmbr1", "10.10.1.1/24", "10.10.1.10", "10.10.1.20")])
EXPORT = NfsExport("dev", "/srv/dev", "10.30.1.0/24")
EXPORTS = "/etc/exports.d/nested-pve-ha-dev.exports"
CONFIG = "/etc/nested-pve-ha/dhcp/vmbr1.conf"
STEPS: dict[str, tuple[Step[Any, Any], object]] = {
    dhcp.UNIT_FILE: (dhcp.STEP, SERVED),
    CONFIG: (dhcp.STEP, SERVED),
    EXPORTS: (nfs_export.STEP, EXPORT),
    kvm_nested.OPTIONS_FILE: (kvm_nested.STEP, KvmNested()),
    repository.OWN_FILE: (
        repository.STEP,
        Repository("no-subscription", "http://download.proxmox.com/debian/pve", ["dnsmasq-base"]),
    ),
}


@pytest.fixture(autouse=True)
def host(machine: FakeMachine) -> Systemd:
    interfaces(machine, {"name": "vmbr0"})
    Apt(machine, available=["dnsmasq-base"])
    Kvm(machine)
    machine.programs["exportfs"] = lambda arguments, _stdin: (
        "" if arguments == ["-ra"] or not machine.exists(EXPORTS) else "/srv/dev 10.30.1.0/24(rw)\n"
    )
    return Systemd(machine)


def files(machine: FakeMachine) -> dict[str, bytes]:
    root = machine.path("/")
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", STEPS)
@pytest.mark.parametrize("theirs", ["# by hand, caf\udce9\n", "", "# Made by nested-pve-ha for stack prod.\n"])
def test_refused_by_name_with_nothing_changed(machine: FakeMachine, path: str, theirs: str) -> None:
    machine.write(path, theirs)
    before = files(machine)
    with pytest.raises(StepError) as refused:
        run(machine, *STEPS[path])
    assert refused.value.code == "foreign-file"
    assert path in refused.value.render()
    assert "nested-pve-ha" in refused.value.expected
    assert files(machine) == before
    machine.remove(path)
    twice(machine, *STEPS[path])  # the positive control: without it the step has its way


@pytest.mark.parametrize("path", [CONFIG, EXPORTS])
def test_ours_that_was_changed_is_put_right(machine: FakeMachine, path: str) -> None:
    run(machine, *STEPS[path])
    ours = machine.read(path)
    machine.write(path, f"{ours}# a line by hand\n")
    twice(machine, *STEPS[path])
    assert machine.read(path) == ours


@pytest.mark.parametrize(
    "changed", ["{ours}/home 10.0.0.0/8(ro)\n", "# by hand\n{ours}", "# Made by nested-pve-ha for stack dev.\n"]
)
@pytest.mark.parametrize("path", [CONFIG, EXPORTS])
def test_destroy_leaves_what_somebody_changed(machine: FakeMachine, host: Systemd, path: str, changed: str) -> None:
    run(machine, journal.STEP, Journal("dev", ["vmbr1"]))
    run(machine, dhcp.STEP, SERVED)
    run(machine, nfs_export.STEP, EXPORT)
    text = changed.format(ours=machine.read(path))
    machine.write(path, text)
    twice(machine, journal_restore.STEP, Journal("dev"))
    assert machine.read(path) == text
    left = {CONFIG, EXPORTS} & {f"/{name}" for name in files(machine)}
    assert left == {path}, "what is as we left it goes (positive control)"
    if "# by hand" not in changed:
        assert f"keep-file {path}" in machine.notes
        assert host.units["nested-pve-ha-dhcp@vmbr1"] == "inactive", "nothing is served any more"
