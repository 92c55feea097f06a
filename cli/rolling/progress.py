"""How far a rolling command came, kept on the control machine: what a machine itself does not show after a killed run.

A machine shows its packages and its kernel, and not whether it was rebooted for this command, or by whom it was drained.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from config.paths import OWN

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY = OWN / "rolling"
LASTS_S = 24 * 3600.0  # after that, a command that was not finished begins anew


@dataclass
class Progress:
    """Of one command on one stack.

    Attributes:
        file: where it is kept.
        began: seconds since 1970.
        boots: the nodes whose turn has begun, with the boot id that each had then.
        drained: the node that this command took into maintenance, and is to take out again.
    """

    file: Path
    began: float
    boots: dict[str, str] = field(default_factory=dict)
    drained: str | None = None

    def save(self) -> None:
        """Write it down, before what it says is done."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        content = {key: value for key, value in asdict(self).items() if key != "file"}
        beside = self.file.with_suffix(".new")
        beside.write_text(json.dumps(content))
        beside.replace(self.file)

    def finish(self) -> None:
        """Forget it: all is done."""
        self.file.unlink(missing_ok=True)


def read(stack: str, command: str) -> Progress:
    """What an earlier call left, if that was not long ago; else nothing done yet."""
    file = DIRECTORY / f"{stack}.{command}.json"
    new = Progress(file, time.time())
    try:
        found = Progress(file, **json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return new
    return found if 0 <= new.began - found.began < LASTS_S else new


def forget(stack: str) -> None:
    """Of a stack whose machines go."""
    for file in DIRECTORY.glob(f"{stack}.*.json"):
        file.unlink(missing_ok=True)
