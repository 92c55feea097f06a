from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakepve.certs import make_cert

from tests.support import engines_python
from tests.support.pve import PASSWORD, StatefulPve, serving
from tests.support.sshd import Sshd, running_sshd
from tests.support.workspace import Workspace, toolchain_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return toolchain_environment(engines_python.made(tmp_path_factory.mktemp("python")))


@pytest.fixture
def workspace(tmp_path: Path, toolchain: dict[str, str]) -> Workspace:
    return Workspace(tmp_path / "project", toolchain)


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with running_sshd(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def pve(tmp_path: Path, workspace: Workspace) -> Iterator[StatefulPve]:
    server = StatefulPve(password=PASSWORD, host="127.0.0.1", port=0)
    server.nodes["pve2"] = {"online": True}
    server.add_vm(100, "replicated", node="pve1")
    certificate, key, _ = make_cert(str(tmp_path))
    workspace.environment["SSL_CERT_FILE"] = certificate
    with serving(server, certificate, key):
        yield server
