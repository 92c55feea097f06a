"""Where things are on a node.

Everything hangs below one root, "/" on a machine of the lab. The tests give each node a directory of its own
through the environment variable PVE_LAB_ROOT.
"""

import os
from pathlib import Path

ROOT = Path(os.environ.get("PVE_LAB_ROOT", "/"))


def path(absolute: str) -> Path:
    """The place of an absolute path of the node, such as "/etc/pve/user.cfg"."""
    return ROOT / absolute.lstrip("/")


def pve(relative: str) -> Path:
    """A file of the cluster file system, such as "storage.cfg"."""
    return path("/etc/pve") / relative
