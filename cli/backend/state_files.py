"""The engine's state in files, after a crash: files that are empty or cut off are replaced before the engine reads them.

The engine replaces a state whole, but writes the attributes beside it (gocloud's `.attrs`) in place: a kill leaves them
empty, and nothing can be read any more. A machine that loses power can leave any file empty or cut off.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
import zlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.backend import zstd_frame
from cli.backend.locks import PROJECT
from cluster.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ATTRIBUTES = ".attrs"
LAYOUT = "version: 1\n"  # of a backend that has `stacks/PROJECT`
SAME_RUN_S = 60.0  # the engine copies a state to .bak at the moment when it writes the next
DAMAGED = ".damaged"
GZIP = b"\x1f\x8b"
COMPRESSED = ("", ".gz", ".zst")  # as PULUMI_DIY_BACKEND_GZIP and …_ZSTD have the engine do it
State = dict[str, Any]
NOT_UNPACKED: State = {"checkpoint": {}}


def heal(backend: Path) -> list[Path]:
    """Remove or rewrite damaged files that hold no data of their own; returns them.

    Args:
        backend: the `.pulumi` directory.
    """
    healed = [file for file in backend.rglob(f"*{ATTRIBUTES}") if os.access(file, os.R_OK) and _json(file) is None]
    for file in healed:
        file.unlink(missing_ok=True)
    layout = backend / "meta.yaml"
    if layout.is_file() and not layout.read_bytes().strip(b"\0\n ") and (backend / "stacks" / PROJECT).is_dir():
        _write(layout, LAYOUT.encode())
        healed.append(layout)
    return healed


def put_back(backend: Path, stack: str, ask: Callable[[str], None] | None = None) -> str:
    """Put the last whole state in the place of one that is empty or cut off; returns what was done, in words.

    Args:
        backend: the `.pulumi` directory.
        stack: whose state.
        ask: raises unless the user agrees; None where nothing may be asked.

    Raises:
        AdminError: state-damaged, when there is no whole state, or only an older one and nobody to ask.
    """
    damaged = files(backend).get(stack)
    if damaged is None or not _is_damaged(damaged):
        return ""
    whole = max(_whole(_earlier(backend, damaged)), key=_written, default=None)
    what = f"{damaged} is empty or cut off ({damaged.stat().st_size} bytes, of {_moment(damaged)})"
    if whole is None or (ask is None and _is_older(whole, damaged)):
        raise AdminError(
            "state-damaged",
            f"the recorded state of stack {stack} is damaged",
            observed=what,
            expected="a whole state",
            fix=f"`make up` with this stack: it asks before it puts back {whole}, of {_moment(whole)}" if whole else "",
        )
    if ask is not None and _is_older(whole, damaged):
        ask(f"{what}.\nThe last whole one, {whole}, is older: of {_moment(whole)}. Put it back?")
    shutil.copy2(damaged, damaged.with_name(damaged.name + DAMAGED))
    _write(damaged, whole.read_bytes())
    return (
        f"{what}: put back from {whole.name}, of {_moment(whole)}; the damaged one is kept as {damaged.name}{DAMAGED}"
    )


def latest(file: Path) -> State:
    """The state in a stack's file; if that is damaged, the one in its backup."""
    for candidate in (file, file.with_name(f"{file.name}.bak")):
        content = _json(candidate)
        if content is not None:
            state: State = content.get("checkpoint", {}).get("latest") or {}
            return state
    return {}


def files(backend: Path) -> dict[str, Path]:
    """The state file of each stack; if there are several, the newest, as the engine does."""
    found = [file for end in COMPRESSED for file in (backend / "stacks" / PROJECT).glob(f"*.json{end}")]
    return {file.name.partition(".json")[0]: file for file in sorted(found, key=_written)}


def _earlier(backend: Path, damaged: Path) -> Iterable[Path]:
    """Earlier states: beside the damaged one, and those that the engine kept at the start and the end of every run."""
    stack, _, kind = damaged.name.partition(".")
    yield damaged.with_name(f"{damaged.name}.bak")
    yield from (backend / "backups" / PROJECT / stack).glob(f"{stack}.*.{kind}")
    yield from (backend / "history" / PROJECT / stack).glob(f"{stack}-*.checkpoint.{kind}")


def _whole(files: Iterable[Path]) -> list[Path]:
    return [file for file in files if "checkpoint" in (_json(file) or {})]


def _is_damaged(file: Path) -> bool:
    """Whether a state is damaged. One that cannot be read may be whole, and is refused.

    Raises:
        AdminError: state-damaged.
    """
    try:
        return _content(file.read_bytes()) is None
    except OSError as error:
        raise AdminError(
            "state-damaged",
            "the recorded state cannot be read",
            observed=f"{file}: {error.strerror or error}",
            expected="a file that you can read",
            fix=f"`ls -l {file}`: work as the user to whom it belongs, or make it readable; nothing has been changed",
        ) from None


def _json(file: Path) -> State | None:
    """The content; None when it is not whole, or cannot be read."""
    try:
        return _content(file.read_bytes())
    except OSError:
        return None


def _content(data: bytes) -> State | None:
    if data.startswith(zstd_frame.MAGIC):
        return NOT_UNPACKED if zstd_frame.is_whole(data) else None
    try:
        content = json.loads(gzip.decompress(data) if data.startswith(GZIP) else data)
    except (OSError, EOFError, ValueError, zlib.error):  # BadGzipFile is an OSError
        return None
    return content if isinstance(content, dict) else None


def _is_older(file: Path, than: Path) -> bool:
    return _written(than) - _written(file) > SAME_RUN_S


def _written(file: Path) -> float:
    return file.stat().st_mtime


def _moment(file: Path) -> str:
    return f"{datetime.fromtimestamp(_written(file)).astimezone():%Y-%m-%d %H:%M:%S}"


def _write(file: Path, content: bytes) -> None:
    """Replace a file whole, and on the disk before it is in place."""
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}", delete=False) as staged:
        staged.write(content)
        staged.flush()
        os.fsync(staged.fileno())
    shutil.copymode(file, staged.name)
    Path(staged.name).replace(file)
