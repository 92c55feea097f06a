"""`pvecm add`: join an existing cluster. What is done is never undone: see the reference for each stage's remains."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.cluster import addresses, configuration, database, locks, node_files, ssh
from pvelab.cluster.nodes import JOIN_API_VERSION
from pvelab.cluster.peer import PeerApi
from pvelab.cluster.processes import run, succeeds
from pvelab.errors import PveError, die
from pvelab.machine import node_name
from pvelab.paths import path, pve
from pvelab.pmxcfs.members import guests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pvelab.corosync.conf import Link
    from pvelab.tasks import Log


def join_over_api(parameters: Mapping[str, Any], log: Log, confirm: Callable[[str], bool]) -> None:
    """Join through a member's API.

    Args:
        parameters: hostname, password, and optionally fingerprint, link0 to link7, nodeid, votes, force.
        log: where the progress goes.
        confirm: asks a person about the member's fingerprint, when none was given.

    Raises:
        PveError: this node may not join, the member refuses, or a service does not start.
    """
    with locks.local():
        own_address = addresses.own()
        links = configuration.links(parameters)
        require_joinable(own_address, links, log, force=bool(parameters.get("force")))
        _prepare_ssh(log)
        host = str(parameters["hostname"])
        log(f"Establishing API connection with host '{host}'")
        peer = PeerApi(host, parameters.get("fingerprint"), confirm)
        peer.login(str(parameters["password"]))
        log("Login succeeded.")
        log("check cluster join API version")
        request = _request(parameters, links, own_address, _peer_version(peer), log)
        log("Request addition of this node")
        admission = _ask_for_addition(peer, request, log)
        for warning in admission.get("warnings") or []:
            log(f"cluster: {warning}")
        log("Join request OK, finishing setup locally")
        finish(admission["corosync_conf"], admission["corosync_authkey"].encode("latin-1"), log)


def _peer_version(peer: PeerApi) -> int:
    try:
        return int(peer.get("/cluster/config/apiversion"))
    except PveError:
        return 0


def _request(
    parameters: Mapping[str, Any], links: Mapping[int, Link], own_address: str, peer_version: int, log: Log
) -> dict[str, Any]:
    request = {key: parameters[key] for key in ("nodeid", "votes") if parameters.get(key) is not None}
    if parameters.get("force"):
        request["force"] = 1
    request |= {f"link{number}": link.render() for number, link in links.items()}
    if not links:
        request["new_node_ip" if peer_version else "link0"] = own_address
        log(f"No cluster network links passed explicitly, fallback to local node IP '{own_address}'")
    if peer_version:
        request["apiversion"] = JOIN_API_VERSION
    return request


def _ask_for_addition(peer: PeerApi, request: dict[str, Any], log: Log) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = peer.post(f"/cluster/config/nodes/{node_name()}", request)
    except PveError as error:
        log(f"An error occurred on the cluster node: {error.message}")
        for key, text in sorted((error.errors or {}).items()):
            log(f"{'*' if key.startswith('warning') else '!'} {text}")
        raise die("Cluster join aborted!") from error
    return answer


def join_over_ssh(parameters: Mapping[str, Any], log: Log) -> None:
    """Join through a root login on a member, as before there was a join API. The node-local lock is not taken.

    Raises:
        PveError: as in joining over the API.
    """
    own_address = addresses.own()
    links = configuration.links(parameters)
    require_joinable(own_address, links, log, force=bool(parameters.get("force")))
    _prepare_ssh(log)
    host = str(parameters["hostname"])
    # What ssh-copy-id says is swallowed by Proxmox, too.
    if not succeeds(["ssh-copy-id", "-i", str(ssh.root_key()), f"root@{host}"]):
        raise die("unable to copy ssh ID: exit code 1")
    remote = ["ssh", host, "-o", "BatchMode=yes", "pvecm"]
    version = subprocess.run(
        [*remote, "apiver"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    ).stdout.strip()
    command = [*remote, "addnode", node_name(), "--force", "1"]
    command += [
        argument
        for key in ("nodeid", "votes")
        if parameters.get(key) is not None
        for argument in (f"--{key}", str(parameters[key]))
    ]
    command += [argument for number, link in links.items() for argument in (f"--link{number}", link.render())]
    if not links:
        command += ["--new_node_ip" if version not in ("", "0") else "--link0", own_address]
        log(f"No cluster network links passed explicitly, fallback to local node IP '{own_address}'")
    added = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    for line in (added.stdout + added.stderr).splitlines():
        log(line)
    if added.returncode:
        raise die(f"unable to add node: command failed ({' '.join(command)})")
    log("copy corosync auth key")
    conf, authkey = _fetch_corosync_files(host)
    finish(conf, authkey, log)


def _fetch_corosync_files(host: str) -> tuple[str, bytes]:
    directory = Path(tempfile.mkdtemp(prefix=".pvecm_add.tmp.", dir=path("/var/lib/pve-cluster")))
    try:
        sources = [f"[{host}]:{configuration.AUTHKEY}", f"[{host}]:{pve(configuration.CONF)}"]
        if not succeeds(["rsync", "--rsh=ssh -l root -o BatchMode=yes", "-lpgoq", *sources, str(directory)]):
            raise die(f"can't rsync data from host '{host}'")
        return (directory / "corosync.conf").read_text(), (directory / "authkey").read_bytes()
    finally:
        shutil.rmtree(directory)


def _prepare_ssh(log: Log) -> None:
    ssh.allow_root_login()
    ssh.make_root_key()
    ssh.share_authorized_keys(log)
    ssh.localize_known_hosts()


def require_joinable(own_address: str, links: Mapping[int, Link], log: Log, *, force: bool) -> None:
    """Refuse to join from a node that has a cluster's remains, guests, or not the addresses that it is to use.

    Raises:
        PveError: something was found, and force was not given.
    """
    found = _obstacles(own_address, links)
    if not found:
        return
    log("detected the following error(s):")
    for text in found:
        log(f"* {text}")
    if not force:
        raise die("Check if node may join a cluster failed!")
    log("\nWARNING : detected error but forced to continue!\n")


def _obstacles(own_address: str, links: Mapping[int, Link]) -> list[str]:
    found = []
    if path(configuration.AUTHKEY).is_file():
        found.append(f"authentication key '{configuration.AUTHKEY}' already exists")
    if configuration.exists():
        found.append(f"cluster config '{pve(configuration.CONF)}' already exists")
    if guests(pve("")):
        found.append("this host already contains virtual guests")
    if succeeds(["corosync-quorumtool", "-l"]):
        found.append("corosync is already running, is this node already in a cluster?!")
    present = addresses.configured()
    wanted = {"local node address": own_address} | {f"link{number}": link.address for number, link in links.items()}
    for what, address in wanted.items():
        try:
            resolved = address if addresses.is_ip(address) else addresses.resolve(address)
        except PveError as error:
            found.append(f"{what}: cannot use '{address}': {error.message}\n")
            continue
        if resolved not in present:
            found.append(f"{what}: cannot use IP '{resolved}', not found on local node!\n")
    return found


def finish(corosync_conf: str, authkey: bytes, log: Log) -> None:
    """Become a member: the node's own /etc/pve is given up for the cluster's.

    Waits for quorum without bound, as Proxmox does.
    """
    _write_corosync_files(corosync_conf, authkey)
    log("stopping pve-cluster service")
    run(["systemctl", "stop", "pve-cluster"], failure="can't stop pve-cluster service")
    database.back_up(log)
    database.unlink()
    run(["systemctl", "start", "corosync", "pve-cluster"], failure="starting pve-cluster failed")
    _wait_for_quorum(log)
    node_files.make_local_files()
    node_files.update(log, new_certificate=True)
    log("generated new node certificate, restart pveproxy and pvedaemon services")
    run(["systemctl", "reload-or-restart", "pvedaemon", "pveproxy"])
    log(f"successfully added node '{node_name()}' to cluster.")


def _write_corosync_files(corosync_conf: str, authkey: bytes) -> None:
    target = path(configuration.AUTHKEY)
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(authkey)
    target.chmod(0o400)
    path(configuration.LOCAL_CONF).write_text(corosync_conf)


def _wait_for_quorum(log: Log) -> None:
    if cfs.quorate():
        return
    log("waiting for quorum...")
    while not cfs.quorate():
        time.sleep(1)
    log("OK")
