"""Cables: a cut one's other side is gone, and comes back, and a reboot does not mend it; what is plugged into a bridge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.conftest import Lab, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

NEAR, FAR = "pve1.lab.internal", "pve2.lab.internal"
ADDRESSES = """
ip link set eth1 up; ip address replace 10.10.1.{0}/24 dev eth1
ip link set eth2 up; ip address replace 10.20.1.{0}/24 dev eth2
"""


@pytest.fixture
def linked(physical_lab: Lab) -> Iterator[Lab]:
    """Two nodes that reach each other on two links; every cable is whole afterwards."""
    physical_lab.sh(NEAR, ADDRESSES.format(101))
    physical_lab.sh(FAR, ADDRESSES.format(102))
    yield physical_lab
    for link in ("0", "1"):
        physical_lab.do("link", "restore", "pve2", link)
    physical_lab.do("storage", "restore", "pve2")


def reaches(lab: Lab, address: str) -> bool:
    return lab.ssh(NEAR, f"ping -c1 -W1 {address}").returncode == 0


@pytest.mark.parametrize(
    ("link", "address", "other"), [("0", "10.10.1.102", "10.20.1.102"), ("1", "10.20.1.102", "10.10.1.102")]
)
def test_a_link_is_cut_and_mended(linked: Lab, link: str, address: str, other: str) -> None:
    assert reaches(linked, address)

    linked.do("link", "cut", "pve2", link)

    assert not reaches(linked, address)
    assert reaches(linked, other)
    assert "NO-CARRIER" in linked.sh(FAR, f"ip link show eth{int(link) + 1}")

    linked.do("link", "restore", "pve2", link)

    eventually(lambda: reaches(linked, address), "the link is back", 10)


def test_a_cut_link_stays_cut_over_a_reboot(linked: Lab) -> None:
    linked.do("link", "cut", "pve2", "0")
    before = linked.sh(FAR, "cat /proc/sys/kernel/random/boot_id")
    linked.do("node", "reboot", "pve2")
    eventually(lambda: linked.ssh(FAR, "cat /proc/sys/kernel/random/boot_id").stdout not in ("", before), "rebooted")
    linked.sh(FAR, ADDRESSES.format(102))
    assert not reaches(linked, "10.10.1.102")
    eventually(lambda: reaches(linked, "10.20.1.102"), "the other link", 10)


def test_the_storage_is_cut_and_mended(linked: Lab) -> None:
    storage = "timeout 2 bash -c 'exec 3<>/dev/tcp/10.30.1.5/2049'"
    assert linked.ssh(FAR, storage).returncode == 0
    linked.do("storage", "cut", "pve2")
    assert linked.ssh(FAR, storage).returncode != 0
    assert linked.ssh(NEAR, storage).returncode == 0
    linked.do("storage", "restore", "pve2")
    eventually(lambda: linked.ssh(FAR, storage).returncode == 0, "the storage is back", 10)


def test_a_link_that_is_not_there_is_named(physical_lab: Lab) -> None:
    refusal = physical_lab.cli("link", "cut", "pve2", "7")
    assert refusal.returncode == 1
    assert "error[no-such-link]" in refusal.stderr
    unknown = physical_lab.cli("link", "cut", "pve9", "0")
    assert "error[no-such-node]" in unknown.stderr


def test_a_reload_leaves_guests_on_their_bridge_and_takes_others_off(linked: Lab) -> None:
    """Proxmox VE's ifupdown2 condones the ports of guests; without that each reload of a host would cut all of them off."""
    ports = ("tap999i0", "veth999i0", "fwpr999p0", "other0")
    plug = "ip link add {0} type veth peer name end-{0}; ip link set {0} master vmbr0; "
    linked.sh(NEAR, "".join(plug.format(port) for port in ports))
    try:
        linked.sh(NEAR, "ifreload -a")
        plugged = linked.sh(NEAR, "ls /sys/class/net/vmbr0/brif").split()
        assert {*ports} & {*plugged} == {"tap999i0", "veth999i0", "fwpr999p0"}
    finally:
        linked.sh(NEAR, "".join(f"ip link delete {port}; " for port in ports))
