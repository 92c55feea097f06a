"""What every node keeps below /etc/pve: directories, keys, certificate, host key (`pvecm updatecerts`)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pvelab import cfs
from pvelab.cluster import addresses, certificates, ssh
from pvelab.errors import die
from pvelab.machine import node_name
from pvelab.paths import path, pve

if TYPE_CHECKING:
    from pvelab.tasks import Log

_VZDUMP_CRON = (
    "# cluster wide vzdump cron schedule\n# Automatically generated file - do not edit\n\n"
    'PATH="/usr/sbin:/usr/bin:/sbin:/bin"\n\n'
)


def make_directories(node: str) -> None:
    """A node's directories below /etc/pve.

    Raises:
        PveError: /etc/pve takes no writes.
    """
    of_node = f"nodes/{node}"
    for relative in (
        "priv",
        "nodes",
        of_node,
        *(f"{of_node}/{name}" for name in ("lxc", "qemu-server", "openvz", "priv")),
    ):
        try:
            pve(relative).mkdir(exist_ok=True)
        except OSError as error:
            raise die(f"unable to create directory '{pve(relative)}' - {error.strerror}") from error


def make_node_files(node: str, address: str, *, new_certificate: bool = False) -> None:
    """Everything that the node's API needs."""
    make_directories(node)
    certificates.make_keys(node)
    made_authority = certificates.make_authority()
    if made_authority or new_certificate or not pve(f"nodes/{node}/pve-ssl.pem").exists():
        certificates.make_node_certificate(node, address)


def update(log: Log, *, new_certificate: bool = False) -> None:
    """Bring the node's files up to date.

    Raises:
        PveError: no quorum.
    """
    if not cfs.quorate():
        raise die("no quorum - unable to update files")
    ssh.share_authorized_keys(log)
    node = node_name()
    log("(re)generate node files")
    if new_certificate:
        log("generate new node certificate")
    make_node_files(node, addresses.own(), new_certificate=new_certificate)
    log("merge authorized SSH keys")
    ssh.merge_keys()
    ssh.publish_host_key(node)
    _make_vzdump_schedule()


def make_local_files() -> None:
    """What lies outside /etc/pve."""
    ssh.make_root_key()


def _make_vzdump_schedule() -> None:
    schedule, link = pve("vzdump.cron"), path("/etc/cron.d/vzdump")
    if not schedule.exists():
        cfs.write("vzdump.cron", _VZDUMP_CRON)
    if not link.is_symlink():
        with contextlib.suppress(FileNotFoundError):
            link.unlink(missing_ok=True)
            link.symlink_to(schedule)
