from __future__ import annotations

import compileall
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakepve.certs import make_cert

from tests.support import engines_python
from tests.support.checkout import copy_tracked
from tests.support.pve import PASSWORD, StatefulPve, serving
from tests.support.sshd import Sshd, running_sshd
from tests.support.workspace import Workspace, toolchain_environment

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return toolchain_environment(engines_python.made(tmp_path_factory.mktemp("python")))


@pytest.fixture(scope="session")
def tracked(tmp_path_factory: pytest.TempPathFactory, toolchain: dict[str, str]) -> Path:
    """What is tracked, to be copied with its byte code: each copy would make it anew, or each run."""
    directory = tmp_path_factory.mktemp("tracked") / "checkout"
    copy_tracked(directory, Path(toolchain["VIRTUAL_ENV"]))
    for part in ("config", "components", "cluster", "cli", "onnode", "policy", "toolchain", "tools"):
        compileall.compile_dir(directory / part, quiet=1)
    return directory


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory, toolchain: dict[str, str]) -> Path:
    """A project whose stack has nothing yet."""
    return Workspace(tmp_path_factory.mktemp("empty") / "project", toolchain).directory


@pytest.fixture
def workspace(tmp_path: Path, toolchain: dict[str, str], empty: Path) -> Workspace:
    return Workspace(tmp_path / "project", toolchain, empty)


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
