"""apt for real: the enterprise repository refuses, the other one brings a new kernel, a reboot runs it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lab.image import installer_iso
from lab.image.packages import NEW_KERNEL, OLD_KERNEL
from tests.lab.conftest import Lab, eventually

if TYPE_CHECKING:
    from pathlib import Path

# Committed in the stack's configuration: the same on every machine.
ISO_SHA256 = "f3fb4e8c309d385e10fa121251281c29fe2b8a82d584d8fc490e6e1d41f2d42e"
NODE = "pve3.lab.internal"
NO_SUBSCRIPTION = """
sed -i 's/^Types/Enabled: no\\nTypes/' /etc/apt/sources.list.d/pve-enterprise.sources /etc/apt/sources.list.d/ceph.sources
cat > /etc/apt/sources.list.d/proxmox.sources <<END
Types: deb
URIs: http://download.proxmox.com/debian/pve
Suites: trixie
Components: pve-no-subscription
Signed-By: /usr/share/keyrings/proxmox-archive-keyring.gpg
END
"""


def test_from_the_enterprise_repository_to_a_new_kernel(physical_lab: Lab) -> None:
    refused = physical_lab.ssh(NODE, "apt-get update")
    assert refused.returncode == 100
    assert "401  Unauthorized" in refused.stdout + refused.stderr
    assert physical_lab.sh(NODE, "uname -r").strip() == OLD_KERNEL

    physical_lab.sh(NODE, NO_SUBSCRIPTION)
    physical_lab.sh(NODE, "apt-get -o APT::Update::Error-Mode=any update")
    physical_lab.sh(NODE, "DEBIAN_FRONTEND=noninteractive apt-get -y dist-upgrade </dev/null")
    assert physical_lab.sh(NODE, "uname -r").strip() == OLD_KERNEL
    assert "ii" in physical_lab.sh(NODE, f"dpkg -l proxmox-kernel-{NEW_KERNEL}-signed | tail -1")

    physical_lab.do("node", "reboot", "pve3")
    eventually(lambda: physical_lab.ssh(NODE, "uname -r").stdout.strip() == NEW_KERNEL, "the new kernel runs")
    assert "0 upgraded, 0 newly installed" in physical_lab.sh(NODE, "apt-get -s dist-upgrade")


def test_a_changed_index_is_refused(physical_lab: Lab) -> None:
    node = "pve2.lab.internal"
    physical_lab.sh(node, NO_SUBSCRIPTION)
    physical_lab.sh(node, "apt-get -o APT::Update::Error-Mode=any update")  # the control
    release = physical_lab.state / "sites/download.proxmox.com/debian/pve/dists/trixie/InRelease"
    good = release.read_bytes()
    release.write_bytes(good.replace(b"Suite: trixie", b"Suite: forged"))
    try:
        refused = physical_lab.ssh(node, "apt-get -o APT::Update::Error-Mode=any update")
    finally:
        release.write_bytes(good)
    assert refused.returncode == 100


def test_the_iso_is_the_same_everywhere(tmp_path: Path, physical_lab: Lab) -> None:
    assert installer_iso.write(tmp_path / "here.iso") == ISO_SHA256
    url = "http://download.proxmox.com/iso/proxmox-ve_9.1-1.iso"
    served = physical_lab.sh(NODE, f"curl -sSf {url} | sha256sum").split()[0]
    assert served == ISO_SHA256
    assert hashlib.sha256((tmp_path / "here.iso").read_bytes()).hexdigest() == ISO_SHA256


def test_the_tools_of_the_outer_host_come_by_apt(physical_lab: Lab) -> None:
    node = "pve1.lab.internal"
    assert physical_lab.ssh(node, "command -v proxmox-auto-install-assistant exportfs").returncode != 0
    physical_lab.sh(node, NO_SUBSCRIPTION)
    physical_lab.sh(
        node,
        "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get -y install proxmox-auto-install-assistant "
        "nfs-kernel-server </dev/null",
    )
    assert physical_lab.ssh(node, "proxmox-auto-install-assistant --version").stderr.strip().endswith("v9.2.7")
    assert physical_lab.sh(node, "systemctl is-active nfs-server").strip() == "active"
    physical_lab.sh(node, "apt-get -y remove nfs-kernel-server </dev/null")
