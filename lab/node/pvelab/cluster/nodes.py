"""`pvecm addnode` and `pvecm delnode`: changes of the node list, made on a member."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.cluster import configuration, locks, node_files, ssh
from pvelab.corosync.conf import MAX_LINKS, CorosyncConf, Node, verify
from pvelab.errors import PveError, die
from pvelab.machine import node_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.tasks import Log

JOIN_API_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Admission:
    """What a joining node needs to start corosync."""

    authkey: bytes
    conf: str
    warnings: list[str]

    def document(self) -> dict[str, Any]:
        """The API's answer; the key's bytes travel as characters."""
        return {
            "corosync_authkey": self.authkey.decode("latin-1"),
            "corosync_conf": self.conf,
            "warnings": self.warnings,
        }


def add(parameters: Mapping[str, Any], log: Log) -> Admission:
    """Put a node on the list: from now on its vote is expected, whether or not it ever starts.

    Args:
        parameters: node, and optionally link0 to link7, nodeid, votes, force, new_node_ip, apiversion.
        log: where the progress goes.

    Raises:
        PveError: no quorum, an unsound configuration, or links that do not fit the cluster's.
    """
    cfs.require_quorum()
    with locks.configuration():
        conf = _require_conf()
        errors, warnings = verify(conf)
        if errors:
            raise PveError(500, "invalid corosync.conf", _numbered(errors, warnings))
        name = str(parameters["node"])
        links = _links(conf, name, parameters)
        nodeid, votes = _identity(conf, name, parameters, log)
        node_files.make_directories(name)
        with contextlib.suppress(PveError, OSError):
            ssh.merge_keys()
        conf.nodes[name] = Node(name, nodeid, votes, links)
        configuration.write(conf)
    return Admission(configuration.authkey(), cfs.read(configuration.CONF), warnings)


def _require_conf() -> CorosyncConf:
    configuration.require()
    conf = configuration.read()
    if conf is None:
        raise die("no nodes found")
    return conf


def _numbered(errors: list[str], warnings: list[str]) -> dict[str, str]:
    numbered = {f"warning{index}": text for index, text in enumerate(warnings)}
    return numbered | {f"error{index}": text for index, text in enumerate(errors)}


def _links(conf: CorosyncConf, name: str, parameters: Mapping[str, Any]) -> dict[int, str]:
    """The new node's address on every link of the cluster."""
    given = {number: link.address for number, link in configuration.links(parameters).items()}
    for address in given.values():
        _refuse_used_address(conf, name, address)
    fallback = parameters.get("new_node_ip")
    # A peer of before join API version 1 may mean "my only address" by a single link.
    legacy = not fallback and len(given) == 1 and not int(parameters.get("apiversion") or 0)
    if legacy:
        fallback = given.popitem()[1]
    present = conf.link_numbers()
    if given:
        _require_same_links(present, set(given))
        return given
    if not fallback:
        raise die("no links and no fallback ip (new_node_ip) given, cannot join cluster")
    if len(present) != 1:
        if legacy:
            raise die(f"cluster has {len(present)} links, but only 1 given")
        raise die(
            "no links given but multiple links found on other nodes, fallback only supported on single-link clusters"
        )
    return {present.pop(): str(fallback)}


def _refuse_used_address(conf: CorosyncConf, name: str, address: str) -> None:
    for other in conf.nodes.values():
        for number, used in other.links.items():
            if other.name != name and used == address:
                raise die(
                    f"corosync: address '{address}' already used on link ring{number}_addr by node '{other.name}'"
                )


def _require_same_links(present: set[int], given: set[int]) -> None:
    for number in range(MAX_LINKS):
        if number in present - given:
            raise die(f"corosync: link {number} exists in cluster config but wasn't specified for new node")
        if number in given - present:
            raise die(f"corosync: link {number} specified for new node doesn't exist in cluster config")


def _identity(conf: CorosyncConf, name: str, parameters: Mapping[str, Any], log: Log) -> tuple[int, int]:
    """The new entry's node id and votes; an existing entry is only overwritten by an equal one, and by force."""
    nodeid, votes = parameters.get("nodeid"), parameters.get("votes")
    present = conf.nodes.get(name)
    if present is None:
        return int(nodeid or conf.free_node_id()), int(1 if votes is None else votes)
    wanted = (int(nodeid or present.nodeid), int(present.votes if votes is None else votes))
    if wanted != (present.nodeid, present.votes) or not parameters.get("force"):
        raise die(f"can't add existing node '{name}'")
    log(f"forcing overwrite of configured node '{name}'")
    return wanted


def delete(name_or_address: str, log: Log) -> None:
    """Take a node off the list, and stop its corosync if it still runs.

    Raises:
        PveError: it is this node, unknown, or there is no quorum.
    """
    if name_or_address == node_name():
        raise die("Cannot delete myself from cluster!")
    cfs.require_quorum()
    with locks.configuration():
        conf = _require_conf()
        node = _find(conf, name_or_address)
        del conf.nodes[node.name]
        _kill(node.nodeid, log)
        configuration.write(conf)


def _find(conf: CorosyncConf, name_or_address: str) -> Node:
    for node in conf.nodes.values():
        if name_or_address in (node.name, node.links.get(0), node.links.get(1)):
            return node
    raise die(f"Node/IP: {name_or_address} is not a known host of the cluster.")


def _kill(nodeid: int, log: Log) -> None:
    """A node that is already off is no error."""
    killed = subprocess.run(["corosync-cfgtool", "-k", str(nodeid)], check=False, capture_output=True, text=True)
    for line in (killed.stdout + killed.stderr).splitlines():
        log(line)
