"""FUSE operations of /etc/pve: a tree of the store, with pmxcfs' owners, modes, links and refusals."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from typing import TYPE_CHECKING, Any

import fusepy  # type: ignore[import-not-found]  # Debian's name for the library, which only nodes have

from pvelab.pmxcfs.locks import LOCK_DIRECTORY, LockTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pvelab.pmxcfs.store import Store

WWW_DATA_GID = 33
MAX_FILE_SIZE = 1024 * 1024
_GUEST_DIRECTORIES = ("qemu-server", "lxc")


def is_private(path: str) -> bool:
    """Whether only root may see it: priv/ of the cluster and of every node."""
    parts = path.strip("/").split("/")
    return parts[0] == "priv" or (parts[0] == "nodes" and len(parts) > 2 and parts[2] == "priv")  # noqa: PLR2004


def is_renewed(path: str) -> bool:
    """Whether it says how things are at the moment: the status of HA.

    Each node writes its own twice a second. Replicas get it with the next change of something else, and when they are needed.
    """
    return path.rpartition("/")[2].startswith(("lrm_status", "manager_status"))


def mode_of(path: str, kind: int, *, writable: bool) -> int:
    """The mode that pmxcfs shows: nothing is stored, write bits come and go with quorum."""
    if kind == stat.S_IFREG:
        bits, visible = (0o666 if writable else 0o444), 0o750
    else:
        bits, visible = (0o777 if writable else 0o555), 0o755
    return kind | bits & (0o700 if is_private(path) else visible)


def _refuse(code: int) -> fusepy.FuseOSError:
    return fusepy.FuseOSError(code)


class ClusterFilesystem(fusepy.Operations):  # type: ignore[misc]  # the library ships no types
    """/etc/pve of one node."""

    def __init__(
        self,
        store: Store,
        node: str,
        generated: Mapping[str, Callable[[], str]],
        locks: LockTable,
        changed: Callable[[str], None],
    ) -> None:
        """Serve a store.

        Args:
            store: which tree is shown, and whether it may be written.
            node: this node's name, for the links to its own directories.
            generated: names of read-only files of the root directory and their text.
            locks: expiry of the locks below priv/lock.
            changed: called with the path after every change that this node made.
        """
        self._store = store
        self._generated = generated
        self._links = {
            "/local": f"nodes/{node}",
            "/qemu-server": f"nodes/{node}/qemu-server",
            "/lxc": f"nodes/{node}/lxc",
            "/openvz": f"nodes/{node}/openvz",
        }
        self._locks = locks
        self._changed = changed

    # What is where

    def _real(self, path: str) -> Path:
        return self._store.root / path.lstrip("/")

    def _place(self, path: str) -> str:
        """The same for what is asked all the time: a path object takes longer than the look itself."""
        return f"{self._store.root}{path}"

    def _text(self, path: str) -> str | None:
        """The text of a generated file, None for every other path."""
        render = self._generated.get(path[1:])
        return render() if render else None

    def _require_writable(self, path: str = "") -> None:
        if not self._store.writable:
            raise _refuse(errno.EACCES)
        if path in self._links or path[1:] in self._generated:
            raise _refuse(errno.EACCES)

    def _note(self, path: str) -> None:
        if not is_renewed(path):
            self._store.note_change()
        self._changed(path)

    # Reading

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:  # noqa: ARG002 - FUSE's signature
        """Attributes as pmxcfs shows them."""
        if path in self._links:
            return self._attributes(path, stat.S_IFLNK, 0, time.time())
        text = self._text(path)
        if text is not None:
            attributes = self._attributes(path, stat.S_IFREG, len(text.encode()), time.time())
            return {**attributes, "st_mode": stat.S_IFREG | 0o440}
        status = os.lstat(self._place(path))
        return self._attributes(path, stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime)

    def _attributes(self, path: str, kind: int, size: int, modified: float) -> dict[str, Any]:
        return {
            "st_mode": mode_of(path, kind, writable=self._store.writable),
            "st_nlink": 2 if kind == stat.S_IFDIR else 1,
            "st_uid": 0,
            "st_gid": 0 if is_private(path) else WWW_DATA_GID,
            "st_size": 0 if kind == stat.S_IFDIR else size,
            "st_atime": modified,
            "st_mtime": modified,
            "st_ctime": modified,
        }

    def readdir(self, path: str, fh: int) -> list[str]:  # noqa: ARG002 - FUSE's signature
        """Names in a directory, as of one moment: the directory behind it may list neither name of a file that moves."""
        with self._store.exclusive():
            names = os.listdir(self._place(path))  # noqa: PTH208 - names are what FUSE wants
        if path == "/":
            names += [link[1:] for link in self._links] + list(self._generated)
        return [".", "..", *names]

    def readlink(self, path: str) -> str:
        """Where one of the node's own links points."""
        try:
            return self._links[path]
        except KeyError:
            raise _refuse(errno.EINVAL) from None

    def open(self, path: str, flags: int) -> int:
        """A descriptor of the stored file; generated files have none."""
        writing = flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC)
        if writing:
            self._require_writable(path)
        if self._text(path) is not None:
            return 0
        return os.open(self._place(path), os.O_RDWR if writing else os.O_RDONLY)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Part of a file."""
        text = self._text(path)
        if text is not None:
            return text.encode()[offset : offset + size]
        return os.pread(fh, size, offset)

    def release(self, path: str, fh: int) -> int:  # noqa: ARG002 - FUSE's signature
        """Close."""
        if fh:
            os.close(fh)
        return 0

    def statfs(self, path: str) -> dict[str, int]:  # noqa: ARG002 - FUSE's signature
        """The fixed figures of pmxcfs' database."""
        return {"f_bsize": 4096, "f_blocks": 32768, "f_bfree": 32700, "f_bavail": 32700, "f_namemax": 255}

    # Writing

    def create(self, path: str, mode: int, fi: object = None) -> int:  # noqa: ARG002 - FUSE's signature
        """A new file; a guest's id is unique in the whole cluster."""
        self._require_writable(path)
        self._require_unique_guest(path)
        handle = os.open(self._real(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        self._note(path)
        return handle

    def _require_unique_guest(self, path: str, moved_from: str = "") -> None:
        parts = path.strip("/").split("/")
        if len(parts) != 4 or parts[0] != "nodes" or parts[2] not in _GUEST_DIRECTORIES:  # noqa: PLR2004 - nodes/N/KIND/FILE
            return
        for kind in _GUEST_DIRECTORIES:
            for other in self._store.root.glob(f"nodes/*/{kind}/{parts[3]}"):
                if other not in (self._real(path), self._real(moved_from)):
                    raise _refuse(errno.EEXIST)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Part of a file, unless quorum went since it was opened."""
        self._require_writable(path)
        if offset + len(data) > MAX_FILE_SIZE:
            raise _refuse(errno.EFBIG)
        written = os.pwrite(fh, data, offset)
        self._note(path)
        return written

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:  # noqa: ARG002 - FUSE's signature
        """Set a file's length."""
        self._require_writable(path)
        os.truncate(self._real(path), length)
        self._note(path)
        return 0

    def unlink(self, path: str) -> int:
        """Remove a file."""
        self._require_writable(path)
        self._real(path).unlink()
        self._note(path)
        return 0

    def mkdir(self, path: str, mode: int) -> int:  # noqa: ARG002 - FUSE's signature
        """A new directory; below priv/lock this is how a lock is taken."""
        self._require_writable(path)
        with self._store.exclusive():
            self._real(path).mkdir()
        self._note(path)
        return 0

    def rmdir(self, path: str) -> int:
        """Remove an empty directory; a lock goes with whatever is in it."""
        self._require_writable(path)
        if path.startswith(LOCK_DIRECTORY + "/"):
            shutil.rmtree(self._real(path))
        else:
            self._real(path).rmdir()
        self._note(path)
        return 0

    def rename(self, old: str, new: str) -> int:
        """Move a file or directory; moving a guest's configuration moves the guest."""
        self._require_writable(old)
        self._require_writable(new)
        self._require_unique_guest(new, moved_from=old)
        with self._store.exclusive():
            self._real(old).rename(self._real(new))
        self._note(new)
        return 0

    def utimens(self, path: str, times: tuple[float, float] | None = None) -> int:
        """Renew a lock, or with time 0 ask for it; other files just get their time."""
        self._require_writable(path)
        now = time.time()
        accessed, modified = times or (now, now)
        if path.startswith(LOCK_DIRECTORY + "/") and modified == 0:
            with self._store.exclusive():
                self._locks.release_if_expired(self._real(path))
            return 0
        os.utime(self._real(path), (accessed, modified))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        """Modes are fixed: only the present one may be set."""
        self._require_writable(path)
        present = self.getattr(path)["st_mode"]
        if stat.S_IMODE(mode) != stat.S_IMODE(present):
            raise _refuse(errno.EPERM)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        """Owners are fixed: only the present ones may be set."""
        self._require_writable(path)
        unchanged = 0xFFFFFFFF
        group = self.getattr(path)["st_gid"]
        if uid not in (0, -1, unchanged) or gid not in (group, -1, unchanged):
            raise _refuse(errno.EPERM)
        return 0

    def symlink(self, target: str, source: str) -> int:  # noqa: ARG002 - FUSE's signature
        """The database knows no links."""
        raise _refuse(errno.EPERM)

    def link(self, target: str, source: str) -> int:  # noqa: ARG002 - FUSE's signature
        """The database knows no links."""
        raise _refuse(errno.EPERM)

    def mknod(self, path: str, mode: int, dev: int) -> int:  # noqa: ARG002 - FUSE's signature
        """The database knows files and directories only."""
        raise _refuse(errno.EPERM)
