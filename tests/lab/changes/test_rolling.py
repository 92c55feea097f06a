"""Rolling work on a live cluster: guests leave and return, votes stay, and a command that was stopped goes on."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import TYPE_CHECKING, Self

import pytest

from lab.image.packages import Package
from tests.lab.job.test_cluster import NODES, boot_ids, services
from tests.support import processes
from tests.support.bad_world import refusal, succeeded
from tests.support.lab_project import LabProject

if TYPE_CHECKING:
    from collections.abc import Iterator

KERNEL = "6.17.2-3-pve"
UPGRADE = (
    Package("pve-manager", "9.1.3", "Tools", "pve-cluster, qemu-server, pve-container"),
    Package("proxmox-kernel-6.17", "6.17.2-3", "Kernel", f"proxmox-kernel-{KERNEL}-signed"),
    Package(
        f"proxmox-kernel-{KERNEL}-signed",
        "6.17.2-3",
        "Kernel image",
        files={
            f"/boot/vmlinuz-{KERNEL}": "-\n",
            f"/boot/initrd.img-{KERNEL}": "-\n",
            f"/lib/modules/{KERNEL}/modules.dep": "",
        },
    ),
)
# It can be configured only where somebody has put that right.
BROKEN = Package(
    "pve-container",
    "6.0.19",
    "Containers",
    scripts={"postinst": "#!/bin/sh\ntest -e /run/mended || test $(hostname) != proxmox02\n"},
)
NEXT_MAJOR = Package("pve-manager", "10.0.1", "Tools", "pve-cluster, qemu-server, pve-container")
SOURCE = "/etc/apt/sources.list.d/test.list"
INDEX = """
cd /srv/new
for deb in *.deb; do dpkg-deb -f $deb; echo "Filename: ./$deb"; echo "Size: $(stat -c %s $deb)"; echo "SHA256: $(sha256sum $deb | cut -d' ' -f1)"; echo; done > Packages
"""


def publish(cluster: LabProject, *packages: Package) -> None:
    """Let each node get these packages, and no others of earlier tests, from a repository of its own."""
    script = ["set -e; rm -rf /srv/new /tmp/tree; mkdir /srv/new"]
    for package in packages:
        script.append("mkdir -p /tmp/tree/DEBIAN")
        files = {"/DEBIAN/control": package.control(), **package.files}
        files |= {f"/DEBIAN/{name}": text for name, text in package.scripts.items()}
        for path, text in files.items():
            script.append(f"mkdir -p $(dirname /tmp/tree{path}); cat > /tmp/tree{path} <<'END'\n{text}END")
        script.append(
            f"chmod 755 /tmp/tree/DEBIAN/p* 2>/dev/null || true; dpkg-deb --root-owner-group -Znone --build /tmp/tree /srv/new/{package.file_name}; rm -r /tmp/tree"
        )
    script.append(f"{INDEX}\necho 'deb [trusted=yes] file:/srv/new ./' > {SOURCE}")
    for address in NODES.values():
        succeeded(cluster.ssh(address, "bash -s", stdin="\n".join(script)))


def withdraw(cluster: LabProject) -> None:
    for address in NODES.values():
        cluster.ssh(address, f"rm -rf {SOURCE} /srv/new")


def versions(cluster: LabProject) -> dict[str, str]:
    ask = "dpkg-query -W -f '${Version}' pve-manager; uname -r"
    return {name: cluster.ssh(address, ask).output.strip() for name, address in NODES.items()}


def where(cluster: LabProject) -> dict[str, str]:
    """On which node each guest is, once HA is at rest."""
    seen_by = NODES["proxmox03"]

    def rests() -> bool:
        return {entry["state"] for entry in services(cluster, seen_by).values()} == {"started"}

    assert cluster.eventually(rests, 120)
    return {sid: entry["node"] for sid, entry in services(cluster, seen_by).items()}


def started(cluster: LabProject, sid: str) -> str:
    """Since when a guest is up, as it sees that itself."""
    directory, vmid = {"vm": "/run/qemu-server", "ct": "/run/lxc"}[sid[:2]], sid[3:]
    look = f"tr '\\0' '\\n' < /proc/$(cat {directory}/{vmid}.pid)/environ | grep ^GUEST_BOOTED="
    return succeeded(cluster.ssh(NODES[where(cluster)[sid]], look)).output


def maintained(cluster: LabProject) -> set[str]:
    status = json.loads(cluster.ssh(NODES["proxmox03"], "cat /etc/pve/ha/manager_status").output)
    asked = {name for name, request in status.get("node_request", {}).items() if request.get("maintenance")}
    return asked | {name for name, state in status["node_status"].items() if state == "maintenance"}


class Voters:
    """Counts, all the time, how many of the three votes the best-off node sees."""

    def __init__(self, cluster: LabProject) -> None:
        self.counts: list[int] = []
        self._cluster = cluster
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _count(self) -> None:
        while not self._over.is_set():
            seen = [self._cluster.ssh(address, "corosync-quorumtool -s", 10).output for address in NODES.values()]
            self.counts.append(
                max(
                    int(found[1]) if (found := re.search(r"^Total votes:\s+(\d)", text, re.MULTILINE)) else 0
                    for text in seen
                )
            )
            time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProject]:
    """Stack dev in a lab of its own, deployed."""
    directory = tmp_path_factory.mktemp("rolling")
    project = LabProject(directory / "project", directory / "lab")
    try:
        succeeded(project.lab("up"))
        succeeded(project.admin("up"))
        yield project
    finally:
        project.lab("down")


def said(run_output: str, *texts: str) -> None:
    positions = [run_output.find(text) for text in texts]
    assert positions[0] > -1, run_output
    assert positions == sorted(positions), run_output


def test_a_drained_node_has_no_guests_until_it_is_given_back(cluster: LabProject) -> None:
    before, vm, ct = where(cluster), started(cluster, "vm:200"), started(cluster, "ct:300")
    assert before == {"vm:200": "proxmox01", "ct:300": "proxmox02"}

    drained = succeeded(cluster.admin("drain", "--node", "proxmox01"))
    assert "the loss of no further node" in drained.output
    assert where(cluster)["vm:200"] != "proxmox01"
    assert started(cluster, "vm:200") == vm  # it moved while it ran
    again = succeeded(cluster.admin("drain", "--node", "proxmox01"))
    assert "proxmox01 is in maintenance, without running guests already" in again.output

    shown = succeeded(cluster.admin("status")).output
    assert "proxmox01: is in maintenance: HA gives it no guests" in shown
    assert "make undrain NODE=proxmox01" in shown
    refused = cluster.admin("drain", "--node", "proxmox02")
    assert "proxmox01" in refusal(refused, "node-in-maintenance")
    assert where(cluster)["ct:300"] == "proxmox02"
    up = succeeded(cluster.admin("up"))
    assert "proxmox01 is in maintenance" in up.output
    assert where(cluster)["vm:200"] != "proxmox01"

    succeeded(cluster.admin("undrain", "--node", "proxmox01"))
    assert where(cluster) == before
    assert started(cluster, "vm:200") == vm
    assert maintained(cluster) == set()
    succeeded(cluster.admin("drain", "--node", "proxmox02"))
    assert where(cluster)["ct:300"] != "proxmox02"
    succeeded(cluster.admin("undrain", "--node", "proxmox02"))
    assert where(cluster) == before
    assert started(cluster, "ct:300") != ct  # a container is restarted: what shows a move shows this, too
    assert "is in maintenance" not in succeeded(cluster.admin("status")).output


def test_a_guest_that_cannot_leave_is_named_before_anything_moves(cluster: LabProject) -> None:
    address = NODES["proxmox01"]
    create = "qm create 900 --name stays --memory 64 --kvm 0 --scsi0 {}:1 && qm start 900"
    succeeded(cluster.ssh(address, create.format("local-lvm")))
    try:
        refused = cluster.admin("drain", "--node", "proxmox01")
        assert "stays (vm:900): scsi0 is on local-lvm, which is not shared" in refusal(refused, "guest-stays")
        assert maintained(cluster) == set()
        assert where(cluster)["vm:200"] == "proxmox01"
        everything = cluster.admin("reboot", "--yes")
        assert "vm:900" in refusal(everything, "guest-stays")
    finally:
        succeeded(cluster.ssh(address, "qm stop 900; qm destroy 900"))
    # The same guest on shared storage leaves, though it is not under HA.
    succeeded(cluster.ssh(address, create.format("shared")))
    succeeded(cluster.admin("drain", "--node", "proxmox01"))
    try:
        running = cluster.ssh(NODES["proxmox02"], "pvesh get /cluster/resources --type vm --output-format json").output
        moved = next(entry for entry in json.loads(running) if entry["vmid"] == 900)
        assert moved["node"] != "proxmox01"
        assert moved["status"] == "running"
    finally:
        succeeded(cluster.admin("undrain", "--node", "proxmox01"))
        for address in NODES.values():
            cluster.ssh(address, "qm stop 900; qm destroy 900")


def test_another_major_version_is_refused_with_nothing_changed(cluster: LabProject) -> None:
    before, boots = versions(cluster), boot_ids(cluster)
    publish(cluster, NEXT_MAJOR)
    try:
        text = refusal(cluster.admin("upgrade", "--yes"), "other-major")
    finally:
        withdraw(cluster)
    assert "pve-manager 10.0.1" in text
    assert versions(cluster) == before
    assert boot_ids(cluster) == boots
    assert maintained(cluster) == set()


def test_an_upgrade_stops_at_a_node_that_fails_and_goes_on_there(cluster: LabProject) -> None:
    home, vm, boots = where(cluster), started(cluster, "vm:200"), boot_ids(cluster)
    old = versions(cluster)
    publish(cluster, *UPGRADE, BROKEN)
    with Voters(cluster) as voters:
        stopped = cluster.admin("upgrade", "--yes")
        assert stopped.code == 1, stopped.output
        said(
            stopped.output,
            "proxmox01: Proxmox VE 9.1.2, 4 packages",
            f"reboot into kernel {KERNEL}",
            "▸ proxmox01",
            "▸ proxmox02",
            "error[apt-failed]",
        )
        assert "▸ proxmox03" not in stopped.output
        now = versions(cluster)
        assert now["proxmox01"] == f"9.1.3{KERNEL}"
        assert now["proxmox03"] == old["proxmox03"]
        assert maintained(cluster) == {"proxmox02"}
        assert boot_ids(cluster)["proxmox01"] != boots["proxmox01"]
        assert boot_ids(cluster)["proxmox03"] == boots["proxmox03"]
        assert "is in maintenance" in cluster.admin("status").output

        first = boot_ids(cluster)["proxmox01"]
        succeeded(cluster.ssh(NODES["proxmox02"], "touch /run/mended"))
        finished = succeeded(cluster.admin("upgrade", "--yes"))
        said(finished.output, "proxmox01: Proxmox VE 9.1.3, nothing to upgrade", "▸ proxmox02", "▸ proxmox03")
    assert "▸ proxmox01" not in finished.output
    assert versions(cluster) == dict.fromkeys(NODES, f"9.1.3{KERNEL}")
    assert boot_ids(cluster)["proxmox01"] == first
    assert maintained(cluster) == set()
    assert where(cluster) == home
    assert started(cluster, "vm:200") == vm
    assert min(voters.counts) == 2  # one was away at a time, and that was seen
    again = succeeded(cluster.admin("upgrade", "--yes"))
    assert again.output.count("nothing to upgrade") == 3
    assert "▸ proxmox0" not in again.output
    assert cluster.eventually(lambda: cluster.admin("status").code == 0, 60)


def test_a_reboot_that_is_killed_goes_on_where_it_was(cluster: LabProject) -> None:
    before = boot_ids(cluster)
    run = cluster.start_admin("reboot", "--yes")
    assert cluster.eventually(lambda: "proxmox02" in maintained(cluster), 240)
    processes.end_all(run.pid)
    assert "proxmox02" in maintained(cluster)
    once = boot_ids(cluster)["proxmox01"]
    assert once != before["proxmox01"]
    finished = succeeded(cluster.admin("reboot", "--yes"))
    assert "proxmox01 was rebooted by the call before" in finished.output
    after = boot_ids(cluster)
    assert after["proxmox01"] == once
    assert not {*after.values()} & {*before.values()}
    assert maintained(cluster) == set()
