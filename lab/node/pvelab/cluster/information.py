"""What a member reports about its cluster."""

from __future__ import annotations

from typing import Any

from pvelab import cfs
from pvelab.cluster import addresses, certificates, configuration
from pvelab.errors import PveError, die
from pvelab.machine import node_name

FAILED_DEPENDENCY = 424


def _sections() -> list[dict[str, Any]]:
    conf = configuration.read()
    return [node.section() for node in conf.nodes.values()] if conf else []


def nodes() -> list[dict[str, Any]]:
    """The node list of corosync.conf; numbers stay texts, as in Proxmox."""
    return [{"node": section["name"], **section} for section in _sections()]


def totem() -> dict[str, Any]:
    """The totem section of corosync.conf, empty on a stand-alone node."""
    conf = configuration.read()
    if conf is None:
        return {}
    return {**conf.totem, "interface": {str(number): entry for number, entry in conf.interfaces.items()}}


def join(node: str | None) -> dict[str, Any]:
    """What a node needs to join over this member.

    Raises:
        PveError: 424 on a stand-alone node.
    """
    conf = configuration.read()
    if conf is None:
        raise PveError(FAILED_DEPENDENCY, "node is not in a cluster, no join info available!")
    preferred = node or node_name()
    if preferred not in conf.nodes:
        raise die(f"unknown node '{preferred}'")
    listed = []
    for section in _sections():
        name = section["name"]
        try:
            fingerprint = certificates.node_fingerprint(name)
        except FileNotFoundError as error:
            raise die(f"unable to get certificate of node '{name}'") from error
        listed.append({**section, "pve_addr": addresses.of_node(name), "pve_fp": fingerprint})
    return {"config_digest": conf.digest, "nodelist": listed, "preferred_node": preferred, "totem": totem()}


def status() -> list[dict[str, Any]]:
    """The cluster and its nodes as `/cluster/status` shows them; a stand-alone node shows only itself."""
    own = node_name()
    conf = configuration.read()
    members = cfs.members()
    entries: list[dict[str, Any]] = []
    if conf is not None:
        cluster = {"type": "cluster", "id": "cluster", "name": conf.cluster_name, "version": conf.version}
        entries.append({**cluster, "nodes": len(members), "quorate": int(cfs.quorate())})
    for name, member in members.items():
        entry = {"type": "node", "id": f"node/{name}", "name": name, "local": int(name == own), "level": ""}
        entry["nodeid"] = int(member["id"])
        entry["online"] = 1 if conf is None else int(member["online"])
        address = member.get("ip") or (addresses.own() if name == own else None)
        if address:
            entry["ip"] = address
        entries.append(entry)
    return entries
