"""Who a command works for, also under sudo."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Invoker:
    """The person behind the command: the one who called sudo, or else the current user."""

    uid: int
    gid: int
    name: str
    home: Path

    @classmethod
    def current(cls) -> Invoker:
        """Read SUDO_UID, which sudo sets; a lab run as plain root belongs to root."""
        uid = int(os.environ.get("SUDO_UID", os.getuid()))
        entry = pwd.getpwuid(uid)
        return cls(uid=uid, gid=entry.pw_gid, name=entry.pw_name, home=Path(entry.pw_dir))
