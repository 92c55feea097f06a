"""Peak memory of a tree of processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tools.bench.memory import Peaks, in_bytes, process_name, sampled

MIB = 1 << 20


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/opt/bin/pulumi up --yes", "pulumi"),
        (".venv/bin/python -m cluster join", "python -m cluster"),
        ("/usr/bin/python3 -u /opt/bin/pulumi-language-python-exec --pwd /x", "python pulumi-language-python-exec"),
        ("python3", "python"),
        ("", ""),
    ],
)
def test_processes_have_the_names_that_people_know(command: str, name: str) -> None:
    assert process_name(command.split()) == name


def test_sizes_are_read_in_bytes() -> None:
    assert in_bytes("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n", "VmHWM") == 2 * MIB
    assert in_bytes("Name:\tkthreadd\n", "VmHWM") == 0


def test_each_process_keeps_its_own_peak_and_the_sum_is_of_one_moment() -> None:
    peaks = Peaks()
    peaks.add([("pulumi", 50, 40), ("plugin", 30, 20)])
    peaks.add([("pulumi", 70, 45)])
    assert peaks.largest == {"pulumi": 70, "plugin": 30}
    assert peaks.together == 60


def test_grandchildren_count_and_the_watcher_does_not() -> None:
    held = f"import time; held = b'x' * {64 * MIB}; time.sleep(1.5)"
    between = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {held!r}], check=True)"
    with sampled(os.getpid()) as peaks:
        subprocess.run([sys.executable, "-c", between], check=True)
    assert peaks.together > 64 * MIB
    assert max(peaks.largest.values()) > 64 * MIB
    assert not [name for name in peaks.largest if "pytest" in name]
