"""The machine on which is measured."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from tools.bench.figures import Machine


def described() -> Machine:
    """This machine: processor, cores, memory, kernel and system; no names."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return Machine(
        cpu=model.group(1) if model else platform.machine(),
        cores=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=f"{platform.system()} {platform.release()}",
        system=platform.freedesktop_os_release()["PRETTY_NAME"],
    )
