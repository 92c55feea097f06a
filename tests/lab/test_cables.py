"""Cut cables: the other side is gone, and it comes back; a reboot does not mend them."""

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
