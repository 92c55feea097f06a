"""Rolling work on a live cluster: guests leave and return, votes stay, and a command that was stopped goes on."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from typing import TYPE_CHECKING, Self

import pytest

from lab.image.packages import Package
from tests.lab.job.test_cluster import NODES, boot_ids, services
from tests.support import processes
from tests.support.bad_world import refusal, succeeded

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject

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
HOME = {"vm:200": "proxmox01", "ct:300": "proxmox02"}  # where the stack file wants its guests
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
    """Take the repository away, and let dpkg finish what could not be configured; lists that were fetched of it are old."""
    age = "sed -i 's/ .*/ 0/' /var/lib/nested-pve-ha/apt-updated"
    mend = (
        f'rm -rf {SOURCE} /srv/new; {age}; test -z "$(dpkg --audit)" || {{ touch /run/mended; dpkg --configure -a; }}'
    )
    for address in NODES.values():
        succeeded(cluster.ssh(address, mend))


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
            time.sleep(1)


@pytest.fixture
def cluster(three: LabProject) -> LabProject:
    """All nodes in use, guests at home, no command half done and no package of a test to be had, whatever ran before."""
    withdraw(three)
    for name in sorted(maintained(three)):
        succeeded(three.admin("undrain", "--node", name))
    shutil.rmtree(three.directory / ".nested-pve" / "rolling", ignore_errors=True)
    assert three.eventually(lambda: where(three) == HOME)
    return three


def said(run_output: str, *texts: str) -> None:
    positions = [run_output.find(text) for text in texts]
    assert positions[0] > -1, run_output
    assert positions == sorted(positions), run_output


def test_a_drained_node_has_no_guests_until_it_is_given_back(cluster: LabProject) -> None:
    vm = started(cluster, "vm:200")
    drained = succeeded(cluster.admin("drain", "--node", "proxmox01"))
    assert "the loss of no further node" in drained.output
    assert where(cluster)["vm:200"] != "proxmox01"
    assert started(cluster, "vm:200") == vm  # it moved while it ran

    refused = cluster.admin("drain", "--node", "proxmox02")
    assert "proxmox01" in refusal(refused, "node-in-maintenance")
    assert where(cluster)["ct:300"] == "proxmox02"
    up = succeeded(cluster.admin("up")).output  # ends with what `status` shows
    assert "proxmox01: is in maintenance: HA gives it no guests" in up
    assert "make undrain NODE=proxmox01" in up
    assert where(cluster)["vm:200"] != "proxmox01"

    succeeded(cluster.admin("undrain", "--node", "proxmox01"))
    assert maintained(cluster) == set()
    assert where(cluster) == HOME
    assert started(cluster, "vm:200") == vm


def test_a_guest_that_cannot_leave_is_named_before_anything_moves(cluster: LabProject) -> None:
    address = NODES["proxmox01"]
    create = "qm create 900 --name stays --memory 64 --kvm 0 --scsi0 {}:1 && qm start 900"
    succeeded(cluster.ssh(address, create.format("local-lvm")))
    try:
        refused = cluster.admin("drain", "--node", "proxmox01")
        assert "stays (vm:900): scsi0 is on local-lvm, which is not shared" in refusal(refused, "guest-stays")
        assert maintained(cluster) == set()
        assert where(cluster) == HOME
    finally:
        succeeded(cluster.ssh(address, "qm stop 900; qm destroy 900"))
    # The same guest on shared storage leaves, though it is not under HA.
    succeeded(cluster.ssh(address, create.format("shared")))
    try:
        succeeded(cluster.admin("drain", "--node", "proxmox01"))
        running = cluster.ssh(NODES["proxmox02"], "pvesh get /cluster/resources --type vm --output-format json").output
        moved = next(entry for entry in json.loads(running) if entry["vmid"] == 900)
        assert moved["node"] != "proxmox01"
        assert moved["status"] == "running"
    finally:
        for each in NODES.values():
            cluster.ssh(each, "test ! -e /etc/pve/qemu-server/900.conf || { qm stop 900; qm destroy 900; }")


def test_another_major_version_is_refused_with_nothing_changed(cluster: LabProject) -> None:
    before, boots = versions(cluster), boot_ids(cluster)
    publish(cluster, NEXT_MAJOR)
    text = refusal(cluster.admin("upgrade", "--yes"), "other-major")
    assert "pve-manager 10.0.1" in text
    assert versions(cluster) == before
    assert boot_ids(cluster) == boots
    assert maintained(cluster) == set()


def test_an_upgrade_stops_at_a_node_that_fails_and_goes_on_there(cluster: LabProject) -> None:
    vm, boots, old = started(cluster, "vm:200"), boot_ids(cluster), versions(cluster)
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
        first = boot_ids(cluster)
        assert first["proxmox01"] != boots["proxmox01"]
        assert first["proxmox03"] == boots["proxmox03"]

        succeeded(cluster.ssh(NODES["proxmox02"], "touch /run/mended"))
        finished = succeeded(cluster.admin("upgrade", "--yes"))
        said(finished.output, "proxmox01: Proxmox VE 9.1.3, nothing to upgrade", "▸ proxmox02", "▸ proxmox03")
    assert "▸ proxmox01" not in finished.output
    assert versions(cluster) == dict.fromkeys(NODES, f"9.1.3{KERNEL}")
    assert boot_ids(cluster)["proxmox01"] == first["proxmox01"]
    assert maintained(cluster) == set()
    assert where(cluster) == HOME
    assert started(cluster, "vm:200") == vm
    assert min(voters.counts) == 2  # one was away at a time, and that was seen
    # A source that somebody takes away after packages came from it is no difference, either.
    withdraw(cluster)
    up = succeeded(cluster.admin("up")).output
    assert "0 changes" in up
    assert "drifted:" not in up


def test_a_reboot_that_is_killed_goes_on_where_it_was(cluster: LabProject) -> None:
    before, ct = boot_ids(cluster), started(cluster, "ct:300")

    def has_rebooted() -> bool:
        seen = cluster.ssh(NODES["proxmox02"], "cat /proc/sys/kernel/random/boot_id")
        return seen.code == 0 and seen.output != before["proxmox02"]

    run = cluster.start_admin("reboot", "--node", "proxmox02", "--yes")
    assert cluster.eventually(has_rebooted, 120)
    processes.end_all(run.pid)
    assert maintained(cluster) == {"proxmox02"}
    once = boot_ids(cluster)
    succeeded(cluster.admin("reboot", "--node", "proxmox02", "--yes"))
    assert boot_ids(cluster) == once
    assert maintained(cluster) == set()
    assert where(cluster) == HOME
    assert started(cluster, "ct:300") != ct  # a container is started anew: what shows that of one shows it of a VM
