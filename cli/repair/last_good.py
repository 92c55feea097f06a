"""The last whole corosync.conf among all that the nodes have. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnode.cluster import conf_faults, corosync, corosync_file
from onnode.system import originals

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from onnode.cluster.corosync import Conf
    from onnode.contract.repair import KeptConfs

VERSION = re.compile(r"config_version\s*:\s*(\d+)")  # pmxcfs looks for no more, also in a broken file


@dataclass(frozen=True)
class Good:
    """A whole one, and where it was found."""

    node: str
    place: str
    text: str
    conf: Conf

    @property
    def told(self) -> str:
        """For people."""
        nodes = ", ".join(node.name for node in self.conf.nodes)
        return f"version {self.conf.version}, from {self.node} ({self.place}), which lists {nodes}"


def last_good(
    kept: Mapping[str, KeptConfs], cluster: str, names: Collection[str] = (), voters: Collection[int] = ()
) -> Good | None:
    """The one of the highest version; of the same version a file before what corosync has loaded, which lost its comments.

    One from a side that has left others out is not theirs, whatever its version.

    Args:
        kept: what each node has.
        cluster: its name.
        names: nodes that it has to list.
        voters: ids that it has to list.
    """
    fitting = (
        one
        for one in _whole(kept, cluster)
        if {*names} <= {node.name for node in one.conf.nodes} and {*voters} <= {node.id for node in one.conf.nodes}
    )
    return max(fitting, key=lambda one: one.conf.version, default=None)


def _whole(kept: Mapping[str, KeptConfs], cluster: str) -> Iterator[Good]:
    for node, files in kept.items():
        for file in files.files:
            conf = corosync.parse_conf(file.text)
            broken = conf_faults.faults(file.text) or corosync_file.problems(file.text)
            if conf is not None and conf.cluster == cluster and not broken:
                yield Good(node, file.place, file.text, conf)


def with_digest(kept: Mapping[str, KeptConfs], digest: str) -> Good | None:
    """The one that doctor has seen."""
    for node, files in kept.items():
        for file in files.files:
            conf = corosync.parse_conf(file.text)
            if conf is not None and originals.fingerprint(file.text) == digest:
                return Good(node, file.place, file.text, conf)
    return None


def next_version(kept: Mapping[str, KeptConfs]) -> int:
    """Higher than any that a node has, also than that of a broken file: a node takes no lower one."""
    found = [int(version) for files in kept.values() for file in files.files for version in VERSION.findall(file.text)]
    return max(found, default=0) + 1
