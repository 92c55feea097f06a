"""The machine under a step: bounded commands, files and a clock, behind one narrow interface that tests replace."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from onnode.errors import StepError
from onnode.system.reader import EndedError, HungError, Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

KILL_GRACE_S = 5.0
KILLED_S = 1.0  # what is still there hangs in the kernel
PVE_READ_S = 10.0
PVE_READ_ATTEMPTS = 20
PVE_READ_PAUSE_S = 0.02
CONNECT_S = 3.0
UTF_8 = ("utf-8", "surrogateescape")  # bytes that are no UTF-8 survive reading, the journal, and writing
LOOK_EVERY_S = 0.25  # a look costs little; what a step waits for is on the way of all that comes after it
LOOK_EVERY_MAX_S = 2.0  # a busy machine gets a rest as long as the look took
TIMED_OUT = 124  # as coreutils' timeout(1)
NOT_FOUND = 127  # as the shell
SHORTEST_SECRET = 4
LINE_MAX = 8192  # characters of a line on standard error
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
    "NEEDRESTART_SUSPEND": "1",  # needrestart would restart corosync and pveproxy under a step's feet
}


@dataclass(frozen=True)
class Result:
    """How a command ended. Exit codes of Proxmox tools prove nothing (F3); callers look at the machine instead."""

    argv: tuple[str, ...]
    code: int
    out: str = ""
    err: str = ""

    @property
    def text(self) -> str:
        """Everything it said, trimmed."""
        return "\n".join(part for part in (self.out.strip(), self.err.strip()) if part)

    @property
    def timed_out(self) -> bool:
        """Whether it was ended because its time was up."""
        return self.code == TIMED_OUT


def tail(text: str, lines: int = 8) -> str:
    """The last lines of a command's output, on one line, for an error message."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-lines:] if line.strip()) or "(no output)"


def bounded(text: str) -> str:
    """The text with no line that hangs its reader: the published command plugin takes lines of 64 KiB at most."""
    return "\n".join(line if len(line) <= LINE_MAX else f"{line[:LINE_MAX]} …" for line in text.split("\n"))


class ThisMachine:
    """The machine that a step runs on: its files, its programs, its clocks.

    Args:
        root: where its file system starts; tests use a directory of their own.
    """

    # A hung pmxcfs blocks whoever reads it, beyond the reach of signals: never read it in this process.
    may_hang: tuple[str, ...] = ("/etc/pve/", "/root/.ssh/authorized_keys")  # the latter is a link into it

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._secrets: list[str] = []
        self._readers = threading.local()

    # -- what people see -------------------------------------------------------------------------------------------

    def hide(self, *secrets: str) -> None:
        """Never let these texts, or a line of them, reach a message or a result."""
        for secret in secrets:
            self._secrets += [line.strip() for line in secret.splitlines() if len(line.strip()) >= SHORTEST_SECRET]
        self._secrets.sort(key=len, reverse=True)

    def scrub(self, text: str) -> str:
        """The text without the hidden secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return text

    def note(self, text: str) -> None:
        """One progress line. Nobody may be listening any more (the program was killed): the step goes on."""
        with contextlib.suppress(OSError):
            sys.stderr.write(bounded(self.scrub(text).rstrip()) + "\n")
            sys.stderr.flush()

    # -- time ------------------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since 1970, as this machine believes."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def wait_for(self, probe: Callable[[], T | None], timeout_s: float) -> T | None:
        """Ask until the answer is true or the time is up; the last answer, or None."""
        began = self.monotonic()
        deadline = began + timeout_s
        while not (answer := probe()):
            if (now := self.monotonic()) >= deadline:
                return None
            self.sleep(max(LOOK_EVERY_S, min(now - began, LOOK_EVERY_MAX_S)))
            began = self.monotonic()
        return answer

    # -- commands --------------------------------------------------------------------------------------------------

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout_s: float = 60.0) -> Result:
        """Run a program for a bounded time, and return how it ended.

        It gets a process group of its own; when its time is up the whole group is ended, politely first.
        A missing program is code 127.
        """
        code, out, err = self._run(argv, stdin, timeout_s)
        return Result(tuple(argv), code, _printed(out), _printed(err))

    def _run(self, argv: Sequence[str], stdin: str, timeout_s: float) -> tuple[int, bytes, bytes]:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",  # pvecm refuses to work from inside /etc/pve
                env=ENVIRONMENT,
                start_new_session=True,
            )
        except FileNotFoundError:
            return NOT_FOUND, b"", f"{argv[0]}: command not found".encode()
        try:
            out, err = process.communicate(stdin.encode(*UTF_8), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return TIMED_OUT, *_end(process)
        except BaseException:
            _end(process)
            raise
        return process.returncode, out, err

    def check(self, argv: Sequence[str], *, stdin: str = "", timeout_s: float = 60.0) -> str:
        """Run a program that must succeed; what it printed.

        Raises:
            StepError: command-missing, command-timeout or command-failed.
        """
        result = self.run(argv, stdin=stdin, timeout_s=timeout_s)
        command = " ".join(argv[:3])
        if result.code == NOT_FOUND:
            raise StepError("command-missing", f"{argv[0]} is not installed", expected=f"{argv[0]} in PATH")
        if result.timed_out:
            raise StepError(
                "command-timeout",
                f"`{command}` did not end",
                observed=f"after {timeout_s:g} s: {tail(result.text)}",
                expected=f"an end within {timeout_s:g} s",
            )
        if result.code != 0:
            raise StepError(
                "command-failed", f"`{command}` failed", observed=f"exit {result.code}: {tail(result.text)}"
            )
        return result.out

    # -- the API of this machine ------------------------------------------------------------------------------------

    def served_certificate(self, port: int, address: str = "127.0.0.1") -> str | None:
        """The certificate that this machine's own service presents; None if it does not answer."""
        from onnode.system import own_api  # noqa: PLC0415 - see there

        return own_api.certificate(port, address)

    def can_log_in(self, user: str, password: str, is_own: Callable[[str | None], bool]) -> bool:
        """Whether the API of this machine accepts these credentials.

        Args:
            user: name@realm.
            password: sent only over a connection whose certificate was looked at: any program may listen where no API runs.
            is_own: whether a certificate, PEM, is the one that this machine holds.

        Raises:
            StepError: api-down, api-certificate.
        """
        from onnode.system import own_api  # noqa: PLC0415 - see there

        return own_api.accepts(self, user, password, is_own)

    # -- other machines ---------------------------------------------------------------------------------------------

    def is_at(self, address: str, port: int) -> bool:
        """Whether a machine has that address: it answers a connection, or refuses it."""
        try:
            with socket.create_connection((address, port), timeout=CONNECT_S):
                return True
        except ConnectionRefusedError:
            return True
        except OSError:
            return False

    # -- files -----------------------------------------------------------------------------------------------------

    def path(self, path: str) -> Path:
        """Where that absolute path of the machine really is."""
        return self._root / path.lstrip("/")

    def read(self, path: str) -> str | None:
        """A file's text, line ends as they are; None if there is no such file.

        What is no UTF-8 stands for itself in it (PEP 383): :meth:`write` gives back the same bytes.

        Raises:
            StepError: pve-filesystem-hangs.
        """
        if path.startswith(self.may_hang):
            return self._read_outside(path)
        try:
            return self.path(path).read_bytes().decode(*UTF_8)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def _read_outside(self, path: str) -> str | None:
        """Read by another process; again where it finds none that is listed.

        FUSE reports a file missing that is replaced between the look at its name and its opening. To take a member's
        corosync.conf for missing because another node joins at that moment would be grave.
        """
        for _ in range(PVE_READ_ATTEMPTS):
            text = self._outside(path, lambda reader: reader.file(path, PVE_READ_S))
            if text is not None:
                return text.decode(*UTF_8)
            if Path(path).name not in self.names(str(Path(path).parent)):
                break
            self.sleep(PVE_READ_PAUSE_S)  # whoever replaces it may be waiting for a processor
        return None

    def names(self, directory: str) -> list[str]:
        """What a directory holds, sorted; nothing if there is no such directory.

        Raises:
            StepError: pve-filesystem-hangs.
        """
        if f"{directory}/".startswith(self.may_hang):
            found = self._outside(directory, lambda reader: reader.names(directory, PVE_READ_S))
            return sorted(name.decode(*UTF_8) for name in found)
        try:
            return sorted(entry.name for entry in self.path(directory).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _outside(self, path: str, ask: Callable[[Reader], T]) -> T:
        """Ask the process that reads for this thread; after one that hangs there will be another."""
        reader = self._readers.__dict__.pop("own", None) or Reader()
        try:
            answer = ask(reader)
        except HungError:
            reader.end()
            raise StepError(
                "pve-filesystem-hangs",
                f"{path} cannot be read",
                observed=f"no answer from /etc/pve within {PVE_READ_S:g} s",
            ) from None
        except EndedError:
            raise StepError(
                "command-failed", f"the process that reads {path} was ended", observed="no answer"
            ) from None
        self._readers.own = reader
        return answer

    def exists(self, path: str) -> bool:
        """Whether a file or directory is there (never to be asked about /etc/pve)."""
        return self.path(path).exists()

    def free_bytes(self, path: str) -> int:
        """How much more fits on the file system of a path; only one of its parents need be there."""
        place = self.path(path)
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def write(self, path: str, text: str, mode: int | None = None) -> None:
        """Put a file in place whole, or not at all; it keeps its owner, and without a mode its mode, or gets 0644."""
        target = self.path(path)
        if target.is_symlink():
            target = target.resolve()  # the link stays: what it leads to is changed
        target.parent.mkdir(parents=True, exist_ok=True)
        before = target.stat() if target.exists() else None
        if mode is None:
            mode = 0o644 if before is None else stat.S_IMODE(before.st_mode)
        fresh = target.with_name(f".{target.name}.nested-pve-ha-new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            if before is not None:
                os.fchown(stream.fileno(), before.st_uid, before.st_gid)
            os.fchmod(stream.fileno(), mode)
            stream.write(text.encode(*UTF_8))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(target)

    def remove(self, path: str) -> None:
        """Make sure that a file is not there."""
        self.path(path).unlink(missing_ok=True)

    def remove_empty(self, directory: str) -> None:
        """Remove a directory, and the empty ones below it, unless a file is in it."""
        for folder, _folders, _files in os.walk(self.path(directory), topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)  # noqa: PTH106 - walk gives texts

    def holds_files(self, directory: str) -> bool:
        """Whether anything but directories is below a directory."""
        return any(files for _folder, _folders, files in os.walk(self.path(directory)))

    def remove_tree(self, directory: str) -> None:
        """Make sure that a directory, or a file, is not there, whatever is in it."""
        target = self.path(directory)
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink(missing_ok=True)


def _end(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """End a process group: TERM, then KILL; what it said until then. Never waits long, not even for the unkillable."""
    for number, grace_s in ((signal.SIGTERM, KILL_GRACE_S), (signal.SIGKILL, KILLED_S)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            return process.communicate(timeout=grace_s)
        except subprocess.TimeoutExpired as expired:
            said = expired
    return said.stdout or b"", said.stderr or b""


def _printed(said: bytes) -> str:
    """What a program printed, as text that every message can carry."""
    return said.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
