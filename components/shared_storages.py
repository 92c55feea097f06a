"""Shared storages of the cluster: guests wait for them, and the files on them outlive them.

They are steps, because the provider would remove a storage that it no longer finds in the program, even under running guests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.contract import ClusterStorage
from components import steps
from config.model import NfsStorage
from onnode.contract.formation import Storage

if TYPE_CHECKING:
    import pulumi

    from components.corosync_cluster import CorosyncCluster
    from components.site import Site


def make(name: str, site: Site, cluster: CorosyncCluster) -> list[pulumi.Resource]:
    """The steps that make the described storages and keep them.

    The cluster is their parent: it is part of their names in every state, and the engine would delete them and make them
    anew under another one.

    Args:
        name: how their logical names begin.
        site: the stack.
        cluster: where they are made.
    """
    return [
        steps.at_administrator(
            f"{name}-{storage.name}",
            "storage",
            ClusterStorage(site.machines, _wanted(site, storage), site.config.cluster.name),
            site.ssh_secrets,
            cluster.inside(cluster.user),
            removes=True,
            remembers=True,
        )
        for storage in site.config.storages
        if isinstance(storage, NfsStorage)
    ]


def _wanted(site: Site, storage: NfsStorage) -> Storage:
    return Storage(site.stack_tag, storage.name, str(storage.server), storage.export, sorted(storage.contents))
