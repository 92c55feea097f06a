"""What the lab's cluster commands refuse, in Proxmox' words (pve-cluster 9.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pvelab import cfs
from pvelab.cli import options
from pvelab.cluster import addresses, information, join, locks, nodes
from pvelab.corosync.conf import CorosyncConf, Link
from pvelab.errors import PveError

from tests.support import node_root
from tests.unit.lab.node.test_corosync_conf import CREATED

if TYPE_CHECKING:
    from pathlib import Path

JOINER = {"node": "pve2", "link0": "10.10.1.102", "link1": "10.20.1.102", "apiversion": 1}


@pytest.fixture
def pve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = node_root.make(tmp_path, monkeypatch)
    monkeypatch.setattr(locks, "LOCAL_LOCK", "/run/pvecm.lock")
    (directory / "corosync.conf").write_text(CREATED)
    authkey = tmp_path / "etc/corosync/authkey"
    authkey.parent.mkdir(parents=True)
    authkey.write_bytes(bytes(range(256)))
    return directory


def add(**changes: Any) -> nodes.Admission:  # noqa: ANN401 - parameters of the API
    parameters = {key: value for key, value in {**JOINER, **changes}.items() if value is not None}
    return nodes.add(parameters, lambda _text: None)


def test_a_node_is_added_to_the_list_at_once(pve: Path) -> None:
    admission = add()
    conf = CorosyncConf.parse((pve / "corosync.conf").read_text())
    assert conf.version == 2
    assert conf.nodes["pve2"].section() == {
        "name": "pve2",
        "nodeid": "2",
        "quorum_votes": "1",
        "ring0_addr": "10.10.1.102",
        "ring1_addr": "10.20.1.102",
    }
    assert admission.conf == (pve / "corosync.conf").read_text()
    assert admission.document()["corosync_authkey"].encode("latin-1") == bytes(range(256))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"link1": None}, "corosync: link 1 exists in cluster config but wasn't specified for new node"),
        ({"link2": "10.30.1.102"}, "corosync: link 2 specified for new node doesn't exist in cluster config"),
        ({"link0": "10.10.1.101"}, "corosync: address '10.10.1.101' already used on link ring0_addr by node 'pve1'"),
        ({"node": "pve1"}, "can't add existing node 'pve1'"),
        ({"link1": None, "apiversion": None}, "cluster has 2 links, but only 1 given"),
        (
            {"link0": None, "link1": None, "new_node_ip": "10.10.1.102"},
            "no links given but multiple links found on other nodes, fallback only supported on single-link clusters",
        ),
        ({"link0": None, "link1": None}, "no links and no fallback ip (new_node_ip) given, cannot join cluster"),
    ],
)
def test_links_must_fit_the_clusters(pve: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PveError) as refused:
        add(**changes)
    assert refused.value.message == message
    assert (pve / "corosync.conf").read_text() == CREATED


def test_a_node_is_added_again_only_by_force_and_unchanged(pve: Path) -> None:
    add()
    said: list[str] = []
    with pytest.raises(PveError, match="can't add existing node 'pve2'"):
        add()
    with pytest.raises(PveError, match="can't add existing node 'pve2'"):
        add(force=True, votes=2)
    nodes.add({**JOINER, "force": True}, said.append)
    assert said == ["forcing overwrite of configured node 'pve2'"]
    assert CorosyncConf.parse((pve / "corosync.conf").read_text()).nodes["pve2"].nodeid == 2


def test_an_unsound_configuration_takes_no_node(pve: Path) -> None:
    (pve / "corosync.conf").write_text(CREATED.replace("    ring1_addr: 10.20.1.101\n", ""))
    with pytest.raises(PveError) as refused:
        add()
    assert refused.value.message == "invalid corosync.conf"
    assert refused.value.errors == {"error0": "node 'pve1' is missing address for interface number 1"}


def test_without_quorum_the_list_is_not_touched(pve: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cfs, "quorate", lambda: False)
    for change in (add, lambda: nodes.delete("pve9", print)):
        with pytest.raises(PveError, match=r"cluster not ready - no quorum\?"):
            change()
    assert (pve / "corosync.conf").read_text() == CREATED


@pytest.mark.parametrize(
    ("name", "message"),
    [("pve1", "Cannot delete myself from cluster!"), ("ghost", "Node/IP: ghost is not a known host of the cluster.")],
)
def test_who_cannot_be_removed(pve: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.setattr(nodes, "node_name", lambda: "pve1")
    with pytest.raises(PveError) as refused:
        nodes.delete(name, print)
    assert refused.value.message == message
    assert (pve / "corosync.conf").read_text() == CREATED


def test_a_node_with_remains_may_not_join(pve: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "configured", lambda: {"192.168.0.102", "10.10.1.102"})
    monkeypatch.setattr(join, "succeeds", lambda _command: True)
    (pve / "nodes/pve2/qemu-server/100.conf").touch()
    links = {0: Link("10.10.1.102"), 1: Link("10.20.1.102")}
    said: list[str] = []
    with pytest.raises(PveError, match="Check if node may join a cluster failed!"):
        join.require_joinable("192.168.0.102", links, said.append, force=False)
    assert [line.strip() for line in said] == [
        "detected the following error(s):",
        "* authentication key '/etc/corosync/authkey' already exists",
        f"* cluster config '{pve}/corosync.conf' already exists",
        "* this host already contains virtual guests",
        "* corosync is already running, is this node already in a cluster?!",
        "* link1: cannot use IP '10.20.1.102', not found on local node!",
    ]
    join.require_joinable("192.168.0.102", links, said.append, force=True)
    assert said[-1].strip() == "WARNING : detected error but forced to continue!"


def test_a_clean_node_may_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node_root.make(tmp_path, monkeypatch)
    monkeypatch.setattr(addresses, "configured", lambda: {"192.168.0.102", "10.10.1.102"})
    monkeypatch.setattr(join, "succeeds", lambda _command: False)
    said: list[str] = []
    join.require_joinable("192.168.0.102", {0: Link("10.10.1.102")}, said.append, force=False)
    assert said == []


def test_a_stand_alone_node_has_no_join_information(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node_root.make(tmp_path, monkeypatch)
    with pytest.raises(PveError, match="node is not in a cluster, no join info available!") as refused:
        information.join(None)
    assert refused.value.status == 424


def test_numbers_of_the_node_list_are_texts(pve: Path) -> None:  # noqa: ARG001 - made for its effect
    assert information.nodes() == [
        {
            "node": "pve1",
            "name": "pve1",
            "nodeid": "1",
            "quorum_votes": "1",
            "ring0_addr": "10.10.1.101",
            "ring1_addr": "10.20.1.101",
        }
    ]
    assert information.totem()["interface"] == {
        "0": {"knet_link_priority": "20", "linknumber": "0"},
        "1": {"knet_link_priority": "10", "linknumber": "1"},
    }


OPTIONS = {"link0": False, "link1": False, "force": True, "use_ssh": True}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pve1", "--link0", "a", "-link1", "b"], {"hostname": "pve1", "link0": "a", "link1": "b"}),
        (["--force", "1", "pve1", "--use_ssh"], {"hostname": "pve1", "force": "1", "use_ssh": "1"}),
        (["--link0=a", "pve1"], {"hostname": "pve1", "link0": "a"}),
        (["--use", "pve1"], {"hostname": "pve1", "use_ssh": "1"}),
    ],
)
def test_options_are_read_as_by_proxmox(arguments: list[str], expected: dict[str, str]) -> None:
    assert options.parse(arguments, ("hostname",), OPTIONS) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pve1", "--bindnet0_addr", "x"], "Unknown option: bindnet0_addr\n400 unable to parse option"),
        ([], "400 not enough arguments"),
        (["a", "b"], "400 too many arguments"),
        (["a", "--link0"], "Option link0 requires an argument\n400 unable to parse option"),
    ],
)
def test_wrong_options_are_refused_as_by_proxmox(arguments: list[str], message: str) -> None:
    with pytest.raises(options.OptionError) as refused:
        options.parse(arguments, ("hostname",), OPTIONS)
    assert str(refused.value) == message
