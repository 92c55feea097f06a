"""Two nodes and a QDevice: a node is lost, its witness is lost, and it goes before a third node joins.

Real corosync-qnetd on a machine of its own, real corosync-qdevice on the nodes. Each test begins with both nodes and the QDevice.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.job.test_cluster import NODES, services
from tests.support.bad_world import refusal, succeeded
from tests.support.lab_project import LabProject
from tests.support.outer_host import OUTER
from tests.support.program import stack_file

if TYPE_CHECKING:
    from collections.abc import Iterator

WITNESS = {"name": "witness", "address": "192.168.0.106"}
FIRST, SECOND, THIRD = NODES.values()
BOTH = (FIRST, SECOND)
GUESTS = ("vm:200", "ct:300")
CASTS = r"^0x00000000 +1 +Qdevice$"
INSTALLED = "dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n' 'corosync-q*' 2>/dev/null; true"
# The lab's HA waits a tenth of the real time by default. Corosync and its QDevice take theirs, 15 to 30 s after a node has died.
TIME_SCALE = "0.5"


def two_nodes() -> dict[str, Any]:
    """Stack dev without its third node, with a QDevice, as somebody would describe it."""
    values = copy.deepcopy(stack_file("dev"))
    values["nodes"] = values["nodes"][:2]
    values["cluster"]["qdevice"] = {"machine": WITNESS, "tls": "required"}
    for guest in values["guests"]:
        del guest["ha"]["nodes"]["proxmox03"]
    return values


@pytest.fixture(scope="module")
def lab_with_witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProject]:
    """A running lab and a copy of the project; nothing deployed yet."""
    directory = tmp_path_factory.mktemp("qdevice")
    project = LabProject(directory / "project", directory / "lab")
    try:
        succeeded(project.lab("up", "--shape", "witness", "--time-scale", TIME_SCALE))
        yield project
    finally:
        project.lab("down")


@pytest.fixture
def project(lab_with_witness: LabProject) -> LabProject:
    """Both nodes and the QDevice, with guests, whatever ran before."""
    project, wanted = lab_with_witness, two_nodes()
    project.configure(wanted)
    if project.deployed != wanted or project.admin("status").code != 0:
        project.mend()
        succeeded(project.admin("up"))
    return project


def votes(project: LabProject, address: str) -> tuple[bool, int, int, bool]:
    """As that node sees it: whether it is quorate, the expected and the present votes, whether the QDevice casts its own."""
    text = project.ssh(address, "corosync-quorumtool -siH").output
    expected, total = (re.search(rf"^{name} votes: +(\d+)$", text, re.MULTILINE) for name in ("Expected", "Total"))
    assert expected, text
    assert total, text
    casts = re.search(CASTS, text, re.MULTILINE) is not None
    return re.search(r"^Quorate: +Yes$", text, re.MULTILINE) is not None, int(expected[1]), int(total[1]), casts


def keys(project: LabProject, address: str) -> str:
    return project.ssh(
        address, "find /etc/corosync/qdevice -name key4.db -exec sha256sum {} + 2>/dev/null | cut -c1-64"
    ).output


def test_two_nodes_have_three_votes_and_guests_under_ha(project: LabProject) -> None:
    assert [votes(project, address) for address in BOTH] == [(True, 3, 3, True)] * 2
    assert {sid: one["state"] for sid, one in services(project, FIRST).items()} == dict.fromkeys(GUESTS, "started")
    for address in BOTH:
        state = project.ssh(address, "corosync-qdevice-tool -s").output
        assert re.search(r"^State:\s+Connected$", state, re.MULTILINE), state
    status = succeeded(project.admin("status"))
    assert "quorate with 3 of 3 votes (QDevice 192.168.0.106 included)" in status.output
    succeeded(project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", "--policy-pack", "policy"))


def test_no_node_has_a_way_into_the_witness_and_each_has_a_key_of_its_own(project: LabProject) -> None:
    authorized = project.ssh(WITNESS["address"], "cat /root/.ssh/authorized_keys").output
    for address in BOTH:
        own = project.ssh(address, "cat /root/.ssh/*.pub").output.split()
        assert own
        assert not set(own[1::3]) & set(authorized.split())
    found = {keys(project, address) for address in BOTH}
    assert (len(found), "" in found) == (2, False)


@pytest.mark.story
def test_a_node_that_is_lost_leaves_its_guests_to_the_other_and_is_replaced(project: LabProject) -> None:
    booted = project.ssh(FIRST, "cat /proc/sys/kernel/random/boot_id").output
    succeeded(project.ssh(OUTER, "qm stop 102 && qm destroy 102 --purge 1"))

    def recovered() -> bool:
        found = services(project, FIRST)
        return all(found[sid]["state"] == "started" and found[sid]["node"] == "proxmox01" for sid in GUESTS)

    assert project.eventually(recovered, 240), project.ssh(FIRST, "ha-manager status; corosync-quorumtool -siH").output
    assert votes(project, FIRST) == (True, 3, 2, True)
    replaced = succeeded(project.admin("up"))
    assert "proxmox02: its VM is gone from its host" in replaced.output
    assert [votes(project, address) for address in BOTH] == [(True, 3, 3, True)] * 2
    assert project.ssh(FIRST, "cat /proc/sys/kernel/random/boot_id").output == booted, "it was not fenced itself"


@pytest.mark.story
@pytest.mark.destroys
def test_it_goes_with_a_dead_witness_before_a_third_node_joins_and_then_from_one_that_is_there(
    project: LabProject,
) -> None:
    project.lab("node", "kill", "witness")
    assert project.eventually(lambda: not votes(project, FIRST)[3], 60)
    assert votes(project, FIRST)[:2] == (True, 3), "two of three votes are enough"
    status = project.admin("status")
    assert status.code == 1
    assert "is not connected to the QDevice's server at 192.168.0.106" in status.output
    assert "systemctl status corosync-qnetd" in status.output

    values = project.configuration()
    qdevice = values["cluster"].pop("qdevice")
    values["nodes"].append(stack_file("dev")["nodes"][2])
    project.configure(values)
    before = project.ssh(FIRST, "cd /etc/pve && cp corosync.conf corosync.conf.new && cat corosync.conf").output
    refusal(project.admin("up"), "corosync-edited")
    assert project.ssh(FIRST, "cd /etc/pve && diff corosync.conf corosync.conf.new; cat corosync.conf").output == before
    project.ssh(FIRST, "rm /etc/pve/corosync.conf.new")
    grown = succeeded(project.admin("up"))
    assert "! corosync-qnetd and /var/lib/nested-pve-ha-witness stay on witness" in grown.output
    for address in NODES.values():
        assert votes(project, address) == (True, 3, 3, False)
        conf = project.ssh(address, "cat /etc/corosync/corosync.conf; systemctl is-active corosync-qdevice").output
        assert "device" not in conf
        assert conf.splitlines()[-1] == "inactive"
        assert keys(project, address) == ""

    project.lab("node", "start", "witness")
    values["cluster"]["qdevice"] = qdevice
    project.configure(values)
    assert "qdevice-for-even-nodes" in succeeded(project.admin("up")).output
    assert "ii  corosync-qnetd" in project.ssh(WITNESS["address"], INSTALLED).output, "it may be needed again"
    del values["cluster"]["qdevice"]
    project.configure(values)
    succeeded(project.admin("up"))
    assert "ii" not in project.ssh(WITNESS["address"], INSTALLED).output
    left = project.ssh(WITNESS["address"], "ls -d /var/lib/nested-pve-ha* /etc/corosync/qnetd/nssdb 2>/dev/null").output
    assert left == ""
