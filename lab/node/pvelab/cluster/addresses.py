"""Names and addresses of nodes as Proxmox resolves them."""

from __future__ import annotations

import ipaddress
import json
import socket

from pvelab import cfs
from pvelab.cluster.processes import run
from pvelab.errors import die
from pvelab.machine import node_name


def is_ip(text: str) -> bool:
    """Whether a text is an IP address and not a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def resolve(name: str) -> str:
    """The first address of a host name that is not a loopback address.

    Raises:
        PveError: the name is unknown, or has only loopback addresses.
    """
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise die(
            f"hostname lookup '{name}' failed - failed to get address info for: {name}: {error.strerror}"
        ) from error
    for address in found:
        if not ipaddress.ip_address(address).is_loopback:
            return address
    raise die(f"address lookup for '{name}' did not find any IP address")


def of_node(name: str) -> str:
    """A node's address: what it reported to the cluster, else what its name resolves to."""
    member = cfs.members().get(name, {})
    return str(member["ip"]) if "ip" in member else resolve(name)


def own() -> str:
    """This node's address."""
    return of_node(node_name())


def configured() -> set[str]:
    """The addresses that this node's network cards have now."""
    cards = json.loads(run(["ip", "-j", "addr"]))
    return {str(entry["local"]) for card in cards for entry in card.get("addr_info", []) if "local" in entry}
