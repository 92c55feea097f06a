"""Whether a node can use a storage right now."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from pvelab.errors import PveError, die
from pvelab.paths import path
from pvelab.storage import config, layout, nfs

if TYPE_CHECKING:
    from pvelab.storage.config import Storage


def _is_online(storage: Storage) -> bool:
    if storage.type != "nfs":
        return True
    try:
        return nfs.ask(storage.options["server"], storage.options["export"]) is not None
    except OSError:
        return False


def _activate_directory(storage: Storage) -> None:
    base = path(storage.base_path)
    if storage.options.get("is_mountpoint") == "1" and not base.is_mount():
        raise die(
            f"unable to activate storage '{storage.id}' - directory is expected to be a mount point but is not mounted: '{storage.base_path}'"
        )
    if storage.options.get("mkdir", "1") == "1":
        base.mkdir(parents=True, exist_ok=True)
    if not base.is_dir():
        raise die(
            f"unable to activate storage '{storage.id}' - directory '{storage.base_path}' does not exist or is unreachable"
        )


def activate(name: str) -> Storage:
    """Make a storage ready on this node.

    Raises:
        PveError: it is not configured for this node, does not answer, or is not there.
    """
    storage = config.usable(name)
    if not _is_online(storage):
        raise die(f"storage '{name}' is not online")
    if storage.type == "nfs" and not nfs.is_mounted(path(storage.base_path)):
        nfs.mount(storage.options["server"], storage.options["export"], storage.base_path)
    if storage.type == "lvmthin":
        layout.directory(storage).mkdir(parents=True, exist_ok=True)
    elif storage.is_file_based:
        _activate_directory(storage)
    else:
        raise die(f"storage '{name}' is of type '{storage.type}', which nothing here stands in for")
    return storage


def status(storage: Storage, node: str) -> dict[str, Any]:
    """A storage as GET /nodes/{node}/storage/{storage}/status answers it; sizes in bytes, 0 while inactive."""
    enabled = storage.enabled_on(node)
    answer: dict[str, Any] = {
        "type": storage.type,
        "content": ",".join(storage.content),
        "shared": int(storage.shared),
        "enabled": int(enabled),
        "active": 0,
        "total": 0,
        "used": 0,
        "avail": 0,
    }
    if not enabled:
        return answer
    try:
        activate(storage.id)
    except PveError:
        return answer
    space = shutil.disk_usage(layout.directory(storage))
    return {**answer, "active": 1, "total": space.total, "used": space.used, "avail": space.free}
