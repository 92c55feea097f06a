from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.sshd import Sshd, running_sshd
from tests.support.workspace import Workspace, toolchain_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def toolchain() -> dict[str, str]:
    return toolchain_environment()


@pytest.fixture
def workspace(tmp_path: Path, toolchain: dict[str, str]) -> Workspace:
    return Workspace(tmp_path / "project", toolchain)


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with running_sshd(tmp_path / "sshd") as server:
        yield server
