"""The corosync.conf that the lab's `pvecm` writes, against the file that the real one wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pvelab.corosync.conf import ConfError, CorosyncConf, Link, Node, verify
from pvelab.pmxcfs.distribution import distribute

if TYPE_CHECKING:
    from pathlib import Path

# Written by `pvecm create proxmox --link0 10.10.1.101,priority=20 --link1 10.20.1.101,priority=10` of PVE 9.1.
CREATED = """\
logging {
  debug: off
  to_syslog: yes
}

nodelist {
  node {
    name: pve1
    nodeid: 1
    quorum_votes: 1
    ring0_addr: 10.10.1.101
    ring1_addr: 10.20.1.101
  }
}

quorum {
  provider: corosync_votequorum
}

totem {
  cluster_name: proxmox
  config_version: 1
  interface {
    knet_link_priority: 20
    linknumber: 0
  }
  interface {
    knet_link_priority: 10
    linknumber: 1
  }
  ip_version: ipv4-6
  link_mode: passive
  secauth: on
  token_coefficient: 125
  version: 2
}

"""


def created() -> CorosyncConf:
    links = {0: Link("10.10.1.101", 20), 1: Link("10.20.1.101", 10)}
    node = Node("pve1", 1, 1, {number: link.address for number, link in links.items()})
    conf = CorosyncConf.create("proxmox", node, links)
    conf.raise_version()
    return conf


def test_a_new_cluster_is_written_as_by_proxmox() -> None:
    assert created().render() == CREATED


def test_reading_and_writing_change_nothing() -> None:
    conf = CorosyncConf.parse(CREATED)
    assert conf.render() == CREATED
    assert (conf.cluster_name, conf.version, conf.link_numbers()) == ("proxmox", 1, {0, 1})


def test_comments_and_foreign_sections_are_read() -> None:
    conf = CorosyncConf.parse(CREATED.replace("quorum {", "# by hand\nquorum {\n  device {\n    model: net\n  }"))
    assert conf.sections["quorum"]["device"] == {"model": "net"}


@pytest.mark.parametrize("text", ["totem {", "}", "totem { version }", "totem { version 2 }", "totem { } totem { }"])
def test_broken_files_are_refused(text: str) -> None:
    with pytest.raises(ConfError):
        CorosyncConf.parse(text)


def test_the_lowest_free_node_id_is_given() -> None:
    conf = created()
    conf.nodes["pve3"] = Node("pve3", 3, 1, {})
    assert conf.free_node_id() == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.10.1.101", Link("10.10.1.101")),
        ("address=10.10.1.101,priority=20", Link("10.10.1.101", 20)),
        ("10.10.1.101,priority=0", Link("10.10.1.101", 0)),
    ],
)
def test_links_are_read(text: str, expected: Link) -> None:
    assert Link.parse(text) == expected


@pytest.mark.parametrize("text", ["", "priority=2", "a,b", "a,priority=256", "a,priority=x", "a,metric=1"])
def test_wrong_links_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Link.parse(text)


def test_a_link_without_interface_is_an_error() -> None:
    conf = created()
    assert verify(conf) == ([], [])
    conf.nodes["pve2"] = Node("pve2", 2, 1, {0: "10.10.1.102", 2: "10.30.1.102"})
    errors, _ = verify(conf)
    assert "node 'pve2' is missing address for interface number 1" in errors
    assert "node 'pve2' has 'ring2_addr', but there is no interface number 2 configured" in errors


def test_a_newer_local_file_is_never_replaced(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("conf")
    cluster, local = directory / "cluster", directory / "local"
    said: list[str] = []
    cluster.write_text(CREATED.replace("config_version: 1", "config_version: 4"))
    assert distribute(cluster, local, said.append)
    assert local.read_text() == cluster.read_text()
    assert not distribute(cluster, local, said.append)
    local.write_text(CREATED.replace("config_version: 1", "config_version: 7"))
    assert not distribute(cluster, local, said.append)
    assert "config_version: 7" in local.read_text()
    assert any("local corosync.conf is newer" in line for line in said)


def test_a_broken_file_is_carried_by_its_version(tmp_path: Path) -> None:
    """As pmxcfs does: so an edit that corosync does not take reaches every member."""
    cluster, local = tmp_path / "cluster", tmp_path / "local"
    said: list[str] = []
    local.write_text(CREATED)
    broken = CREATED.replace("config_version: 1", "config_version: 2").replace("nodelist {", "nodelist")
    cluster.write_text(broken)
    assert distribute(cluster, local, said.append)
    assert local.read_text() == broken
    cluster.write_text("nothing of use\n")
    assert not distribute(cluster, local, said.append)
    assert local.read_text() == broken
    assert said[-1] == "unable to parse cluster config_version"
