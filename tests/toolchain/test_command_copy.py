"""command:remote:CopyToRemote and the deprecated CopyFile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sshd import Sshd
    from tests.support.workspace import Run, Workspace

PROGRAM = """
from pulumi_command import remote

KINDS = {
    "file": pulumi.FileAsset,
    "text": pulumi.StringAsset,
    "url": pulumi.RemoteAsset,
    "path": pulumi.FileArchive,
    "members": lambda texts: pulumi.AssetArchive({k: pulumi.StringAsset(v) for k, v in texts.items()}),
}
for name, (kind, content, remote_path) in cfg("copies").items():
    remote.CopyToRemote(
        name,
        connection=cfg("connection"),
        source=KINDS[kind](content),
        remote_path=remote_path,
        triggers=cfg("triggers"),
    )
"""

Copy = tuple[str, Any, str]


def copy(workspace: Workspace, sshd: Sshd, *, triggers: list[object] | None = None, **copies: Copy) -> Run:
    return workspace.up(PROGRAM, connection=sshd.connection, copies=copies, triggers=triggers or [])


def tree(directory: Path) -> dict[str, str]:
    return {str(p.relative_to(directory)): p.read_text() for p in directory.rglob("*") if p.is_file()}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    (site / "deep/er").mkdir(parents=True)
    (site / "top").write_text("top")
    (site / "deep/er/leaf").write_text("leaf")
    return site


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The directory that plays the other machine's."""
    there = tmp_path / "there"
    there.mkdir()
    return there


def test_where_copies_end_up(workspace: Workspace, sshd: Sshd, site: Path, there: Path, tmp_path: Path) -> None:
    file = tmp_path / "file.tgz"
    file.write_text("not unpacked")
    (there / "existing").mkdir()
    (there / "old").write_text("a longer text than the new one")

    run = copy(
        workspace,
        sshd,
        file_to_new=("file", str(file), f"{there}/made/on/the/way"),
        file_into_dir=("file", str(file), f"{there}/existing"),
        packed=("path", str(file), f"{there}/packed"),
        text=("text", "words\n", f"{there}/a/text"),
        overwritten=("text", "new", f"{there}/old"),
        dir=("path", str(site), f"{there}/dir"),
        dir_into_dir=("path", str(site), f"{there}/existing"),
        content=("path", f"{site}/", f"{there}/content"),
    )

    assert run.code == 0, run.output
    copied = {"top": "top", "deep/er/leaf": "leaf"}
    assert tree(there) == {
        "made/on/the/way": "not unpacked",
        "existing/file.tgz": "not unpacked",
        "packed": "not unpacked",
        "a/text": "words\n",
        "old": "new",
        **{f"dir/site/{k}": v for k, v in copied.items()},
        **{f"existing/site/{k}": v for k, v in copied.items()},
        **{f"content/{k}": v for k, v in copied.items()},
    }


def test_copies_again_only_for_other_content_or_place(workspace: Workspace, sshd: Sshd, there: Path) -> None:
    assert copy(workspace, sshd, text=("text", "one", f"{there}/a")).code == 0
    (there / "a").write_text("touched")

    assert copy(workspace, sshd, text=("text", "one", f"{there}/a")).steps()["text"] == ["same"]
    sshd_by_name = {**sshd.connection, "host": "localhost"}
    moved = workspace.up(PROGRAM, connection=sshd_by_name, copies={"text": ("text", "one", f"{there}/a")}, triggers=[])
    assert moved.steps()["text"] == ["update"]
    assert tree(there) == {"a": "touched"}
    assert sshd.logins() == 1

    assert copy(workspace, sshd, text=("text", "two", f"{there}/a")).steps()["text"] == ["update"]
    assert tree(there) == {"a": "two"}
    assert copy(workspace, sshd, text=("text", "two", f"{there}/b")).steps()["text"] == ["update"]
    assert tree(there) == {"a": "two", "b": "two"}

    (there / "b").write_text("touched")
    replaced = copy(workspace, sshd, triggers=[1], text=("text", "two", f"{there}/b"))
    assert replaced.steps()["text"] == ["create-replacement", "replace", "delete-replaced"]
    assert tree(there)["b"] == "two"

    assert workspace.destroy().code == 0
    assert tree(there) == {"a": "two", "b": "two"}, "deleting the resource leaves the copy"


def test_preview_does_not_connect(workspace: Workspace, sshd: Sshd, there: Path) -> None:
    copies = {"text": ("text", "one", f"{there}/a")}
    run = workspace.preview(PROGRAM, connection=sshd.connection, copies=copies, triggers=[])
    assert run.steps()["text"] == ["create"]
    assert sshd.logins() == 0


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        ("url", "file:///etc/hostname", "an asset must be a file or a text"),
        ("members", {"a": "b"}, "an archive must be a file or a directory"),
    ],
)
def test_refused_sources(workspace: Workspace, sshd: Sshd, kind: str, content: object, reason: str) -> None:
    copies = {"refused": (kind, content, "/nonexistent/a")}
    run = workspace.preview(PROGRAM, connection=sshd.connection, copies=copies, triggers=[])
    assert run.code != 0
    assert reason in run.output


def test_copies_that_cannot_be_made(workspace: Workspace, sshd: Sshd, site: Path, there: Path) -> None:
    (there / "file").touch()
    run = copy(
        workspace,
        sshd,
        text_on_dir=("text", "words", str(there)),
        dir_on_file=("path", f"{site}/", f"{there}/file"),
    )
    assert run.code != 0
    assert any(f"remote path {there} is a directory" in m for m in run.messages("text_on_dir"))
    assert any(f"cannot make remote directory {there}/file" in m for m in run.messages("dir_on_file"))
    assert not {"text_on_dir", "dir_on_file"} & workspace.resources().keys()


COPY_FILE = """
from pulumi_command import remote

remote.CopyFile("file", connection=cfg("connection"), local_path=cfg("local"), remote_path=cfg("remote"))
"""


def test_copy_file_is_replaced_by_every_change(workspace: Workspace, sshd: Sshd, there: Path, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_text("content")
    values = {"connection": sshd.connection, "local": str(local)}

    assert workspace.up(COPY_FILE, **values, remote=f"{there}/a").code == 0
    run = workspace.up(COPY_FILE, **values, remote=f"{there}/b")

    assert run.steps()["file"] == ["create-replacement", "replace", "delete-replaced"]
    assert tree(there) == {"a": "content", "b": "content"}
