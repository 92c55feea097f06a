"""A state in files after a crash: what is damaged is put right, or refused with everything left as it is."""

from __future__ import annotations

import errno
import gzip
import json
import os
import pathlib
import time
from typing import TYPE_CHECKING

import pytest

from cli import description, shell
from cli.backend import state_files, zstd_frame
from cli.engine import environment
from cli.report import command as report_command
from cli.run import confirmation
from cli.status import command as status_command
from cluster.errors import AdminError
from config.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = time.time()
DAMAGES = {"empty": b"", "cut off": b'{"version":3,"checkpoint":{"stack":"org', "zeroes": bytes(4096), "a list": b"[]"}


def content(name: str) -> bytes:
    return json.dumps({"version": 3, "checkpoint": {"stack": "dev", "latest": {"name": name}}}).encode()


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    """A backend with a whole state; the engine's directories are there."""
    for directory in ("stacks/nested-pve-ha", "backups/nested-pve-ha/dev", "history/nested-pve-ha/dev"):
        (tmp_path / directory).mkdir(parents=True)
    put(tmp_path, "stacks/nested-pve-ha/dev.json", content("latest"))
    return tmp_path


def put(backend: Path, name: str, data: bytes, *, age_s: float = 0) -> Path:
    file = backend / name
    file.write_bytes(data)
    os.utime(file, (NOW - age_s, NOW - age_s))
    return file


def refuse(question: str) -> None:
    raise AssertionError(question)


def whole(backend: Path) -> dict[str, bytes]:
    return {str(path.relative_to(backend)): path.read_bytes() for path in backend.rglob("*") if path.is_file()}


def test_a_whole_state_stays(backend: Path) -> None:
    before = whole(backend)
    assert state_files.put_back(backend, "dev", refuse) == ""
    assert state_files.put_back(backend, "other", refuse) == ""
    assert whole(backend) == before


def test_a_state_that_cannot_be_read_is_told_as_that_and_not_replaced(
    backend: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when an earlier run was root's, or the file server does not answer."""
    put(backend, "stacks/nested-pve-ha/dev.json.bak", content("before"))
    before = whole(backend)
    read = pathlib.Path.read_bytes

    def refused(file: pathlib.Path) -> bytes:
        if file.name == "dev.json":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return read(file)

    with monkeypatch.context() as reading:
        reading.setattr(pathlib.Path, "read_bytes", refused)
        with pytest.raises(AdminError) as caught:
            state_files.put_back(backend, "dev", lambda _question: None)
    assert caught.value.code == "state-damaged"
    assert "Permission denied" in caught.value.observed
    assert whole(backend) == before


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_is_put_back_from_the_moment_before(backend: Path, damage: bytes) -> None:
    state = put(backend, "stacks/nested-pve-ha/dev.json", damage)
    put(backend, "stacks/nested-pve-ha/dev.json.bak", content("before"), age_s=2)
    put(backend, "history/nested-pve-ha/dev/dev-1.checkpoint.json", content("last run"), age_s=900)

    said = state_files.put_back(backend, "dev", refuse)

    assert "is empty or cut off" in said
    assert "put back from dev.json.bak" in said
    assert state.read_bytes() == content("before")
    assert state.with_name("dev.json.damaged").read_bytes() == damage
    assert state_files.put_back(backend, "dev", refuse) == ""


@pytest.mark.parametrize("end", [b"", b"\xff" * 40], ids=["cut off", "overwritten"])
def test_a_compressed_state_is_put_back(backend: Path, end: bytes) -> None:
    (backend / "stacks/nested-pve-ha/dev.json").unlink()
    packed = gzip.compress(content("before"))
    state = put(backend, "stacks/nested-pve-ha/dev.json.gz", gzip.compress(content("latest"))[:20] + end)
    put(backend, "stacks/nested-pve-ha/dev.json.gz.bak", packed)
    assert state_files.put_back(backend, "dev", refuse)
    assert state.read_bytes() == packed


def zstd(data: bytes, *, with_checksum: bool = False) -> bytes:
    """A frame of blocks that are stored as they are, with a window of 1 KiB (RFC 8878)."""
    parts = [data[start : start + 50] for start in range(0, len(data), 50)]
    blocks = [(len(part) << 3 | (part is parts[-1])).to_bytes(3, "little") + part for part in parts]
    end = b"sums" if with_checksum else b""
    return zstd_frame.MAGIC + bytes([with_checksum << 2, 0]) + b"".join(blocks) + end


@pytest.mark.parametrize("with_checksum", [True, False])
@pytest.mark.parametrize("kept", [0, 3, 5, 6, 8, 60, 61, -1])
def test_a_state_compressed_by_zstd_is_put_back(backend: Path, kept: int, *, with_checksum: bool) -> None:
    (backend / "stacks/nested-pve-ha/dev.json").unlink()
    packed = zstd(content("before"), with_checksum=with_checksum)
    state = put(backend, "stacks/nested-pve-ha/dev.json.zst", packed)
    put(backend, "stacks/nested-pve-ha/dev.json.zst.bak", packed[:30])
    put(backend, "backups/nested-pve-ha/dev/dev.1.json.zst", packed, age_s=10)
    assert state_files.put_back(backend, "dev", refuse) == ""
    put(backend, state.relative_to(backend).as_posix(), packed[:kept])
    assert "put back from dev.1.json.zst" in state_files.put_back(backend, "dev", refuse)
    assert state.read_bytes() == packed


def test_it_is_the_newest_that_counts(backend: Path) -> None:
    """As for the engine, which leaves what it wrote before the setting was changed."""
    old = put(backend, "stacks/nested-pve-ha/dev.json.gz", b"", age_s=100)
    assert state_files.put_back(backend, "dev", refuse) == ""
    assert old.read_bytes() == b""


def status_of_the_stack() -> None:
    status_command.status("dev", as_json=False)


def report_on_the_stack() -> None:
    report_command._readable("dev", environment.for_engine())


@pytest.mark.parametrize("command", [status_of_the_stack, report_on_the_stack, lambda: shell.environment_of("dev")])
def test_other_commands_put_back_or_name_a_damaged_state_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: Callable[[], None]
) -> None:
    stacks = tmp_path / ".pulumi" / "stacks" / "nested-pve-ha"
    stacks.mkdir(parents=True)
    state = put(stacks, "dev.json", b"")
    put(stacks, "dev.json.bak", content("before"))
    monkeypatch.setattr(environment, "for_engine", lambda: {environment.BACKEND_VARIABLE: f"file://{tmp_path}"})

    def looked(*_arguments: object) -> None:
        raise StopIteration

    monkeypatch.setattr(description, "read", looked)
    with pytest.raises(StopIteration):
        command()
    said = capsys.readouterr()
    assert "put back from dev.json.bak" in said.err
    assert said.out == "", "which is for programs"
    assert state.read_bytes() == content("before")


@pytest.mark.parametrize("bak", [b"", content("long ago")])
def test_an_older_state_is_put_back_only_after_asking(backend: Path, bak: bytes) -> None:
    state = put(backend, "stacks/nested-pve-ha/dev.json", b"")
    put(backend, "stacks/nested-pve-ha/dev.json.bak", bak, age_s=3600)
    put(backend, "history/nested-pve-ha/dev/dev-1.checkpoint.json", content("last run"), age_s=900)
    put(backend, "backups/nested-pve-ha/dev/dev.1.json", content("the run before"), age_s=1800)
    before = whole(backend)
    asked: list[str] = []

    with pytest.raises(AdminError) as refused:
        state_files.put_back(backend, "dev", None)
    assert refused.value.code == "state-damaged"
    assert "`make up`" in refused.value.fix
    with pytest.raises(AssertionError, match="is older"):
        state_files.put_back(backend, "dev", refuse)
    assert whole(backend) == before
    assert state_files.put_back(backend, "dev", asked.append)
    assert "dev-1.checkpoint.json, is older" in asked[0]
    assert state.read_bytes() == content("last run")


def test_without_any_whole_state_nothing_is_touched(backend: Path) -> None:
    put(backend, "stacks/nested-pve-ha/dev.json", b"")
    put(backend, "stacks/nested-pve-ha/dev.json.bak", b"")
    before = whole(backend)
    with pytest.raises(AdminError) as refused:
        state_files.put_back(backend, "dev", lambda _question: None)
    assert refused.value.code == "state-damaged"
    assert "your own backup" in refused.value.fix
    assert whole(backend) == before


def test_attributes_and_the_layout_are_put_right(backend: Path) -> None:
    good = put(backend, "stacks/nested-pve-ha/dev.json.attrs", b'{"md5": "x"}')
    for name in ("stacks/nested-pve-ha/dev.json.bak.attrs", "history/nested-pve-ha/dev/x.attrs", "meta.yaml.attrs"):
        put(backend, name, b'{"user.c' if "bak" in name else b"")
    layout = put(backend, "meta.yaml", b"")

    assert len(state_files.heal(backend)) == 4

    assert layout.read_text() == "version: 1\n"
    assert list(backend.rglob("*.attrs")) == [good]
    assert state_files.heal(backend) == []


def test_another_stack_in_the_lab_is_read_from_its_backup(backend: Path) -> None:
    state = put(backend, "stacks/nested-pve-ha/dev.json", b"")
    assert state_files.latest(state) == {}
    put(backend, "stacks/nested-pve-ha/dev.json.bak", content("before"))
    assert state_files.latest(state) == {"name": "before"}


@pytest.mark.parametrize(
    ("given", "wanted", "directory"),
    [
        ("file:///srv/state", "file:///srv/state?metadata=skip", "/srv/state/.pulumi"),
        ("file:///srv/a%20b?no_tmp_dir=true", "file:///srv/a%20b?no_tmp_dir=true&metadata=skip", "/srv/a b/.pulumi"),
        ("file:///srv/state?metadata=skip", "file:///srv/state?metadata=skip", "/srv/state/.pulumi"),
        ("file://~/state", "file://~/state?metadata=skip", "/home/me/state/.pulumi"),
        ("file://state", "file://state?metadata=skip", f"{ROOT}/state/.pulumi"),
        ("s3://bucket?region=eu", "s3://bucket?region=eu", None),
    ],
)
def test_a_file_backend_is_known_by_its_url(
    monkeypatch: pytest.MonkeyPatch, given: str, wanted: str, directory: str | None
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    url = environment.without_attributes(given)
    assert url == wanted
    found = environment.file_backend({"PULUMI_BACKEND_URL": url})
    assert (str(found) if found else None) == directory


def test_without_a_terminal_an_older_state_is_not_put_back(backend: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(backend, "stacks/nested-pve-ha/dev.json", b"")
    put(backend, "stacks/nested-pve-ha/dev.json.bak", content("long ago"), age_s=3600)
    before = whole(backend)
    with open(os.devnull) as nobody:  # noqa: PTH123
        monkeypatch.setattr("sys.stdin", nobody)
        with pytest.raises(AdminError) as refused:
            state_files.put_back(backend, "dev", confirmation.confirm)
    assert refused.value.code == "not-confirmed"
    assert whole(backend) == before
