"""Tasks: their UPID, their log, their end; kept under /var/log/pve/tasks as Proxmox does."""

from __future__ import annotations

import fcntl
import logging
import re
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pvelab.errors import PveError, die
from pvelab.machine import node_name
from pvelab.paths import path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Log = Callable[[str], None]
    Work = Callable[[Log], None]

TASK_DIRECTORY = "/var/log/pve/tasks"
_UPID = re.compile(
    r"UPID:(?P<node>[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?):(?P<pid>[0-9A-Fa-f]{8}):(?P<pstart>[0-9A-Fa-f]{8,9}):"
    r"(?P<starttime>[0-9A-Fa-f]{8}):(?P<type>[^:\s]+):(?P<id>[^:\s]*):(?P<user>[^:\s]+):"
)


@dataclass(frozen=True)
class Upid:
    """A task's name, which says where, when and for whom it runs; `pid` is a process or a thread."""

    node: str
    pid: int
    pstart: int
    starttime: int
    type: str
    id: str
    user: str

    def __str__(self) -> str:
        return (
            f"UPID:{self.node}:{self.pid:08X}:{self.pstart:08X}:{self.starttime:08X}:{self.type}:{self.id}:{self.user}:"
        )

    @property
    def log_file(self) -> Path:
        """Where the task's output goes; Proxmox spreads the files by the last digit of the start time."""
        return path(TASK_DIRECTORY) / f"{self.starttime:08X}"[-1] / str(self)


def parse_upid(text: str) -> Upid:
    """Read a UPID.

    Raises:
        PveError: it is none.
    """
    found = _UPID.fullmatch(text)
    if found is None:
        raise die(f"unable to parse worker upid '{text}'")
    numbers = {name: int(found[name], 16) for name in ("pid", "pstart", "starttime")}
    return Upid(node=found["node"], type=found["type"], id=found["id"], user=found["user"], **numbers)


def process_start(pid: int) -> int | None:
    """When a process or thread started, in clock ticks since boot; None when it is gone or only waits to be collected."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def _end_of(upid: Upid) -> str | None:
    """The exit status that a task's log ends with: "OK" or the error; None while there is none."""
    try:
        last = upid.log_file.read_text(errors="replace").rstrip("\n").rpartition("\n")[2]
    except FileNotFoundError:
        return None
    if last == "TASK OK":
        return "OK"
    found = re.fullmatch(r"TASK ERROR: (.+)", last)
    return found[1] if found else None


def exit_status(upid: Upid) -> str | None:
    """How a task ended, or None while it runs."""
    end = _end_of(upid)
    if end is not None:
        return end
    if process_start(upid.pid) == upid.pstart:
        return None
    # It may have ended between the two looks.
    return _end_of(upid) or "unexpected status"


def status(upid: Upid) -> dict[str, Any]:
    """A task as GET /nodes/{node}/tasks/{upid}/status answers it."""
    require_known(upid)
    end = exit_status(upid)
    answer = {**asdict(upid), "upid": str(upid), "status": "running" if end is None else "stopped"}
    if "!" in upid.user:
        answer["tokenid"] = upid.user.partition("!")[2]
    if end is not None:
        answer["exitstatus"] = end
    return answer


def require_known(upid: Upid) -> None:
    """Refuse a task that this node never ran."""
    if not upid.log_file.exists():
        raise die("no such task")


def log_lines(upid: Upid) -> list[str]:
    """A task's output."""
    require_known(upid)
    return upid.log_file.read_text(errors="replace").splitlines()


@contextmanager
def _locked(name: str, mode: str) -> Iterator[Any]:
    directory = path(TASK_DIRECTORY)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / name).open(mode) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream


def _remember_start(upid: Upid) -> None:
    with _locked("active", "a") as stream:
        stream.write(f"{upid} 0\n")  # 0: it is not in the index yet


def _remember_end(upid: Upid, end: str) -> None:
    with _locked("active", "r+") as stream:
        running = [line for line in stream.read().splitlines() if line.split()[0] != str(upid)]
        stream.seek(0)
        stream.truncate()
        stream.writelines(f"{line}\n" for line in running)
    with _locked("index", "a") as stream:
        stream.write(f"{upid} {int(time.time()):08X} {end}\n")


def listing() -> list[dict[str, Any]]:
    """The node's tasks, newest first: the running ones, then those in the index."""
    with _locked("active", "a+") as stream:
        stream.seek(0)
        running = [parse_upid(line.split()[0]) for line in stream.read().splitlines()]
    found = [{**asdict(upid), "upid": str(upid)} for upid in running if exit_status(upid) is None]
    with _locked("index", "a+") as stream:
        stream.seek(0)
        lines = stream.read().splitlines()
    for line in lines:
        text, end, outcome = line.split(" ", 2)
        upid = parse_upid(text)
        found.append({**asdict(upid), "upid": text, "endtime": int(end, 16), "status": outcome})
    return sorted(found, key=lambda task: -int(task["starttime"]))


class Runner(Protocol):
    """Where tasks run."""

    def start(self, kind: str, ident: str, user: str, work: Work) -> str:
        """Start the work and give back the task's UPID."""


def _new_upid(kind: str, ident: str, user: str) -> Upid:
    """The UPID of a task that the calling thread runs."""
    pid = threading.get_native_id()
    return Upid(node_name(), pid, process_start(pid) or 0, int(time.time()), kind, ident, user)


def _run(upid: Upid, work: Work, echo: Log | None = None) -> str:
    """Run a task's work in the calling thread; gives back its exit status."""
    with upid.log_file.open("a", buffering=1) as stream:

        def log(text: str) -> None:
            stream.write(f"{text}\n")
            if echo:
                echo(text)

        try:
            work(log)
        except PveError as error:
            end = error.message.splitlines()[0] if error.message else "unknown error"
        except Exception as error:  # a worker ends with TASK ERROR whatever happened in it
            logging.getLogger(__name__).exception("task %s", upid)
            end = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            end = "OK"
        stream.write("TASK OK\n" if end == "OK" else f"TASK ERROR: {end}\n")
    _remember_end(upid, end)
    return end


def _register(upid: Upid) -> None:
    upid.log_file.parent.mkdir(parents=True, exist_ok=True)
    upid.log_file.touch(mode=0o640)
    _remember_start(upid)


class BackgroundRunner:
    """Runs each task in a thread of its own, as the API does in a worker process."""

    def start(self, kind: str, ident: str, user: str, work: Work) -> str:
        """Start the work; the UPID is there before the work begins."""
        known: list[Upid] = []
        ready = threading.Event()

        def body() -> None:
            upid = _new_upid(kind, ident, user)
            _register(upid)
            known.append(upid)
            ready.set()
            _run(upid, work)

        # Not a daemon: a server that is stopped lets its tasks end.
        threading.Thread(target=body, name=f"task-{kind}", daemon=False).start()
        ready.wait()
        return str(known[0])


class ForegroundRunner:
    """Runs each task at once and shows its output, as the command-line tools do."""

    def __init__(self) -> None:
        self.last_end = "OK"

    def start(self, kind: str, ident: str, user: str, work: Work) -> str:
        """Run the work to its end; an error goes to standard error, its text to `last_end`."""
        upid = _new_upid(kind, ident, user)
        _register(upid)
        self.last_end = _run(upid, work, echo=lambda text: print(text, flush=True))  # noqa: T201 - a tool's output
        if self.last_end != "OK":
            print(self.last_end, file=sys.stderr)  # noqa: T201
        return str(upid)
