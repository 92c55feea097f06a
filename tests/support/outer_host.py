"""The outer host looked at from outside, whole, so that two looks can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject

OUTER = "192.168.0.180"
# Left out: what programs write anew whenever they run (caches, locks, the comments with which Proxmox VE begins a network
# configuration, directories of a storage), what a package leaves on the machine for good (users, groups), the number of a card's
# other end, which is another one after each boot, and the mounted cluster file system (its guests are listed by `qm`).
LOOK = r"""
export LC_ALL=C
cd /etc
find . -xdev -type f ! -path ./network/interfaces ! -name '*.cache' ! -name ifupdown2_vrf_map.conf ! -name '*.lock' \
    ! -name 'passwd*' ! -name 'group*' ! -name 'shadow*' ! -name 'gshadow*' ! -name 'subuid*' ! -name 'subgid*' \
    -exec sha256sum {} + | sort -k 2
grep -v '^#' network/interfaces | grep .
find . -xdev -type l -printf '%p -> %l\n' | sort
dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n'
find /var/lib/vz /root -type f ! -path '*/.cache*' | sort
find /srv | sort
ip -brief link | awk '{ sub(/@.*/, "", $1); print $1 }' | grep -v '^tap\|^fwbr\|^veth' | sort
ip -brief address | awk '{ $2 = ""; print }' | grep '10\.' || true
systemctl list-units --all --plain --no-legend 'nested-pve-ha*' | awk '{ print $1 }'
test -e /var/lib/nested-pve-ha && find /var/lib/nested-pve-ha
cat /sys/module/kvm_intel/parameters/nested
qm list
"""


def look(project: LabProject) -> list[str]:
    """Files in /etc, packages, volumes, network, services, modules and VMs of the outer host, a line each."""
    seen = project.ssh(OUTER, LOOK)
    assert seen.code == 0, seen.output
    lines = seen.output.splitlines()
    # It sees the network's configuration, interfaces, files and packages.
    assert {"auto vmbr0", "lo", "vmbr0"} <= set(lines)
    assert any(line.endswith("  ./hosts") for line in lines)
    assert any(line.startswith("ii  openssh-server ") for line in lines)
    return lines


def difference(before: list[str], after: list[str]) -> list[str]:
    """Lines of one look that the other has not."""
    gone = [f"- {line}" for line in before if line not in set(after)]
    return gone + [f"+ {line}" for line in after if line not in set(before)]
