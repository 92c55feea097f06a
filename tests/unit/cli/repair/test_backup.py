"""What a node has is kept on this machine, whole and for nobody else; else nothing is begun."""

from __future__ import annotations

import asyncio
import io
import shlex
import stat
import subprocess
import tarfile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli.repair import backup
from cluster.errors import AdminError
from cluster.transport.ssh import Completed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Node:
    """A connection whose commands run here, on a root of their own."""

    def __init__(self, root: Path) -> None:
        self.root, self.machine = root, SimpleNamespace(name="pve2")
        self.spoil: Callable[[str], str] = str

    async def run(self, command: str, *, stdin: str, timeout_s: float) -> Completed:
        words = [str(self.root) if word == "/" else word for word in shlex.split(command)]
        done = await asyncio.to_thread(
            subprocess.run, words, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        return Completed(done.returncode, self.spoil(done.stdout), done.stderr)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(backup, "DIRECTORY", tmp_path / "backups")
    root = tmp_path / "root"
    for name in (
        "etc/pve/priv/authkey.key",
        "etc/pve/.version",
        "etc/corosync/authkey",
        "var/lib/pve-cluster/config.db",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return Node(root)


def take(node: Node, *, shared: bool = True) -> Path:
    connection: Any = node
    return asyncio.run(backup.take(connection, "home", shared=shared))


def names(file: Path) -> set[str]:
    with tarfile.open(file) as archive:
        return {one.name for one in archive if one.isfile()}


def test_it_is_whole_and_for_nobody_else(node: Node, tmp_path: Path) -> None:
    file = take(node)
    assert names(file) == {"etc/pve/priv/authkey.key", "etc/corosync/authkey", "var/lib/pve-cluster/config.db"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {stat.S_IMODE(path.stat().st_mode) for path in (*file.parents[:2], tmp_path / "backups")} == {0o700}
    assert file.parent.parent == tmp_path / "backups" / "home"
    assert file.parent.name.endswith("Z-pve2")


def test_a_shared_directory_that_hangs_is_not_read(node: Node) -> None:
    assert names(take(node, shared=False)) == {"etc/corosync/authkey", "var/lib/pve-cluster/config.db"}


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: text[: len(text) // 2 // 4 * 4], id="half of it"),
        pytest.param(lambda text: text.replace("\n", "\n*", 1), id="no base64"),
        pytest.param(lambda text: text.partition("\n")[0] + "\n", id="no archive"),
        pytest.param(lambda text: "etc/other " + text, id="something that was there is missing"),
        pytest.param(lambda text: text[:0], id="nothing"),
    ],
)
def test_one_that_is_not_whole_is_none(node: Node, tmp_path: Path, spoil: Any) -> None:  # noqa: ANN401 - a function
    node.spoil = spoil
    with pytest.raises(AdminError) as refused:
        take(node)
    assert refused.value.code == "backup-failed"
    assert list((tmp_path / "backups" / "home").iterdir()) == []


def test_a_node_with_nothing_to_keep_is_refused(node: Node, tmp_path: Path) -> None:
    node.root = tmp_path / "empty"
    node.root.mkdir()
    with pytest.raises(AdminError, match="could not be kept") as refused:
        take(node)
    assert "nothing to keep" in refused.value.observed


def test_a_file_with_fewer_bytes_than_it_says_is_found() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("etc/corosync/authkey")
        entry.size = 256
        archive.addfile(entry, io.BytesIO(bytes(256)))
    assert backup.prove(packed.getvalue(), ["etc/corosync"]) == ["etc/corosync/authkey"]
    with pytest.raises((EOFError, tarfile.TarError)):
        backup.prove(packed.getvalue()[:-20], ["etc/corosync"])
