"""What a cluster of one and its neighbours refuse, in the words of the real tools, and what each refusal leaves: nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.conftest import Lab
from tests.lab.proxmox import REMAINS, Proxmox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxmox]:
    lab = Lab(tmp_path_factory.mktemp("refusals") / "state")
    try:
        lab.do("up", "--shape", "physical")
        nodes = Proxmox(lab)
        nodes.seed()
        yield nodes
    finally:
        lab.do("down")


@pytest.fixture
def seeded(nodes: Proxmox) -> Iterator[Proxmox]:
    """A cluster of pve1 alone, and stand-alone nodes; so it stays."""
    yield nodes
    assert nodes.is_writable(1)
    assert nodes.members(1)["cluster"]["nodes"] == 1
    assert nodes.sh(2, REMAINS) == "pve2\n"


@pytest.mark.parametrize(
    ("password", "host", "message"),
    [
        ("wrong", "10.10.1.101", "401 "),
        (None, "10.10.1.177", "500 Can't connect to 10.10.1.177:8006 (No route to host)"),
    ],
)
def test_a_join_that_failed_still_exits_with_0(seeded: Proxmox, password: str | None, host: str, message: str) -> None:
    """F3: the caller saw success."""
    refused = seeded.join(2, password=password, host=host).stdout
    assert message in refused
    assert refused.endswith("rc=0\n")
    assert "successfully added" not in refused
    assert seeded.sh(2, "tail -qn1 /var/log/pve/tasks/*/*:clusterjoin::root@pam:").startswith("TASK ERROR: ")


def test_without_a_password_a_join_says_so_and_exits_with_0(seeded: Proxmox) -> None:
    script = (
        f"cd /root; pvecm add 10.10.1.101 --fingerprint {seeded.fingerprint(1)} --link0 10.10.1.102 --link1 10.20.1.102"
    )
    refused = seeded.ssh(2, f"{script} </dev/null")
    assert "EOF while reading password" in refused.stderr
    assert refused.returncode == 0


def test_a_node_with_guests_may_not_join(seeded: Proxmox) -> None:
    seeded.sh(2, "qm create 100 --name vm01 --memory 128 --kvm 0")
    refused = seeded.join(2).stdout
    seeded.sh(2, "qm destroy 100")
    assert "* this host already contains virtual guests" in refused
    assert refused.endswith("Check if node may join a cluster failed!\nrc=0\n")


def test_classic_options_are_refused_as_today(seeded: Proxmox) -> None:
    classic = seeded.ssh(2, "pvecm create x --bindnet0_addr 192.168.0.102 --ring0_addr pve2")
    assert classic.stderr.startswith("Unknown option: bindnet0_addr\n")
    assert "400 unable to parse option" in classic.stderr
    assert classic.returncode == 255
    long = seeded.ssh(2, "pvecm create abcdefghijklmnop")
    assert "clustername: value may only be 15 characters long" in long.stderr
    assert long.returncode == 255
    second = seeded.ssh(1, "pvecm create again")
    assert second.stderr == "cluster config '/etc/pve/corosync.conf' already exists\n"
    assert second.returncode == 255
