"""Two nodes and a QDevice: it is set up, a node dies and the other goes on, it goes and comes, and a third node joins without it.

Real corosync-qnetd on a machine of its own, real corosync-qdevice on the nodes. The tests are one story, in this order.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.job.test_cluster import NODES, services
from tests.support.bad_world import succeeded
from tests.support.lab_project import LabProject

if TYPE_CHECKING:
    from collections.abc import Iterator

WITNESS = {"name": "witness", "address": "192.168.0.106"}
FIRST, SECOND, THIRD = NODES.values()
GUESTS = ("vm:200", "ct:300")
CASTS = r"^0x00000000 +1 +Qdevice$"
# The lab's HA waits a tenth of the real time by default. Corosync and its QDevice take theirs, 15 to 30 s after a node has died.
TIME_SCALE = "0.5"


def two_nodes(values: dict[str, Any]) -> dict[str, Any]:
    """The stack without its third node, with a QDevice, as somebody would describe it."""
    changed = copy.deepcopy(values)
    changed["nodes"] = changed["nodes"][:2]
    changed["cluster"]["qdevice"] = {"machine": WITNESS}
    for guest in changed["guests"]:
        del guest["ha"]["nodes"]["proxmox03"]
    return changed


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProject]:
    """Stack dev with two nodes, in a lab with a witness, deployed."""
    directory = tmp_path_factory.mktemp("qdevice")
    project = LabProject(directory / "project", directory / "lab")
    try:
        started = project.lab("up", "--shape", "witness", "--time-scale", TIME_SCALE)
        assert started.code == 0, started.output
        project.configure(two_nodes(project.configuration()))
        succeeded(project.admin("up"))
        yield project
    finally:
        project.lab("down")


def votes(project: LabProject, address: str) -> tuple[bool, int, int, bool]:
    """As that node sees it: whether it is quorate, the expected and the present votes, whether the QDevice casts its own."""
    text = project.ssh(address, "corosync-quorumtool -siH").output
    expected, total = (re.search(rf"^{name} votes: +(\d+)$", text, re.MULTILINE) for name in ("Expected", "Total"))
    assert expected, text
    assert total, text
    casts = re.search(CASTS, text, re.MULTILINE) is not None
    return re.search(r"^Quorate: +Yes$", text, re.MULTILINE) is not None, int(expected[1]), int(total[1]), casts


def nothing_to_do(project: LabProject) -> None:
    succeeded(project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", "--policy-pack", "policy"))


def keys(project: LabProject, address: str) -> str:
    return project.ssh(
        address, "find /etc/corosync/qdevice -name key4.db -exec sha256sum {} + 2>/dev/null | cut -c1-64"
    ).output


def test_two_nodes_have_three_votes_and_guests_under_ha(project: LabProject) -> None:
    assert [votes(project, address) for address in (FIRST, SECOND)] == [(True, 3, 3, True)] * 2
    assert {sid: one["state"] for sid, one in services(project, FIRST).items()} == dict.fromkeys(GUESTS, "started")
    for address in (FIRST, SECOND):
        state = project.ssh(address, "corosync-qdevice-tool -s").output
        assert re.search(r"^State:\s+Connected$", state, re.MULTILINE), state
    status = project.admin("status")
    succeeded(status)
    assert "quorate with 3 of 3 votes (QDevice 192.168.0.106 included)" in status.output
    nothing_to_do(project)


def test_no_node_has_a_way_into_the_witness_and_each_has_a_key_of_its_own(project: LabProject) -> None:
    authorized = project.ssh(WITNESS["address"], "cat /root/.ssh/authorized_keys").output
    for address in (FIRST, SECOND):
        own = project.ssh(address, "cat /root/.ssh/*.pub").output.split()
        assert own
        assert not set(own[1::3]) & set(authorized.split())
    assert len({keys(project, FIRST), keys(project, SECOND)}) == 2


def test_status_tells_that_the_witness_is_silent(project: LabProject) -> None:
    project.ssh(WITNESS["address"], "systemctl stop corosync-qnetd")
    try:
        assert project.eventually(lambda: not votes(project, FIRST)[3], 60)
        assert votes(project, FIRST)[:2] == (True, 3), "two of three votes are enough"
        status = project.admin("status")
        assert status.code == 1
        assert "is not connected to the QDevice's server at 192.168.0.106" in status.output
        assert "systemctl status corosync-qnetd" in status.output
    finally:
        project.ssh(WITNESS["address"], "systemctl start corosync-qnetd")
    assert project.eventually(lambda: project.admin("status").code == 0, 120)


def test_one_of_two_nodes_dies_and_the_other_takes_its_guests(project: LabProject) -> None:
    booted = project.ssh(FIRST, "cat /proc/sys/kernel/random/boot_id").output
    project.lab("node", "kill", "proxmox02")

    def recovered() -> bool:
        found = services(project, FIRST)
        return all(found[sid]["state"] == "started" and found[sid]["node"] == "proxmox01" for sid in GUESTS)

    assert project.eventually(recovered, 240), project.ssh(FIRST, "ha-manager status; corosync-quorumtool -siH").output
    assert votes(project, FIRST) == (True, 3, 2, True)
    assert project.ssh(FIRST, "cat /proc/sys/kernel/random/boot_id").output == booted, "it was not fenced itself"
    project.lab("node", "start", "proxmox02")
    assert project.eventually(lambda: project.admin("status").code == 0, 240), project.admin("status").output
    assert votes(project, SECOND) == (True, 3, 3, True)
    nothing_to_do(project)


def test_taken_out_of_the_file_it_is_gone_everywhere(project: LabProject) -> None:
    installed = "dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n' 'corosync-q*' 2>/dev/null; true"
    assert "ii  corosync-qnetd" in project.ssh(WITNESS["address"], installed).output
    values = project.configuration()
    del values["cluster"]["qdevice"]
    values["guests"] = []  # two votes are too few for them
    project.configure(values)
    succeeded(project.admin("up"))
    for address in (FIRST, SECOND):
        assert votes(project, address) == (True, 2, 2, False)
        conf = project.ssh(address, "cat /etc/corosync/corosync.conf; systemctl is-active corosync-qdevice").output
        assert "device" not in conf
        assert conf.splitlines()[-1] == "inactive"
        assert keys(project, address) == ""
    assert "ii" not in project.ssh(WITNESS["address"], installed).output
    left = project.ssh(WITNESS["address"], "ls -d /var/lib/nested-pve-ha* /etc/corosync/qnetd/nssdb 2>/dev/null").output
    assert left == ""
    succeeded(project.admin("status"))
    nothing_to_do(project)


def test_it_is_removed_before_a_third_node_joins(project: LabProject) -> None:
    values = project.configuration()
    values["cluster"]["qdevice"] = {"machine": WITNESS, "tls": "required"}
    project.configure(values)
    succeeded(project.admin("up"))
    assert votes(project, SECOND) == (True, 3, 3, True)
    third = copy.deepcopy(values["nodes"][1])
    third |= {"name": "proxmox03", "nodeId": 3, "vmid": 103, "address": THIRD, "networks": ["10.30.1.187"]}
    third["links"] = ["10.10.1.187", "10.20.1.187"]
    values["nodes"].append(third)
    project.configure(values)
    grown = project.admin("up")
    succeeded(grown)
    for address in NODES.values():
        assert votes(project, address) == (True, 3, 3, False)
        assert project.ssh(address, "grep -c device /etc/corosync/corosync.conf").output.strip() == "0"
    assert "qdevice-for-even-nodes" in grown.output
    succeeded(project.admin("status"))
    nothing_to_do(project)
