"""The lab's `pvecm` and cluster file system, against the transcripts of PVE 9.1."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from onnode.cluster import membership
from tests.lab.conftest import eventually
from tests.lab.proxmox import NUMBERS

if TYPE_CHECKING:
    from tests.lab.formed.conftest import Formed
    from tests.lab.proxmox import Proxmox


def test_create_prints_what_the_real_one_prints(formed: Formed) -> None:
    assert formed.transcripts[0].splitlines() == [
        "Corosync Cluster Engine Authentication key generator.",
        "Gathering 2048 bits for key from /dev/urandom.",
        "Writing corosync key to /etc/corosync/authkey.",
        "Writing corosync config to /etc/pve/corosync.conf",
        "Restart corosync and cluster filesystem",
    ]


def test_a_join_tells_its_stages_in_their_order(formed: Formed) -> None:
    for number, transcript in zip(NUMBERS[1:], formed.transcripts[1:], strict=True):
        stages = [
            "Establishing API connection with host '10.10.1.101'",
            "Login succeeded.",
            "check cluster join API version",
            "Request addition of this node",
            "Join request OK, finishing setup locally",
            "stopping pve-cluster service",
            "backup old database to '/var/lib/pve-cluster/backup/config-",
            "(re)generate node files",
            "generate new node certificate",
            "merge authorized SSH keys",
            "generated new node certificate, restart pveproxy and pvedaemon services",
            f"successfully added node 'pve{number}' to cluster.",
        ]
        positions = [transcript.index(stage) for stage in stages]
        assert positions == sorted(positions)
        assert transcript.endswith("rc=0\n")
        log = formed.nodes.sh(number, "cat /var/log/pve/tasks/*/*:clusterjoin::root@pam:")
        assert log.rstrip().endswith("TASK OK")


def test_corosync_leaves_the_processors_to_its_clients(cluster: Proxmox) -> None:
    """Nodes share them here: with real-time priority it would wait for clients that it keeps from running."""
    assert "SCHED_OTHER" in cluster.sh(1, "chrt --pid $(pidof corosync)")


def test_every_member_sees_the_same_cluster(cluster: Proxmox) -> None:
    for number in NUMBERS:
        members = cluster.members(number)
        assert members["nodename"] == f"pve{number}"
        assert members["cluster"] == {
            "name": "proxmox",
            "version": members["cluster"]["version"],
            "nodes": 3,
            "quorate": 1,
        }
        assert {name: member["id"] for name, member in members["nodelist"].items()} == {"pve1": 1, "pve2": 2, "pve3": 3}
        assert cluster.online(number) == {"pve1", "pve2", "pve3"}
        status = cluster.sh(number, "pvecm status")
        for expected in (
            r"Name: +proxmox",
            rf"Config Version: +{members['cluster']['version']}",
            r"Transport: +knet",
            r"Secure auth: +on",
            r"Quorate: +Yes",
        ):
            assert re.search(expected, status), expected
        for expected in (r"Expected votes: +3", r"Total votes: +3", r"Quorum: +2", rf"10\.10\.1\.10{number} \(local\)"):
            assert re.search(expected, status), expected


def test_both_links_of_every_pair_are_connected(cluster: Proxmox) -> None:
    for number in NUMBERS:
        links = re.findall(r"LINK: (\d) udp .* enabled (connected)?", cluster.sh(number, "corosync-cfgtool -n"))
        assert sorted(links) == [("0", "connected")] * 2 + [("1", "connected")] * 2


def test_the_joiner_shows_another_certificate_of_the_clusters_authority(formed: Formed) -> None:
    nodes = formed.nodes
    assert nodes.fingerprint(2) != formed.fingerprint_before
    script = (
        "openssl s_client -connect 192.168.0.102:8006 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256"
    )
    assert nodes.sh(1, script).strip().endswith(nodes.fingerprint(2))
    assert "OK" in nodes.sh(3, "openssl verify -CAfile /etc/pve/pve-root-ca.pem /etc/pve/nodes/pve2/pve-ssl.pem")


def test_keys_of_all_members_are_shared(cluster: Proxmox) -> None:
    assert cluster.sh(2, "readlink /root/.ssh/authorized_keys").strip() == "/etc/pve/priv/authorized_keys"
    for number in NUMBERS:
        cluster.sh(number, "grep -qF \"$(cut -d' ' -f2 /root/.ssh/id_rsa.pub)\" /etc/pve/priv/authorized_keys")


def test_a_write_on_one_member_is_read_on_the_others(cluster: Proxmox) -> None:
    cluster.sh(2, "echo shared > /etc/pve/note")
    assert cluster.sh(3, "cat /etc/pve/note; rm /etc/pve/note") == "shared\n"
    assert cluster.ssh(2, "test -e /etc/pve/note").returncode != 0


def test_modes_are_those_of_pmxcfs(cluster: Proxmox) -> None:
    stat = (
        "stat -c '%A %U:%G' /etc/pve /etc/pve/corosync.conf /etc/pve/priv /etc/pve/priv/authorized_keys /etc/pve/local"
    )
    assert cluster.sh(1, stat).splitlines() == [
        "drwxr-xr-x root:www-data",
        "-rw-r----- root:www-data",
        "drwx------ root:root",
        "-rw------- root:root",
        "lrwxr-xr-x root:www-data",
    ]
    assert cluster.ssh(1, "chmod 777 /etc/pve/corosync.conf").returncode != 0


WRITER = """
import os
while os.path.exists("/tmp/read"):
    with open("/etc/pve/swap.new", "w") as stream:
        stream.write("replaced")
    os.rename("/etc/pve/swap.new", "/etc/pve/swap")
"""
READER = """
from pvelab import cfs
from pvelab.paths import pve
missed = reads = 0
while missed < 10 and reads < 50000:
    reads += 1
    missed += not pve("swap").exists()
    assert cfs.read("swap") == "replaced"
print(missed)
"""


def test_the_tools_never_miss_a_file_that_is_being_replaced(cluster: Proxmox) -> None:
    script = f"""
    set -e
    printf replaced > /etc/pve/swap; touch /tmp/read
    python3 -c '{WRITER}' & trap 'rm -f /tmp/read; wait; rm -f /etc/pve/swap' EXIT
    PYTHONPATH=/usr/share/pve-lab python3 -c '{READER}'
    """
    assert int(cluster.sh(1, script)) == 10, "a plain look misses it now and then: there was something to miss"


def test_looks_at_the_same_time_all_find_that_a_member_takes_writes(cluster: Proxmox) -> None:
    """`make status` asks each node twice at once: what is recorded, and how the cluster does."""
    look = f"for _ in $(seq 100); do ({membership.TAKES_WRITES}) || echo read-only; done"
    assert cluster.sh(1, f"{look} & {look} & {look} & wait") == ""
    assert cluster.sh(1, "ls /etc/pve/priv | grep -c probe || true") == "0\n"


def test_a_guest_id_is_unique_in_the_cluster(cluster: Proxmox) -> None:
    cluster.sh(2, "touch /etc/pve/nodes/pve2/qemu-server/999.conf")
    assert "File exists" in cluster.ssh(3, "touch /etc/pve/nodes/pve3/lxc/999.conf").stderr
    cluster.sh(
        3, "rm /etc/pve/nodes/pve2/qemu-server/999.conf; touch /etc/pve/lxc/999.conf && rm /etc/pve/lxc/999.conf"
    )


def test_the_api_tells_the_same(cluster: Proxmox) -> None:
    status = json.loads(cluster.sh(2, "pvesh get /cluster/status --output-format json"))
    whole = {"type": "cluster", "id": "cluster", "name": "proxmox", "nodes": 3, "quorate": 1}
    assert {**whole, "version": cluster.members(2)["cluster"]["version"]} in status
    nodes = {entry["name"]: entry for entry in status if entry["type"] == "node"}
    assert {name: (entry["online"], entry["local"]) for name, entry in nodes.items()} == {
        "pve1": (1, 0),
        "pve2": (1, 1),
        "pve3": (1, 0),
    }
    join = json.loads(cluster.sh(2, "pvesh get /cluster/config/join --output-format json"))
    assert {node["name"]: node["pve_fp"] for node in join["nodelist"]} == {
        f"pve{number}": cluster.fingerprint(number) for number in NUMBERS
    }
    assert join["totem"]["interface"]["0"] == {"knet_link_priority": "20", "linknumber": "0"}


def test_a_cut_link_is_seen_and_quorum_holds(cluster: Proxmox) -> None:
    cluster.lab.do("link", "cut", "pve2", "0")
    seen = "corosync-cfgtool -n | grep -A2 'nodeid: 2'"
    eventually(lambda: re.search(r"LINK: 0 .* enabled mtu", cluster.sh(1, seen)) is not None, "link 0 is disconnected")
    assert re.search(r"LINK: 1 .* enabled connected", cluster.sh(1, seen))
    assert cluster.is_writable(1)
    assert cluster.is_writable(2)
    cluster.lab.do("link", "restore", "pve2", "0")
    eventually(lambda: re.search(r"LINK: 0 .* enabled connected", cluster.sh(1, seen)) is not None, "link 0 is back")


def test_an_isolated_member_reads_the_last_state_and_refuses_writes(cluster: Proxmox) -> None:
    cluster.sh(1, "echo before > /etc/pve/note")
    for link in ("0", "1"):
        cluster.lab.do("link", "cut", "pve3", link)
    eventually(lambda: not cluster.is_writable(3), "pve3 has no quorum")
    cluster.sh(1, "echo after > /etc/pve/note")
    assert cluster.sh(3, "cat /etc/pve/note; stat -c %a /etc/pve /etc/pve/local") == "before\n555\n555\n"
    refused = cluster.ssh(3, "echo x >> /root/.ssh/authorized_keys")
    assert "Permission denied" in refused.stderr
    status = cluster.ssh(3, "pvecm status")
    assert status.returncode == 2
    assert re.search(r"Quorate: +No", status.stdout)
    assert "Activity blocked" in status.stdout
    assert "cluster not ready - no quorum?" in cluster.ssh(3, "pvecm delnode pve2").stderr
    for link in ("0", "1"):
        cluster.lab.do("link", "restore", "pve3", link)
    eventually(lambda: cluster.is_writable(3), "pve3 is back")
    assert cluster.sh(3, "cat /etc/pve/note; rm /etc/pve/note") == "after\n"


def test_a_node_that_leaves_by_the_book_joins_again_without_reinstallation(cluster: Proxmox) -> None:
    """pvecm.adoc, "Separate a Node Without Reinstalling"."""
    cluster.sh(
        3,
        "cd /root; systemctl stop pve-ha-lrm pve-ha-crm pve-cluster corosync; pmxcfs -l; rm -f /etc/pve/corosync.conf; "
        "rm -rf /etc/corosync/*; killall pmxcfs; while pgrep -x pmxcfs; do sleep 0.1; done; "
        "systemctl start pve-cluster; rm -f /var/lib/corosync/*; systemctl start pve-ha-crm pve-ha-lrm",
    )
    assert cluster.sh(3, "ls /etc/pve/nodes").split() == ["pve1", "pve2", "pve3"]
    assert cluster.ssh(3, "pvecm status").returncode == 2
    removed = cluster.sh(1, "pvecm delnode pve3 2>&1")
    assert "Killing node 3" in removed
    eventually(lambda: "pve3" not in cluster.members(2)["nodelist"], "pve3 is off the list")
    assert cluster.join(3).stdout.endswith("successfully added node 'pve3' to cluster.\nrc=0\n")
