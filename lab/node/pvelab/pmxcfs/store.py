"""Which tree /etc/pve shows, and whether it may be written."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
from typing import TYPE_CHECKING

from pvelab.pmxcfs.mirror import mirror

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def cluster_directory(world: Path, authkey: bytes) -> Path:
    """The shared directory of the cluster that holds this corosync key."""
    return world / "clusters" / hashlib.sha256(authkey).hexdigest()[:16]


class Store:
    """The node's replica, and for a cluster member the tree shared by the quorate members.

    A member shows the shared tree while quorate. Without quorum it shows its replica, as it was when quorum was
    lost, and refuses writes. A stand-alone node has only the replica and always writes.
    """

    def __init__(self, replica: Path, cluster: Path | None) -> None:
        self.replica = replica
        self.cluster = cluster
        self._lock = threading.RLock()
        self._root = replica
        self._writable = cluster is None
        self._seen_change = 0
        replica.mkdir(parents=True, exist_ok=True)

    @property
    def root(self) -> Path:
        """The directory that /etc/pve shows now."""
        return self._root

    @property
    def writable(self) -> bool:
        """Whether this node is quorate, or needs no quorum."""
        return self._writable

    def set_quorate(self, *, quorate: bool) -> None:
        """Follow corosync's verdict; a stand-alone node has none to follow."""
        if self.cluster is None or quorate == self._writable:
            return
        with self._lock:
            if quorate:
                self._root = self._open_shared_tree()
                self._writable = True
            else:
                self._writable = False
                mirror(self._root, self.replica)
                self._root = self.replica

    def note_change(self) -> None:
        """Notify the other members' replicas that the shared tree changed."""
        if self.cluster is not None:
            (self.cluster / "changed").touch()

    def refresh_replica(self, *, wholly: bool = False) -> None:
        """Copy the shared tree into the replica if its members have noted a change since, or `wholly` in any case."""
        with self._lock:
            if self.cluster is None or not self._writable:
                return
            change = self._last_change()
            if wholly or change != self._seen_change:
                mirror(self._root, self.replica)
                self._seen_change = change

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold off the other members for one decision about the tree."""
        held = os.open(f"{self.cluster or self.replica.parent}/guard", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield
        finally:
            os.close(held)

    def _last_change(self) -> int:
        if self.cluster is None:
            return 0
        try:
            return os.stat(self.cluster / "changed").st_mtime_ns  # noqa: PTH116 - twice a second
        except FileNotFoundError:
            return 0

    def _open_shared_tree(self) -> Path:
        """The first quorate member brings its own tree into the cluster."""
        if self.cluster is None:
            raise RuntimeError("a stand-alone node shares no tree")
        self.cluster.mkdir(parents=True, exist_ok=True)
        shared = self.cluster / "pve"
        with self.exclusive():
            if not shared.exists():
                partial = self.cluster / "pve.new"
                mirror(self.replica, partial)
                partial.rename(shared)
        return shared
