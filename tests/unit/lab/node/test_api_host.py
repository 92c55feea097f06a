"""The node's network and state in the lab's API."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from pvelab.network import interfaces

from tests.support.api_node import INTERFACES, ApiNode, furnish, running

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORK = "/nodes/pve1/network"
# What Proxmox's own writer makes of a bridge without ports (pve-common, INotify.pm).
BRIDGE = """\
auto vmbr1
iface vmbr1 inet static
\taddress 10.10.1.1/24
\tbridge-ports none
\tbridge-stp off
\tbridge-fd 0
#link 0
"""


@pytest.fixture(scope="module")
def running_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiNode]:
    root = tmp_path_factory.mktemp("node")
    furnish(root, "pve1")
    with running(root) as found:
        yield found


@pytest.fixture
def node(running_node: ApiNode) -> ApiNode:
    """The node as it was installed."""
    (running_node.root / "etc/network/interfaces").write_text(INTERFACES)
    (running_node.root / "etc/network/interfaces.new").unlink(missing_ok=True)
    running_node.stub("ifreload", "exit 0")
    return running_node


def configured(node: ApiNode) -> str:
    return (node.root / "etc/network/interfaces").read_text()


def add_bridge(node: ApiNode, name: str = "vmbr1", **options: object) -> None:
    given = {"type": "bridge", "cidr": "10.10.1.1/24", "autostart": 1, "comments": "link 0", **options}
    node.do("POST", NETWORK, iface=name, **given)


def test_a_new_bridge_waits_for_a_reload(node: ApiNode) -> None:
    add_bridge(node)
    assert "vmbr1" not in configured(node)
    assert node.get(f"{NETWORK}/vmbr1")["cidr"] == "10.10.1.1/24"
    assert node.do("PUT", NETWORK).split(":")[5:7] == ["srvreload", "networking"]
    assert BRIDGE in configured(node)
    assert not (node.root / "etc/network/interfaces.new").exists()


def test_a_waiting_bridge_can_be_forgotten(node: ApiNode) -> None:
    add_bridge(node)
    node.do("DELETE", NETWORK)
    assert "vmbr1" not in [item["iface"] for item in node.get(NETWORK)]
    assert configured(node) == INTERFACES


def test_a_bridge_is_changed_and_removed(node: ApiNode) -> None:
    add_bridge(node)
    node.do("PUT", f"{NETWORK}/vmbr1", type="bridge", cidr="10.10.2.1/24", autostart=1, mtu=9000, delete="comments")
    shown = node.get(f"{NETWORK}/vmbr1")
    assert (shown["address"], shown["netmask"], shown["mtu"], "comments" in shown) == ("10.10.2.1", "24", "9000", False)
    node.do("DELETE", f"{NETWORK}/vmbr1")
    node.do("PUT", NETWORK)
    assert interfaces.parse(configured(node)).by_name.keys() == interfaces.parse(INTERFACES).by_name.keys()


def test_what_the_api_does_not_know_is_kept(node: ApiNode) -> None:
    text = INTERFACES.replace("\tbridge-fd 0\n", "\tbridge-fd 0\n\tpost-up echo hello\n#the office\n")
    (node.root / "etc/network/interfaces").write_text(text)
    add_bridge(node)
    node.do("PUT", NETWORK)
    after = configured(node)
    assert "\tpost-up echo hello\n#the office\n" in after
    assert after.rstrip().endswith("source /etc/network/interfaces.d/*")


@pytest.mark.parametrize(
    ("options", "message", "errors"),
    [
        ({"name": "vmbr0"}, "Parameter verification failed.", {"iface": "interface already exists"}),
        (
            {"gateway": "10.10.1.254"},
            "Parameter verification failed.",
            {"gateway": "Default gateway already exists on interface 'vmbr0'."},
        ),
        ({"bridge_ports": "eth7"}, "bridge 'vmbr1' - unable to find bridge port 'eth7'", {}),
        ({"bridge_ports": "eth0"}, "port 'eth0' is already used on interface 'vmbr0'", {}),
    ],
)
def test_a_bridge_that_cannot_be_is_refused(
    node: ApiNode, options: dict[str, str], message: str, errors: dict[str, str]
) -> None:
    given = dict(options)
    answer = node.request(
        "POST", NETWORK, type="bridge", iface=given.pop("name", "vmbr1"), cidr="10.10.1.1/24", **given
    )
    assert (answer.message, answer.errors) == (message, errors)
    assert not (node.root / "etc/network/interfaces.new").exists()


def test_bridges_that_are_made_at_once_are_all_there_after_each_reload(node: ApiNode) -> None:
    def make(number: int) -> str:
        name = f"vmbr{number}"
        node.do("POST", NETWORK, iface=name, type="bridge")
        node.do("PUT", NETWORK)
        return str(node.get(f"{NETWORK}/{name}")["type"])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(make, range(100, 140))) == ["bridge"] * 40


def test_a_failed_reload_says_what_failed(node: ApiNode) -> None:
    node.stub("ifreload", "echo 'error: vmbr1: cannot assign address' >&2; exit 1")
    add_bridge(node)
    answer = node.request("PUT", NETWORK)
    end, log = node.task(answer.data)
    assert end == "command 'ifreload -a' failed: exit code 1"
    assert log[0] == "error: vmbr1: cannot assign address"


def test_a_node_that_has_not_told_its_state_yet_is_unknown(node: ApiNode) -> None:
    assert [entry["status"] for entry in node.get("/nodes")] == ["online"]
    (node.pve / ".rrd").write_text("")
    assert [entry["status"] for entry in node.get("/nodes")] == ["unknown"]
    assert [entry["status"] for entry in node.get("/cluster/resources", type="node")] == ["unknown"]
