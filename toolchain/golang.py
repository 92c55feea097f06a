"""The Go command: found, run in a fixed environment, its failures named."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.errors import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REQUIRED_GO = "1.26"
INSTALL_GO = (
    f"install Go {REQUIRED_GO} or newer (https://go.dev/dl, or a golang-{REQUIRED_GO} package) and put it on PATH"
)

# What a build must not inherit: a vendor mode, a workspace or a target platform of other projects.
FIXED_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    # Debug information takes a seventh of the compiler's time, and is stripped at the end.
    "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false -gcflags=all=-dwarf=false",
    "GOWORK": "off",
}
FOREIGN_VARIABLES = ("GOOS", "GOARCH", "GOEXPERIMENT")
KEPT_LINES = 40
BUILD_S = 3600.0  # ten times a first build on two cores
LOOK_S = 60.0


@dataclass(frozen=True)
class Go:
    """A Go command that is new enough for the pinned modules.

    Attributes:
        executable: Path of the command.
        platform: Version, operating system and architecture; part of what a build depends on.
    """

    executable: str
    platform: str

    def run(self, arguments: Sequence[str], directory: Path, on_line: Callable[[str], None]) -> str:
        """Run a Go command, handing each line of its progress to `on_line`, and return what it prints.

        Raises:
            ToolchainError: Named after the cause, when it fails.
        """
        return _run([self.executable, *arguments], directory, on_line)


def find_go(module: Path) -> Go:
    """Find a Go command that can build the module in that directory.

    Raises:
        ToolchainError: `go-missing`, or `go-too-old` when it is older than the pinned modules demand.
    """
    executable = shutil.which("go")
    if executable is None:
        raise ToolchainError(
            "go-missing",
            "the Go compiler is not installed",
            observed="no command named go on PATH",
            expected=f"Go {REQUIRED_GO} or newer",
            remedy=INSTALL_GO,
        )
    platform = _run([executable, "env", "GOVERSION", "GOHOSTOS", "GOHOSTARCH"], module, lambda _: None, LOOK_S)
    return Go(executable, " ".join(platform.split()))


def go_environment() -> dict[str, str]:
    """This process's environment, less what would change the build, with a home even where none is set."""
    inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    return {"HOME": str(Path.home()), **inherited, **FIXED_ENVIRONMENT}


def named_failure(output: str) -> ToolchainError:
    """Name the cause of a failed Go command by what it printed."""
    for (code, summary, expected, remedy), signs in KNOWN_FAILURES.items():
        for line in output.splitlines():
            if any(sign in line for sign in signs):
                return ToolchainError(code, summary, observed=line.strip(), expected=expected, remedy=remedy)
    return ToolchainError(
        "build-failed",
        "the Go build failed",
        observed=output.strip() or "no output",
        expected="the pinned modules compile with the pinned sums",
        remedy="run git status in toolchain/; local changes to go.mod, go.sum or sources are the usual cause",
    )


KNOWN_FAILURES: dict[tuple[str, str, str, str], tuple[str, ...]] = {
    (
        "disk-full",
        "the disk is full",
        "about 8 GB free for Go's caches and 1 GB for the results, for the first build",
        "free space, or point GOCACHE, GOMODCACHE, TMPDIR and NESTED_PVE_CACHE to a larger disk",
    ): ("no space left on device", "disk quota exceeded"),
    (
        "go-too-old",
        "the Go compiler is too old",
        f"Go {REQUIRED_GO} or newer",
        f"{INSTALL_GO}, or allow Go to fetch it: export GOTOOLCHAIN=auto",
    ): ("requires go >=", "requires go 1.", "invalid go version", "toolchain not available"),
    (
        "module-checksum-mismatch",
        "a Go module is not the one that was pinned",
        "the sum recorded in go.sum",
        "check the registry that GOPROXY names; never edit go.sum to make this pass",
    ): ("checksum mismatch", "SECURITY ERROR"),
    (
        "registry-unreachable",
        "a Go module could not be fetched",
        "a Go module proxy that serves the pinned modules",
        "set GOPROXY to a proxy that this machine reaches (go env -w GOPROXY=…), and HTTPS_PROXY if there is one; then run this again",
    ): (
        "dial tcp",
        "no such host",
        "i/o timeout",
        "connection refused",
        "connection reset",
        "network is unreachable",
        "TLS handshake",
        "x509:",
        "proxyconnect",
        "403 Forbidden",
        "404 Not Found",
        "410 Gone",
        "502 Bad Gateway",
        "503 Service",
        "module lookup disabled by GOPROXY=off",
    ),
}


def _run(command: Sequence[str], directory: Path, on_line: Callable[[str], None], limit_s: float = BUILD_S) -> str:
    tail: deque[str] = deque(maxlen=KEPT_LINES)
    with (
        tempfile.TemporaryFile("w+") as printed,
        subprocess.Popen(
            command,
            cwd=directory,
            env=go_environment(),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        late = threading.Timer(limit_s, process.kill)
        late.start()
        try:
            for line in process.stderr or ():
                tail.append(line)
                on_line(line.rstrip("\n"))
            process.wait(limit_s)
        except BaseException:
            process.kill()
            raise
        finally:
            late.cancel()
        if late.finished.is_set() and process.returncode == -signal.SIGKILL:
            raise _stuck(command, limit_s, "".join(tail))
        if process.returncode != 0:
            raise named_failure("".join(tail))
        printed.seek(0)
        return printed.read()


def _stuck(command: Sequence[str], limit_s: float, tail: str) -> ToolchainError:
    return ToolchainError(
        "build-stuck",
        "the Go command does not end",
        observed=f"`{' '.join(command[:2])}` was still at work after {limit_s:g} s; it said last: {tail.strip() or 'nothing'}",
        expected=f"an end within {limit_s:g} s",
        remedy="run this again: what is built and fetched is kept; look at the load of this machine and at its registry (go env GOPROXY)",
    )
