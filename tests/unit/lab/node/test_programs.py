"""How a node starts the stand-ins' programs and services."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NODE_FILES = Path(__file__).resolve().parents[4] / "lab" / "node"
READ_ONLY = "PYTHONPATH=/usr/share/pve-lab"  # no byte code can be kept beside the sources there
STARTS = [
    file
    for directory in ("bin", "install", "units")
    for file in sorted((NODE_FILES / directory).iterdir())
    if READ_ONLY in file.read_text()
]


def test_programs_and_services_are_looked_at() -> None:
    assert {"modprobe", "pmxcfs", "pve-ha-crm.service", "qm"} <= {file.name for file in STARTS}


@pytest.mark.parametrize("file", STARTS, ids=[file.name for file in STARTS])
def test_byte_code_is_kept_so_that_no_start_compiles_anew(file: Path) -> None:
    assert "PYTHONPYCACHEPREFIX=/run/pve-lab/world/pycache" in file.read_text()


def test_a_crm_loads_nothing_that_handles_guests() -> None:
    loaded = "import sys, pvelab.ha.service; print(*sorted(name for name in sys.modules if name.startswith('pvelab.')))"
    done = subprocess.run(
        [sys.executable, "-c", loaded],
        env={"PYTHONPATH": f"{NODE_FILES}:{':'.join(sys.path)}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "pvelab.ha.manager" in done.stdout.split()
    assert not {"pvelab.guests.migration", "pvelab.apischema"} & set(done.stdout.split())
