"""No line on standard error is longer than the published command plugin can read: it hangs for ever on one of 64 KiB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.call import note
from onnode.system.machine import LINE_MAX, ThisMachine

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

READER_TAKES = 64 * 1024


def test_every_line_is_bounded_and_the_rest_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = f"before\n{'ü' * 1_000_000}\nafter"
    ThisMachine(tmp_path).note(said)
    note(said)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0::3] == ["before"] * 2
    assert lines[2::3] == ["after"] * 2
    assert all(LINE_MAX < len(line.encode()) < READER_TAKES for line in lines[1::3])
