"""A cluster of three real corosync nodes formed by the lab's `pvecm`; each file of tests here has one of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.lab.conftest import Lab, eventually
from tests.lab.proxmox import NUMBERS, Proxmox

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Formed:
    """The running cluster and how it came about."""

    nodes: Proxmox
    transcripts: list[str]
    fingerprint_before: str


@pytest.fixture(scope="module")
def formed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Formed]:
    lab = Lab(tmp_path_factory.mktemp("cluster") / "state")
    try:
        lab.do("up", "--shape", "physical", "--time-scale", "0.15")  # starving nodes fence themselves
        nodes = Proxmox(lab)
        eventually(lambda: nodes.ssh(2, "test -e /etc/pve/local/pve-ssl.pem").returncode == 0, "first boot is over")
        before = nodes.fingerprint(2)
        yield Formed(nodes, nodes.form(), before)
    finally:
        lab.do("down")


@pytest.fixture
def cluster(formed: Formed) -> Iterator[Proxmox]:
    """The whole cluster, and whole again afterwards."""
    nodes = formed.nodes
    yield nodes
    for machine in nodes.lab.status()["machines"]:
        for link in machine["cut"]:
            nodes.lab.do("link", "restore", machine["name"], link)
        if not machine["on"]:
            nodes.lab.do("node", "start", machine["name"])
    eventually(lambda: all(map(nodes.sees_all, NUMBERS)), "every member sees all members again", 120)
