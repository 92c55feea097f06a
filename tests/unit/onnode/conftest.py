from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fake_machine import FakeMachine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)  # the tests outlive no power cut
    return FakeMachine(tmp_path)
