"""The live cluster that a stack file describes, as `adopt` would find it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import asyncssh

from cli.adopt.found import Found
from config import topology
from config.model import ExistingNode, NfsStorage
from onnode.cluster.corosync import Conf, ConfNode, Quorum, Voter, expected_votes
from onnode.contract.inventory import FoundInterface, Inventory

if TYPE_CHECKING:
    from config.model import Config
    from config.topology import NodeAddress

MEMORY_MIB = 16000


@cache
def host_key(name: str) -> str:
    """A key of that name's own."""
    del name
    return asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()


def conf(config: Config) -> Conf:
    """The corosync.conf of that cluster, with what Proxmox VE writes into each."""
    numbers = topology.link_numbers(config)
    nodes = [
        ConfNode(
            node.name,
            node.node_id,
            node.votes,
            {n: str(at) for n, at in zip(numbers, topology.link_addresses(node), strict=True)},
        )
        for node in config.nodes
    ]
    links = zip(numbers, config.cluster.links, strict=True)
    totem = config.cluster.totem
    settings = {
        "version": "2",
        "cluster_name": config.cluster.name,
        "config_version": "7",
        "ip_version": "ipv4-6",
        "secauth": "on",
        "link_mode": totem.link_mode or "passive",
        "token_coefficient": str(125 if totem.token_coefficient_ms is None else totem.token_coefficient_ms),
        **({"token": str(totem.token_ms)} if totem.token_ms is not None else {}),
    }
    return Conf(
        config.cluster.name,
        7,
        nodes,
        {number: link.priority for number, link in links if link.priority is not None},
        totem=settings,
        device=topology.device(config),
    )


def quorum(conf: Conf, *, without: tuple[str, ...] = ()) -> Quorum:
    """What corosync says when all others vote."""
    voters = [Voter(node.id, node.votes, "") for node in conf.nodes if node.name not in without]
    expected = expected_votes(conf.nodes, conf.device)
    total = sum(voter.votes for voter in voters) + (expected - expected_votes(conf.nodes))
    return Quorum(total > expected // 2, expected, total, expected // 2 + 1, voters)


def live(config: Config, **first: Any) -> Found:  # noqa: ANN401 - fields of Inventory
    """That cluster, found through its first node.

    Args:
        config: of the stack file.
        first: what the first node says otherwise.
    """
    whole = conf(config)
    name = config.nodes[0].name
    addresses = {node.name: str(node.address) for node in config.nodes}
    witness = topology.witness(config)
    members = {
        node.name: Inventory(
            node.name,
            config.pve_major,
            whole,
            quorum(whole),
            addresses,
            {one.name: host_key(one.name) for one in config.nodes},
            host_key(witness.name) if witness else None,
            _interfaces(config, node),
            str(config.management_network.gateway),
            [str(config.management_network.dns)],
            config.management_network.domain,
            "" if node.watchdog == "softdog" else node.watchdog,
            MEMORY_MIB,
            "".join(
                f"{'nfs' if isinstance(one, NfsStorage) else 'dir'}: {one.name}\n"
                + ("\tshared 1\n" if isinstance(one, NfsStorage) or one.shared else "")
                for one in config.storages
            ),
        )
        for node in config.nodes
    }
    members[name] = replace(members[name], **first)
    keys = {node.name: host_key(node.name) for node in config.nodes}
    return Found(f"https://{config.nodes[0].address}:8006", name, members, keys)


def _interfaces(config: Config, node: Any) -> list[FoundInterface]:  # noqa: ANN401 - a node of either kind
    own = topology.management_interface(config, node.address)
    name = node.management_interface if isinstance(node, ExistingNode) else "vmbr0"
    further = [
        FoundInterface(_name(found, place), [str(found.address)], found.mtu)
        for place, found in enumerate(topology.node_addresses(config, node), start=1)
    ]
    return [FoundInterface("lo", ["127.0.0.1/8"], 65536), FoundInterface(name, [str(own)], 1500), *further]


def _name(found: NodeAddress, place: int) -> str:
    return found.name or f"eth{place}"
