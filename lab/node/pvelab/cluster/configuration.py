"""The cluster's corosync.conf in /etc/pve, and the link options of the commands that write it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.corosync.conf import MAX_LINKS, ConfError, CorosyncConf, Link
from pvelab.errors import die
from pvelab.paths import path, pve

if TYPE_CHECKING:
    from collections.abc import Mapping

CONF = "corosync.conf"
AUTHKEY = "/etc/corosync/authkey"
LOCAL_CONF = "/etc/corosync/corosync.conf"


def exists() -> bool:
    """Whether this node belongs to a cluster, as far as /etc/pve says."""
    return cfs.is_listed(CONF)


def require() -> None:
    """Refuse on a stand-alone node.

    Raises:
        PveError: there is no corosync.conf.
    """
    if not exists():
        raise die(f"Error: Corosync config '{pve(CONF)}' does not exist - is this node part of a cluster?")


def read() -> CorosyncConf | None:
    """The cluster's configuration, None on a stand-alone node.

    Raises:
        PveError: it does not parse.
    """
    text = cfs.read(CONF)
    if not text.strip():
        return None
    try:
        return CorosyncConf.parse(text)
    except ConfError as error:
        raise die(str(error)) from error


def write(conf: CorosyncConf) -> None:
    """Activate a configuration under the next version.

    Raises:
        PveError: /etc/pve takes no writes.
    """
    conf.raise_version()
    new = pve(f"{CONF}.new")
    try:
        new.write_text(conf.render())
        new.rename(pve(CONF))
    except OSError as error:
        raise die(f"activating {new.name} failed - {error.strerror}") from error


def links(parameters: Mapping[str, Any]) -> dict[int, Link]:
    """The options link0 to link7 by number.

    Raises:
        PveError: a value does not parse.
    """
    found = {}
    for number in range(MAX_LINKS):
        text = parameters.get(f"link{number}")
        if text:
            try:
                found[number] = Link.parse(str(text))
            except ValueError as error:
                raise die(f"link{number}: invalid format - {error}") from error
    return found


def authkey() -> bytes:
    """The key that corosync's members share."""
    return path(AUTHKEY).read_bytes()
