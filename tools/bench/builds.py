"""How long the toolchain takes: with everything built, and with nothing built."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from tools.bench.errors import BenchError
from tools.bench.workspace import PHASE_LIMIT_S, ROOT

if TYPE_CHECKING:
    from tools.invoker import Invoker


def warm(owner: Invoker) -> float:
    """Seconds of `toolchain install` when there is nothing to do.

    Raises:
        BenchError: it failed.
    """
    return _install(owner, {})


def cold(owner: Invoker) -> float:
    """Seconds of `toolchain install` with empty caches of compiled packages; modules that were downloaded are used.

    Raises:
        BenchError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="nested-pve-bench-") as place:
        os.chown(place, owner.uid, owner.gid)
        # A home without plugins: a Pulumi of the user's own would be used as it is.
        empty = {"GOCACHE": "go-build", "NESTED_PVE_CACHE": "cache", "PULUMI_HOME": "pulumi"}
        return _install(owner, {variable: f"{place}/{name}" for variable, name in empty.items()})


def _install(owner: Invoker, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "toolchain", "install"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(owner.home), **environment},
        stdin=subprocess.DEVNULL,
        user=owner.uid,
        group=owner.gid,
        timeout=PHASE_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError("the toolchain's build failed")
    return time.perf_counter() - began
