"""The outer host with libvirt looked at from outside, whole, so that two looks can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.bad_world import succeeded
from tests.support.outer_host import difference

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject

__all__ = ["ADDRESS", "difference", "look", "virsh"]
ADDRESS = "192.168.0.170"
# Left out: what programs write anew whenever they run (caches, locks), and what a package leaves on the machine for good (users).
LOOK = r"""
export LC_ALL=C
cd /etc
find . -xdev -type f ! -name '*.cache' ! -name ifupdown2_vrf_map.conf ! -name '*.lock' \
    ! -name 'passwd*' ! -name 'group*' ! -name 'shadow*' ! -name 'gshadow*' ! -name 'subuid*' ! -name 'subgid*' \
    -exec sha256sum {} + | sort -k 2
find . -xdev -type l -printf '%p -> %l\n' | sort
dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n'
find /var/lib/libvirt/images /var/lib/libvirt/nested-pve-ha /root -type f ! -path '*/.cache*' 2>/dev/null | sort
find /srv | sort
ip -brief link | awk '{ sub(/@.*/, "", $1); print $1 }' | grep -v '^tap\|^vnet\|^veth' | sort
ip -brief address | awk '{ $2 = ""; print }' | grep '10\.' || true
systemctl list-units --all --plain --no-legend 'nested-pve-ha*' | awk '{ print $1 }'
test -e /var/lib/nested-pve-ha && find /var/lib/nested-pve-ha
cat /sys/module/kvm_intel/parameters/nested
for what in list net-list pool-list; do virsh --quiet "$what" --all --name; done
"""


def look(project: LabProject) -> list[str]:
    """Files in /etc, packages, volumes, network, services, modules, and what libvirt has, a line each."""
    lines = succeeded(project.ssh(ADDRESS, LOOK)).output.splitlines()
    # It sees interfaces, files and packages.
    assert {"lo", "br0"} <= set(lines)
    assert any(line.endswith("  ./hosts") for line in lines)
    assert any(line.startswith("ii  libvirt-daemon-system ") for line in lines)
    return lines


def virsh(project: LabProject, command: str) -> str:
    """What libvirt's own client prints there."""
    return succeeded(project.ssh(ADDRESS, f"LC_ALL=C virsh --connect qemu:///system --quiet {command}")).output
