"""From a live cluster to the stack file that describes it, and to a refusal where none can."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
import yaml

from cli.adopt import render
from cli.adopt.describe import describe
from cluster.errors import AdminError
from cluster.planning import live as planning
from cluster.planning.model import Seen
from cluster.planning.plan import plan
from components.site import Site
from config import stack_file, topology
from config.credentials import Credentials
from config.load import load
from config.paths import ROOT
from onnode.cluster import corosync
from onnode.cluster.corosync import ConfNode, Device
from onnode.contract.inventory import FoundGuest, FoundInterface
from onnode.contract.membership import Membership
from tests.support import live_cluster

if TYPE_CHECKING:
    from cli.adopt.found import Found
    from config.model import Config

FILES = sorted(ROOT.glob("Pulumi.*.yaml"))
PRIVATE_KEY = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
CREDENTIALS = Credentials.model_validate(
    {"sshPrivateKey": PRIVATE_KEY, "rootPassword": "long enough", "apiPassword": "long enough"}
)


def described(nodes: list[dict[str, Any]], cluster: dict[str, Any]) -> Config:
    """The stack of existing machines with these nodes in this cluster, and no guests."""
    document = yaml.safe_load((ROOT / "Pulumi.physical.yaml").read_text())["config"]
    kept = {f"nested-pve-ha:{key}": document[f"nested-pve-ha:{key}"] for key in ("pveMajor", "managementNetwork")}
    settings = kept | {"nested-pve-ha:nodes": nodes, "nested-pve-ha:cluster": cluster}
    return load(stack_file.parse(json.dumps({"config": settings}), "test").settings)


def nodes(count: int, on: int = 2, **of_each: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    return [
        {
            "name": f"pve{n}",
            "kind": "existing",
            "nodeId": n,
            "address": f"192.168.0.{100 + n}",
            "links": [{"address": f"10.{i + 1}0.1.{100 + n}", "interface": f"eth{i + 1}"} for i in range(on)],
            **{key: value[n - 1] for key, value in of_each.items()},
        }
        for n in range(1, count + 1)
    ]


def cluster(*links: dict[str, Any], **keys: Any) -> dict[str, Any]:  # noqa: ANN401
    subnets = [{"subnet": f"10.{i + 1}0.1.0/24", **link} for i, link in enumerate(links)]
    return {
        "name": "office",
        "seed": "pve1",
        "links": subnets,
        "api": {"endpoint": "https://192.168.0.101:8006"},
        **keys,
    }


def adopted(found: Found, *, guests: bool = False) -> tuple[Config, list[str], str]:
    """The file as this program reads it, what was left out, and the file itself."""
    new = describe(found, "home", guests=guests)
    text = render.text(new.document, new.left_out)
    return load(stack_file.parse(text, "home").settings), new.left_out, text


def refused(found: Found) -> AdminError:
    with pytest.raises(AdminError) as refusal:
        adopted(found)
    return refusal.value


def what_lives(config: Config) -> dict[str, Any]:
    """What of a stack file a live cluster shows, as it is described of existing machines."""
    totem = config.cluster.totem
    return {
        "version": config.pve_major,
        "management": config.management_network,
        "cluster": config.cluster.name,
        "links": [
            (number, link.subnet, link.priority, link.mtu)
            for number, link in zip(topology.link_numbers(config), config.cluster.links, strict=True)
        ],
        "nodes": {
            node.name: (
                node.node_id,
                node.votes,
                node.address,
                node.watchdog,
                topology.link_addresses(node),
                sorted(topology.network_addresses(node)),
                [
                    (str(one.address), one.mtu)
                    for one in topology.node_addresses(config, node)[: len(config.cluster.links)]
                ],
            )
            for node in config.nodes
        },
        "totem": (totem.token_ms, totem.token_coefficient_ms, totem.link_mode),
        "device": topology.device(config),
        "storages": topology.shared_storages(config),
    }


def plans(config: Config, found: Found) -> list[Any]:
    """What `make up` would change of corosync's configuration and of the members."""
    first = found.members[found.first]
    assert first.conf is not None
    assert first.quorum is not None
    listed = first.conf
    membership = Membership(
        first.node,
        "member",
        cluster=listed.cluster,
        config_version=listed.version,
        nodes=listed.nodes,
        priorities=listed.priorities,
        totem=listed.totem,
        device=listed.device,
        quorate=True,
        quorum=first.quorum,
    )
    wanted = planning.wanted(Site(config, CREDENTIALS, "home").change)
    seen = Seen(frozenset(node.name for node in listed.nodes), witness=listed.device is not None)
    return plan({}, planning.shape(membership), seen, wanted)


SHAPES = {
    **{file.name: load(stack_file.read(file).settings) for file in FILES},
    "one link": described(nodes(3, 1), cluster({})),
    "one node": described(nodes(1), cluster({}, {})),
    "eight links with a gap before the last": described(nodes(2, 7), cluster(*[{}] * 6, {"number": 7})),
    "links 0 and 2": described(nodes(3), cluster({"priority": 5}, {"number": 2})),
    "different votes": described(nodes(3, votes=[2, 1, 0]), cluster({}, {})),
    "ids with gaps, another interface and watchdog": described(
        nodes(3, nodeId=[4, 2, 9], managementInterface=["vmbr7", "vmbr0", "bond0.5"], watchdog=["ipmi_watchdog"] * 3),
        cluster({}, {}),
    ),
    "large packets and slow tokens": described(
        nodes(3), cluster({"mtu": 9000}, {}, totem={"tokenMs": 3000, "tokenCoefficientMs": 650, "linkMode": "rr"})
    ),
    "a QDevice": described(
        nodes(2),
        cluster(
            {},
            {},
            qdevice={"machine": {"name": "witness", "address": "192.168.0.9"}, "algorithm": "lms", "tls": "required"},
        ),
    ),
    "names like numbers": described(nodes(3, name=["1e3", "0200", "pve3"]), cluster({}, {}, seed="1e3", name="1e3")),
    "the link is the management network": described(
        nodes(3, links=[[{"address": f"192.168.0.{100 + n}"}] for n in (1, 2, 3)]),
        {**cluster({}), "links": [{"subnet": "192.168.0.0/24"}]},
    ),
}


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_what_is_described_is_what_lives_and_nothing_has_to_change(config: Config) -> None:
    found = live_cluster.live(config)
    read, _, _ = adopted(found)
    assert what_lives(read) == what_lives(config)
    assert plans(read, found) == []
    assert {node.host_key for node in read.nodes} == set(found.host_keys.values())  # type: ignore[union-attr]
    assert (read.maintenance.repository, read.maintenance.upgrade, read.maintenance.reboot) == ("keep", False, False)
    assert not any(node.manage_network for node in read.nodes)  # type: ignore[union-attr]


def test_the_plan_would_show_a_difference() -> None:
    found = live_cluster.live(SHAPES["different votes"])
    read, _, _ = adopted(found)
    other = read.model_copy(update={"nodes": tuple(node.model_copy(update={"votes": 3}) for node in read.nodes)})
    assert plans(other, found) != []


def test_all_stack_files_of_the_repository_are_tried() -> None:
    assert {"Pulumi.dev.yaml", "Pulumi.physical.yaml", "Pulumi.twonode.yaml"} <= set(SHAPES)


THREE = SHAPES["links 0 and 2"]


def with_conf(found: Found, **changes: Any) -> Found:  # noqa: ANN401
    """Another corosync.conf, on all members."""
    members = {name: replace(one, conf=replace(one.conf, **changes)) for name, one in found.members.items() if one.conf}
    return replace(found, members=members)


def renamed(found: Found, old: str, new: str) -> Found:
    """A node of another name."""

    def of(names: Any) -> dict[str, Any]:  # noqa: ANN401 - a mapping by name
        return {new if name == old else name: value for name, value in names.items()}

    members = {
        name: replace(
            one,
            node=name,
            addresses=of(one.addresses),
            host_keys=of(one.host_keys),
            conf=one.conf
            and replace(
                one.conf,
                nodes=[replace(node, name=new) if node.name == old else node for node in one.conf.nodes],
            ),
        )
        for name, one in of(found.members).items()
    }
    return replace(
        found, members=members, host_keys=of(found.host_keys), first=new if found.first == old else found.first
    )


def with_link(found: Found, name: str, number: int, address: str | None) -> Found:
    """Another address of one node on one link, or none."""
    conf = found.members[found.first].conf
    assert conf is not None

    def moved(node: ConfNode) -> ConfNode:
        kept = {n: at for n, at in node.links.items() if n != number}
        return replace(node, links={**kept, number: address} if address else kept) if node.name == name else node

    return with_conf(found, nodes=[moved(node) for node in conf.nodes])


def first_says(found: Found, **changes: Any) -> Found:  # noqa: ANN401
    return replace(found, members={**found.members, found.first: replace(found.members[found.first], **changes)})


CONF = live_cluster.conf(THREE)
FOUND = live_cluster.live(THREE)
REFUSALS = {
    "stand-alone": (first_says(FOUND, conf=None), "adopt-no-cluster", "pve1 is in no cluster"),
    "no quorum": (
        first_says(FOUND, quorum=live_cluster.quorum(CONF, without=("pve2", "pve3"))),
        "adopt-no-quorum",
        "down or cut off: pve2, pve3",
    ),
    "corosync stopped": (first_says(FOUND, quorum=None), "adopt-no-quorum", "corosync does not run"),
    "a node is off": (
        first_says(FOUND, quorum=live_cluster.quorum(CONF, without=("pve3",))),
        "adopt-node-missing",
        "is not known: pve3",
    ),
    "a node without pmxcfs": (
        first_says(FOUND, addresses={"pve1": "192.168.0.101", "pve3": "192.168.0.103"}),
        "adopt-node-missing",
        "is not known: pve2",
    ),
    "an unknown host key": (
        first_says(FOUND, host_keys={"pve2": live_cluster.host_key("pve2")}),
        "adopt-key-missing",
        "host keys of: pve3",
    ),
    "upper case": (renamed(FOUND, "pve2", "PVE2"), "adopt-not-describable", "the name PVE2 has upper case"),
    "upper case of the first": (
        renamed(FOUND, "pve1", "Pve1"),
        "adopt-not-describable",
        "the name Pve1 has upper case",
    ),
    "IPv6 on a link": (
        with_link(FOUND, "pve2", 2, "fd00:0:0::2"),
        "adopt-not-describable",
        "the address on link 2 of pve2 is the IPv6 address fd00::2",
    ),
    "a name on a link": (
        with_link(FOUND, "pve2", 2, "pve2-ring"),
        "adopt-not-describable",
        "link 2 of pve2 is pve2-ring, which resolves to no address there",
    ),
    "an IPv6 management address": (
        first_says(FOUND, addresses=dict.fromkeys(("pve1", "pve2", "pve3"), "fd00::1")),
        "adopt-not-describable",
        "the management address of pve1 is the IPv6 address fd00::1",
    ),
    "an address that no interface has": (
        with_link(FOUND, "pve3", 0, "10.10.1.77"),
        "adopt-not-describable",
        "link 0 of pve3 is 10.10.1.77, which no interface of it has",
    ),
    "a link that a node lacks": (
        with_link(FOUND, "pve3", 2, None),
        "adopt-not-describable",
        "pve3 has no address on link 2",
    ),
    "a link over two networks": (
        replace(
            with_link(FOUND, "pve3", 2, "10.77.0.3"),
            members={
                **with_link(FOUND, "pve3", 2, "10.77.0.3").members,
                "pve3": replace(
                    with_link(FOUND, "pve3", 2, "10.77.0.3").members["pve3"],
                    interfaces=[*FOUND.members["pve3"].interfaces, FoundInterface("eth9", ["10.77.0.3/24"], 1500)],
                ),
            },
        ),
        "adopt-not-describable",
        "link 2 is not in one network: 10.20.1.0/24 (pve1 pve2), 10.77.0.0/24 (pve3)",
    ),
    "udpu": (with_conf(FOUND, transport="udpu"), "adopt-not-describable", "transport is udpu"),
    "a QDevice by name": (
        with_conf(FOUND, device=Device("witness.example.com", 1)),
        "adopt-not-describable",
        "the QDevice's server is witness.example.com",
    ),
    "a QDevice beside three": (
        with_conf(FOUND, device=Device("192.168.0.9", 1)),
        "adopt-not-describable",
        "a QDevice beside 3 nodes",
    ),
    "a QDevice with other votes": (
        with_conf(live_cluster.live(SHAPES["a QDevice"]), device=Device("192.168.0.9", 3, "lms")),
        "adopt-not-describable",
        "corosync.conf gives the QDevice (lms) votes: 3, and this program no number of votes",
    ),
    "no gateway": (first_says(FOUND, gateway=None), "adopt-not-describable", "pve1 has no default gateway"),
    "no domain": (first_says(FOUND, domain=""), "adopt-not-describable", "pve1 has no domain"),
    "two versions": (first_says(FOUND, pve_major=8), "adopt-not-describable", "the members run Proxmox VE 8 and 9"),
    "a token beyond the file's bounds": (
        with_conf(FOUND, totem={**CONF.totem, "token": "30000"}),
        "adopt-not-describable",
        "cluster.totem.tokenMs: 30000 is too much",
    ),
    "a cluster's name beyond them": (
        with_conf(FOUND, cluster="a_name"),
        "adopt-not-describable",
        'cluster.name: "a_name" is not right',
    ),
}


@pytest.mark.parametrize(("found", "code", "said"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_described_is_refused_by_name(found: Found, code: str, said: str) -> None:
    error = refused(found)
    assert error.code == code
    assert said in error.render()


def test_all_obstacles_are_told_at_once() -> None:
    error = refused(with_link(renamed(FOUND, "pve2", "PVE2"), "pve3", 0, "fd00::3"))
    assert "the name PVE2" in error.observed
    assert "fd00::3" in error.observed


def test_further_networks_are_those_on_which_all_meet() -> None:
    """Each node has a bridge of its own for containers, with the same address; and one of them a network card more."""
    members = {
        name: replace(
            one,
            interfaces=[
                *one.interfaces,
                FoundInterface("docker0", ["172.17.0.1/16"], 1500),
                FoundInterface("storage", [f"10.30.1.{number}/24"], 9000),
                *([FoundInterface("eth9", ["10.99.0.1/24"], 1500)] if number == 1 else []),
                FoundInterface("both", [f"10.98.0.{number}/24", f"10.97.0.{number}/24"], 1500),
            ],
        )
        for number, (name, one) in enumerate(FOUND.members.items(), start=1)
    }
    read, _, _ = adopted(replace(FOUND, members=members))
    assert [[(str(one.address), one.interface) for one in node.networks] for node in read.nodes] == [  # type: ignore[union-attr]
        [(f"10.30.1.{number}/24", "storage")] for number in (1, 2, 3)
    ]


def test_storages_are_described_as_they_are_and_left_alone() -> None:
    text = (
        "dir: local\n\tpath /var/lib/vz\n\tcontent iso\n\nlvmthin: local-lvm\n\tthinpool data\n\n"
        "nfs: shared\n\tserver 10.30.1.5\n\texport /srv\n\nrbd: ceph\n\tpool rbd\n\ndir: mounted\n\tpath /mnt\n\tshared 1\n\n"
        "pbs: old\n\tdisable\n"
    )
    read, left_out, _ = adopted(first_says(FOUND, storages=text))
    assert [(one.kind, one.name, one.shared) for one in read.storages if one.kind == "external"] == [
        ("external", "local", False),
        ("external", "local-lvm", False),
        ("external", "shared", True),
        ("external", "ceph", True),
        ("external", "mounted", True),
    ]
    assert len(read.storages) == 5
    assert left_out == ["storage old: it is disabled"]


def test_a_storage_that_some_members_do_not_have_is_left_out() -> None:
    text = (
        "zfspool: tank\n\tpool tank\n\tnodes pve1\n\nnfs: two\n\tserver 10.30.1.5\n\tnodes pve1,pve3\n\n"
        "nfs: all\n\tserver 10.30.1.5\n\tnodes pve1,pve2,pve3,pve9\n"
    )
    read, left_out, _ = adopted(first_says(FOUND, storages=text))
    assert [one.name for one in read.storages] == ["all"]
    assert left_out == [
        "storage tank: not on pve2, pve3; a described one is on every node",
        "storage two: not on pve2; a described one is on every node",
    ]


CONF_BY_HAND = """
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
  }
}
quorum {
  provider: corosync_votequorum
  two_node: 1
  wait_for_all: 0
  last_man_standing: 1
}
totem {
  cluster_name: office
  config_version: 3
  interface {
    linknumber: 1
    knet_link_priority: 5
    knet_ping_interval: 200
    mcastport: 5407
  }
}
"""


def test_whatever_else_corosync_was_given_is_named() -> None:
    parsed = corosync.parse_conf(CONF_BY_HAND)
    assert parsed is not None
    _, left_out, _ = adopted(with_conf(FOUND, further=parsed.further))
    assert left_out == [
        f"corosync's {one}, which stays as it is"
        for one in (
            "quorum.two_node: 1",
            "quorum.wait_for_all: 0",
            "quorum.last_man_standing: 1",
            "totem.interface 1.knet_ping_interval: 200",
            "totem.interface 1.mcastport: 5407",
        )
    ]


GUESTS = [
    FoundGuest("vm", 100, "pve1", "Web.Server", memory_mib=2048),
    FoundGuest("ct", 101, "pve2", "dns", ["nested-pve-ha", "stack-home"]),
    FoundGuest("ct", 102, "pve2", "cache", memory_mib=512),
    FoundGuest("vm", 103, "pve2", "web-server", memory_mib=64),
    FoundGuest("vm", 104, "pve2", "paused"),
    FoundGuest("vm", 105, "pve2", "disk", obstacles=["scsi0 is on local-lvm, which is not shared"]),
    FoundGuest("vm", 106, "pve2", "bound"),
    FoundGuest("vm", 900, "pve1", "", template=True),
]
RESOURCES = """\
vm: 100
\tstate started
\tmax_restart 2
\tfailback 0

ct: 101

vm: 103
\tstate enabled

vm: 104
\tstate ignored

vm: 105

vm: 106
"""
RULES = """\
node-affinity: web
\tnodes pve1:0,pve2
\tresources vm:100
\tstrict 1
\tcomment ours

node-affinity: gone
\tnodes pve9
\tresources vm:106

resource-affinity: apart
\taffinity negative
\tresources vm:100,vm:103
"""


def test_guests_are_counted_unless_they_are_asked_for() -> None:
    _, left_out, _ = adopted(first_says(FOUND, guests=GUESTS, resources=RESOURCES, rules=RULES))
    assert left_out == [
        "8 guests, 6 HA resources, 3 HA rule or groups: GUESTS=1 describes the guests that HA looks after"
    ]


def test_guests_that_ha_looks_after_are_described_as_they_are_and_the_others_named() -> None:
    found = first_says(FOUND, guests=GUESTS, resources=RESOURCES, rules=RULES)
    read, named, text = adopted(found, guests=True)
    assert [guest.model_dump(by_alias=True, exclude_defaults=True) for guest in read.guests] == [
        {
            "kind": "existing",
            "type": "vm",
            "name": "web-server-100",
            "vmid": 100,
            "memoryMib": 2048,
            "ha": {"maxRestart": 2, "failback": False, "nodes": {"pve1": 1, "pve2": 1}, "strict": True},
        },
        {"kind": "existing", "type": "vm", "name": "web-server-103", "vmid": 103, "memoryMib": 64},
    ]
    assert named == [
        "guest CT 101 (dns) on pve2: it has this stack's mark; describe it as it was",
        "guest CT 102 (cache) on pve2: HA does not look after it; described with kind: existing, it is put under HA",
        "guest VM 104 (paused) on pve2: HA has it as ignored, and a stack file says started or stopped",
        (
            "guest VM 105 (disk) on pve2: a guest that is described as existing cannot follow its HA to another node: "
            "scsi0 is on local-lvm, which is not shared"
        ),
        "guest VM 106 (bound) on pve2: its HA rule or group names pve9, which is no member",
        "template VM 900 (without a name) on pve1: HA runs no templates",
        "HA node-affinity gone: it stays as it is",
        "HA resource-affinity apart: it stays as it is",
    ]
    assert [line[4:] for line in text.splitlines() if line.startswith("# - ")] == named


def test_of_a_group_the_failback_is_written_and_the_first_run_has_nothing_to_do() -> None:
    found = first_says(
        FOUND,
        pve_major=8,
        guests=GUESTS[:1],
        resources="vm: 100\n\tgroup both\n",
        groups="group: both\n\tnodes pve1:2,pve2\n\tnofailback 1\n",
    )
    found = replace(found, members={name: replace(one, pve_major=8) for name, one in found.members.items()})
    read, named, _ = adopted(found, guests=True)
    (guest,) = read.guests
    assert (guest.ha.nodes, guest.ha.failback, guest.ha.strict) == ({"pve1": 2, "pve2": 1}, False, False)
    assert named == []


def test_a_name_from_the_cluster_ends_no_comment() -> None:
    hostile = [FoundGuest("vm", 100, "pve1", "x\nconfig: {}\r\u2028y")]
    _, _, text = adopted(first_says(FOUND, guests=hostile), guests=True)
    assert "x?config: {}??y" in text


def test_settings_of_corosync_that_no_key_has_are_named_and_stay() -> None:
    _, left_out, _ = adopted(with_conf(FOUND, totem={**CONF.totem, "join": "60"}))
    assert left_out == ["corosync's join: 60, which stays as it is"]


@pytest.mark.parametrize(("servers", "dns"), [(["127.0.0.53", "9.9.9.9"], "9.9.9.9"), (["127.0.0.1"], "192.168.0.1")])
def test_a_name_server_of_the_nodes_own_is_none_for_others(servers: list[str], dns: str) -> None:
    read, left_out, _ = adopted(first_says(FOUND, name_servers=servers))
    assert str(read.management_network.dns) == dns
    assert bool(left_out) == (dns == "192.168.0.1")


def test_a_witness_whose_key_no_member_has_is_said() -> None:
    config = SHAPES["a QDevice"]
    found = live_cluster.live(config)
    unknown = replace(found, members={name: replace(one, witness_key=None) for name, one in found.members.items()})
    read, left_out, _ = adopted(unknown)
    assert read.cluster.qdevice is not None
    assert read.cluster.qdevice.machine is not None
    assert read.cluster.qdevice.machine.host_key is None
    assert left_out[0].startswith("the SSH host key of the QDevice's server 192.168.0.9")


def test_the_file_is_in_the_form_of_the_others() -> None:
    _, _, text = adopted(FOUND)
    assert text.startswith(
        "# yaml-language-server: $schema=docs/config.schema.json\n# Cluster office, as it was found."
    )
    assert "      links:\n        - {address: 10.10.1.101, interface: eth1}\n" in text
    assert '  nested-pve-ha:pveMajor: "9"\n' in text
