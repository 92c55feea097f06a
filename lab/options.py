"""How a lab was asked to be, and the note of it that later commands read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.settings import Settings


@dataclass(frozen=True)
class Options:
    """How this lab was asked to be."""

    shape: str = "default"
    cpu_vendor: str = "intel"
    time_scale: float = 0.1  # factor on the delays of HA: 0.1 makes 60 s into 6 s
    owner: tuple[int, int] = field(default=(0, 0), compare=False)  # uid and gid of the invoking user


def write_record(settings: Settings, options: Options, pid: int, start_time: str) -> None:
    """Remember how the lab was started, for the next command."""
    document = {"options": asdict(options), "pid": pid, "start_time": start_time}
    settings.record.write_text(json.dumps(document) + "\n")
    settings.record.chmod(0o644)
