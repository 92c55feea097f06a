"""`doctor` on a cluster of three nodes that people broke by the very commands that people use; and `adopt`, which describes it.

Each mess is named first, and nothing beside it that only follows from it; the look leaves nothing behind; and where the advice is
a command, that very command mends it.
"""

from __future__ import annotations

import copy
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.conftest import eventually
from tests.lab.proxmox import NUMBERS
from tests.support.bad_world import refusal, succeeded
from tests.support.lab_project import LabProject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.formed.conftest import Formed
    from tests.lab.proxmox import Proxmox
    from tests.support.lab_project import Run

WITHIN_S = 90.0
# Files with their sizes and times, and which start of each service runs. What HA writes every few seconds is left out.
TRACES = """
find /etc /root /usr/local /var/lib/corosync /var/lib/nested-pve-ha -xdev -type f -printf '%p %s %T@\\n' 2>/dev/null | sort
find /etc/pve -type f 2>/dev/null | grep -v -e /lock/ -e _status | sort
cat /etc/pve/corosync.conf 2>/dev/null
systemctl show -p Id,ActiveState,InvocationID corosync pve-cluster pvedaemon pveproxy pve-ha-crm pve-ha-lrm watchdog-mux
"""
# What the first run on an adopted cluster is to leave as it is: configuration, members, their network and packages, and who runs since when.
OF_THE_CLUSTER = """
cat /etc/pve/corosync.conf /etc/corosync/corosync.conf /etc/hosts /etc/network/interfaces /etc/network/interfaces.d/*
sha256sum /etc/corosync/authkey /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null
cat /etc/pve/storage.cfg /proc/sys/kernel/random/boot_id; ls /etc/pve/nodes; dpkg -l | sha256sum
systemctl show -p Id,ActiveState,InvocationID corosync pve-cluster
"""
RESET = """
cd /root; systemctl stop pve-ha-lrm pve-ha-crm pve-cluster corosync
pmxcfs -l; rm -f /etc/pve/corosync.conf; rm -f /etc/corosync/authkey /etc/corosync/corosync.conf
killall pmxcfs; while pgrep -x pmxcfs >/dev/null; do sleep 0.2; done
rm -f /var/lib/corosync/*; systemctl start pve-cluster
pvecm updatecerts --force; systemctl restart pvedaemon pveproxy; systemctl start pve-ha-crm pve-ha-lrm
"""


class Doctor:
    """The command, as a person calls it on a stack file that describes the cluster."""

    def __init__(self, project: LabProject, nodes: Proxmox) -> None:
        self.project, self.nodes = project, nodes
        described = project.configuration()
        described["cluster"]["name"] = "proxmox"
        project.configure(
            {key: value for key, value in described.items() if key not in ("storages", "templates", "guests")}
        )

    def json(self) -> tuple[int, dict[str, Any]]:
        """The exit code, and the document."""
        run = self.project.admin("doctor", "--json")
        assert "{" in run.output, run.output
        document, _end = json.JSONDecoder().raw_decode(run.output[run.output.index("{") :])
        return run.code, document

    def causes(self) -> list[str]:
        """Name and place of each, in order."""
        code, document = self.json()
        found = [f"{cause['name']} {cause['where']}" for cause in document["causes"]]
        assert (code == 0) == (not found) == document["healthy"]
        return found

    def settled(self, *wanted: str) -> None:
        """Wait until exactly these are the causes."""
        deadline = time.monotonic() + WITHIN_S
        while (found := self.causes()) != list(wanted):
            assert time.monotonic() < deadline, f"{found}, not {list(wanted)}"

    def first_of(self, *wanted: str) -> int:
        """Wait until the first cause is one of these; how many causes there are."""
        deadline = time.monotonic() + WITHIN_S
        while not (found := self.causes()) or found[0] not in wanted:
            assert time.monotonic() < deadline, f"{found}, not one of {list(wanted)}"
        return len(found)

    def advice(self) -> str:
        """What follows `next:` of the first cause, up to what is only for the case that it does not help."""
        return str(self.json()[1]["causes"][0]["next"]).partition("; ")[0]

    def follow_advice(self) -> None:
        """Run the advised command where it is to be run."""
        where, _colon, command = self.advice().partition(": ")
        if where == "on the console of pve2":
            self.nodes.console(2, command)
            return
        done = self.project.run(self.project.command("bash", "-c", self.advice()))
        assert done.code == 0, done.output


@pytest.fixture(scope="module")
def project(formed: Formed, tmp_path_factory: pytest.TempPathFactory) -> LabProject:
    return LabProject(tmp_path_factory.mktemp("doctor") / "project", formed.nodes.lab.state, "physical")


@pytest.fixture
def doctor(project: LabProject, cluster: Proxmox) -> Iterator[Doctor]:
    """The command; quiet again after each mess, and so before the next one."""
    doctor = Doctor(project, cluster)
    yield doctor
    eventually(lambda: all(map(cluster.sees_all, NUMBERS)), "every member sees all members again", 120)
    doctor.settled()


def traces(nodes: Proxmox, *numbers: int) -> list[str]:
    return [nodes.sh(number, TRACES) for number in numbers or NUMBERS]


def test_a_healthy_cluster_is_left_as_it_is(doctor: Doctor) -> None:
    doctor.settled()  # the cluster was made a moment ago
    before = traces(doctor.nodes)
    run = doctor.project.admin("doctor")
    assert run.code == 0, run.output
    assert "cluster proxmox: 3 members, quorate with 3 of 3 votes, 2 needed; nothing is wrong" in run.output
    assert "0✓ 1✓" in run.output
    assert traces(doctor.nodes) == before
    doctor.nodes.sh(2, "touch /root/a-file-of-somebodys")  # the comparison would see it
    assert traces(doctor.nodes) != before
    doctor.nodes.sh(2, "rm /root/a-file-of-somebodys")


SHARED = "pvesm add nfs shared --server 10.30.1.5 --export /srv/pve-shared --content images,rootdir,vztmpl"
# What people typed: a VM that HA looks after on two nodes, a container that it does not, and a VM that cannot leave its node.
BY_HAND = {
    2: "qm create 210 --name Web.Server --memory 128 --kvm 0 --scsi0 shared:1 && qm start 210 && "
    "ha-manager add vm:210 --max_restart 2 --comment ours && "
    "ha-manager rules add node-affinity web --resources vm:210 --nodes pve1,pve2",
    3: "pvesm status >/dev/null; mkdir -p /mnt/pve/shared/template/cache; tar -caf /mnt/pve/shared/template/cache/debian-12-x_1_amd64.tar.gz -C /etc hostname; "
    "pct create 310 shared:vztmpl/debian-12-x_1_amd64.tar.gz --hostname cache --memory 64 --rootfs shared:1 && pct start 310; "
    "qm create 211 --name tied --memory 128 --kvm 0 --scsi0 local-lvm:1",
}
CACHE = {"name": "cache", "kind": "existing", "type": "container", "vmid": 310, "memoryMib": 64}
OF_GUESTS = "cat /etc/pve/ha/resources.cfg /etc/pve/ha/rules.cfg; cat /etc/pve/nodes/*/qemu-server/*.conf /etc/pve/nodes/*/lxc/*.conf"
STATUS = {210: "/nodes/pve2/qemu/210", 310: "/nodes/pve3/lxc/310"}


def pids(nodes: Proxmox, *vmids: int) -> dict[int, int]:
    """The process of each guest, where it was made."""
    paths = {vmid: STATUS[vmid] for vmid in vmids or STATUS}
    read = {vmid: nodes.sh(1, f"pvesh get {path}/status/current --output-format json") for vmid, path in paths.items()}
    return {vmid: json.loads(text)["pid"] for vmid, text in read.items()}


@pytest.fixture
def guests_by_hand(doctor: Doctor) -> Iterator[Proxmox]:
    """Two guests on shared storage, one of them under HA, and a VM on a local disk."""
    nodes = doctor.nodes
    for number in NUMBERS:
        nodes.sh(number, f"ip addr add 10.30.1.10{number}/24 dev eth3; ip link set eth3 up")
    nodes.sh(1, SHARED)
    for number, typed in BY_HAND.items():
        nodes.sh(number, typed)
    eventually(lambda: "pve2, started" in nodes.ha(1).get("service vm:210", ""), "HA has the VM started")
    yield nodes
    nodes.sh(1, "ha-manager remove vm:210")
    eventually(lambda: "service vm:210" not in nodes.ha(1), "HA lets go of the VM")
    for file in nodes.sh(1, "ls /etc/pve/nodes/*/qemu-server/*.conf /etc/pve/nodes/*/lxc/*.conf").split():
        node, kind, vmid = file.split("/")[4], file.split("/")[5], file.split("/")[6].removesuffix(".conf")
        tool = "qm" if kind == "qemu-server" else "pct"
        nodes.ssh(int(node[-1]), f"{tool} stop {vmid}; {tool} destroy {vmid}")
    nodes.sh(1, "pvesm remove shared")
    for number in NUMBERS:  # HA holds the watchdog for a while yet: a node whose corosync is stopped would be reset
        nodes.sh(number, "systemctl restart pve-ha-lrm pve-ha-crm")
    eventually(lambda: not any("watchdog active" in line for line in nodes.ha(1).values()), "no watchdog is held")


@pytest.mark.story
def test_a_stack_file_is_written_of_the_cluster_and_describes_it_and_its_guests_as_they_are(
    doctor: Doctor, guests_by_hand: Proxmox
) -> None:
    """It is as if nobody had described it: another name of a stack, and what that stack's first run would change."""
    nodes, project = guests_by_hand, copy.copy(doctor.project)
    own, project.stack = project.configuration(), "found"
    before, guests, running = traces(nodes), nodes.sh(1, OF_GUESTS), pids(nodes)

    def adopt(fingerprint: str) -> Run:
        return project.admin(
            "adopt", "--endpoint", "https://192.168.0.101:8006", "--guests", "--fingerprint", fingerprint
        )

    unconfirmed = refusal(adopt(""), "adopt-unconfirmed")
    assert not project.stack_file.exists()
    keys = nodes.console(1, "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done")
    (shown,) = [word for word in keys.split() if word.startswith("SHA256:") and word in unconfirmed]
    said = succeeded(adopt(shown)).output
    assert traces(nodes) == before

    found = project.configuration()
    assert [(node["name"], node["nodeId"], node["address"], node["links"]) for node in found["nodes"]] == [
        (node["name"], node["nodeId"], node["address"], node["links"]) for node in own["nodes"]
    ]
    assert found["cluster"]["name"] == "proxmox"
    assert found["cluster"]["links"] == own["cluster"]["links"]
    assert {"kind": "external", "name": "local", "shared": False} in found["storages"]
    (web,) = found["guests"]
    assert (web["name"], web["type"], web["vmid"]) == ("web-server", "vm", 210)
    assert web["ha"] == {"maxRestart": 2, "nodes": {"pve1": 1, "pve2": 1}}
    assert "CT 310 (cache) on pve3: HA does not look after it" in said

    succeeded(project.admin("preview", "--look"))
    assert traces(nodes) == before
    refusal(adopt(shown), "adopt-exists")

    of_the_cluster = [nodes.sh(number, OF_THE_CLUSTER) for number in NUMBERS]
    try:
        run = succeeded(project.admin("up"))
        assert [nodes.sh(number, OF_THE_CLUSTER) for number in NUMBERS] == of_the_cluster
        assert (nodes.sh(1, OF_GUESTS), pids(nodes)) == (guests, running)
        assert "cluster proxmox is as described: 3 members, quorate with 3 of 3 votes" in run.output
        what_cannot_be_is_refused(project, nodes, found)
        a_guest_comes_under_ha_without_a_restart(project, nodes, {**found, "guests": [web, CACHE]})
    finally:
        gone = project.admin("down", "--yes")
    succeeded(gone)
    assert [nodes.sh(number, OF_THE_CLUSTER) for number in NUMBERS] == of_the_cluster
    assert nodes.sh(1, OF_GUESTS) == guests
    assert nodes.runs_guest(1, 210)
    assert pids(nodes, 310) == {310: running[310]}


def a_guest_comes_under_ha_without_a_restart(project: LabProject, nodes: Proxmox, wanted: dict[str, Any]) -> None:
    """And the other one, which somebody else has put there, moves as it did."""
    running = pids(nodes)
    project.configure(wanted)
    succeeded(project.admin("up"))
    assert pids(nodes) == running
    assert nodes.sh(1, "grep -c 'comment stack-found' /etc/pve/ha/resources.cfg").strip() == "1"
    nodes.sh(1, "ha-manager migrate vm:210 pve1")
    eventually(lambda: "pve1, started" in nodes.ha(1)["service vm:210"] and nodes.runs_guest(1, 210), "it moved")
    assert "0 changes" in succeeded(project.admin("up")).output


def what_cannot_be_is_refused(project: LabProject, nodes: Proxmox, found: dict[str, Any]) -> None:
    """By name, in the preview that looks and in a run, and nothing is changed."""
    (web,) = found["guests"]
    before = nodes.sh(1, OF_GUESTS), pids(nodes)
    tied = {**CACHE, "name": "tied", "type": "vm", "vmid": 211}
    project.configure({**found, "guests": [web, tied]})
    for command in ("preview", "up"):
        said = refusal(project.admin(command, *(("--look",) if command == "preview" else ())), "guest-tied")
        assert "VM 211 (tied) on pve3: scsi0 is on local-lvm, which is not shared" in said
    project.configure({**found, "guests": [web, {**CACHE, "vmid": 999}]})
    assert "none of that number" in refusal(project.admin("up"), "guest-missing")
    project.configure({**found, "guests": [{**web, "ha": {"nodes": web["ha"]["nodes"]}}]})
    assert "max_restart of the HA resource is 2, described: 1" in refusal(project.admin("up"), "ha-foreign")
    assert (nodes.sh(1, OF_GUESTS), pids(nodes)) == before


@pytest.mark.parametrize(
    ("mess", "cause"),
    [
        pytest.param("systemctl stop corosync", "corosync-stopped pve2", id="corosync stopped"),
        pytest.param("systemctl stop pve-cluster", "pmxcfs-stopped pve2", id="pmxcfs stopped"),
        pytest.param("systemctl stop pve-cluster corosync", "services-in-disorder pve2", id="both stopped"),
        pytest.param("systemctl stop pve-cluster; pmxcfs -l", "pmxcfs-local pve2", id="pmxcfs in local mode"),
        pytest.param("systemctl stop pveproxy", "services-stopped pve2", id="the API stopped"),
        pytest.param(
            "systemctl stop corosync; sed -i 's/^nodelist {/nodelist/' /etc/corosync/corosync.conf; systemctl start corosync",
            "local-conf-broken pve2",
            id="corosync.conf broken by hand",
        ),
        pytest.param(
            "systemctl stop corosync; sed -i 's/config_version: .*/config_version: 90/' /etc/corosync/corosync.conf; "
            "systemctl start corosync",
            "local-conf-newer pve2",
            id="corosync.conf raised on one node only",
        ),
        pytest.param(
            "systemctl stop corosync; head -c 256 /dev/urandom >/etc/corosync/authkey; systemctl start corosync",
            "authkey-differs pve2",
            id="another key",
        ),
        pytest.param("systemctl stop watchdog-mux", "watchdog-missing pve2", id="no watchdog"),
    ],
)
def test_what_one_command_broke_is_named_and_mended(doctor: Doctor, mess: str, cause: str) -> None:
    nodes = doctor.nodes
    nodes.ssh(2, mess)  # a service that is started with a broken file fails
    doctor.settled(cause)
    doctor.follow_advice()


def test_a_broken_cluster_is_left_as_it_is_too(doctor: Doctor) -> None:
    doctor.nodes.sh(2, "systemctl stop corosync")
    doctor.settled("corosync-stopped pve2")
    before = traces(doctor.nodes)
    assert doctor.causes() == ["corosync-stopped pve2"]
    assert traces(doctor.nodes) == before
    doctor.nodes.sh(2, "systemctl start corosync")


def test_links_that_are_cut(doctor: Doctor) -> None:
    lab = doctor.nodes.lab
    lab.do("link", "cut", "pve2", "0")
    # Which of the two it is depends on whether the card notices that its cable is out.
    assert doctor.first_of("link-end-down pve2", "link-address-down pve2") == 1
    lab.do("link", "cut", "pve2", "1")
    doctor.settled("cut-off pve2")
    assert "no answer to a ping on any of its links" in doctor.json()[1]["causes"][0]["why"]
    lab.do("link", "restore", "pve2", "0")
    lab.do("link", "restore", "pve2", "1")
    for number in NUMBERS:
        lab.do("link", "cut", f"pve{number}", "1")
    doctor.settled("link-down cluster")
    for number in NUMBERS:
        lab.do("link", "restore", f"pve{number}", "1")


def test_nodes_that_are_off(doctor: Doctor) -> None:
    lab = doctor.nodes.lab
    lab.do("node", "kill", "pve3")
    doctor.settled("node-off pve3")
    lab.do("node", "kill", "pve2")
    doctor.settled("quorum-lost cluster")
    found = doctor.json()[1]
    assert "1 of 3 votes, 2 needed" in found["causes"][0]["what"]
    assert not found["cluster"]["quorate"]
    # The way out for those who have lost both: what stands behind "only if".
    doctor.nodes.sh(1, "pvecm expected 1")
    eventually(lambda: doctor.nodes.is_writable(1), "pve1 is quorate")
    lab.do("node", "start", "pve2")
    lab.do("node", "start", "pve3")


def test_a_name_that_leads_to_the_loopback(doctor: Doctor) -> None:
    """Debian's own line: pmxcfs runs on, until its next start."""
    nodes = doctor.nodes
    nodes.sh(2, "cp -a /etc/hosts /root/hosts.before; sed -i 's/^192.168.0.102/127.0.1.1/' /etc/hosts")
    doctor.settled("name-misleads pve2")
    assert "leads to 127.0.1.1" in doctor.json()[1]["causes"][0]["what"]
    nodes.sh(2, "mv /root/hosts.before /etc/hosts")


def test_a_node_that_was_removed_while_it_was_on(doctor: Doctor) -> None:
    """The end of F2: `delnode` on a node that is on."""
    nodes = doctor.nodes
    nodes.sh(1, "pvecm delnode pve3")
    doctor.settled("removed-while-on pve3")
    why = doctor.json()[1]["causes"][0]["why"]
    assert "pve1 and pve2 list pve1 and pve2" in why
    assert "pve3 lists" in why
    nodes.sh(3, RESET)
    doctor.settled("not-joined pve3")
    assert "successfully added node 'pve3' to cluster." in nodes.join(3).stdout
