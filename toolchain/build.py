"""Builds the parts into a cache, each under a key of everything that it is made from."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from toolchain.golang import named_failure
from toolchain.locking import exclusive

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from toolchain.golang import Go
    from toolchain.parts import ModuleFile, Part

UNFINISHED = ".building-"
LOCK = ".lock"
KEY_DIGITS = 16
GENERATE_S = 600
STRIP = "-s -w"


class Progress(Protocol):
    """Hears how far the build of a part is."""

    def stage(self, part: Part, stage: str, packages: int) -> None:
        """A stage begins in which that many packages are compiled."""

    def line(self, line: str) -> None:
        """Go names a package that it compiled, or a module that it downloads."""


def cache_root() -> Path:
    """Where builds are kept: NESTED_PVE_CACHE, else the user's cache directory."""
    configured = os.environ.get("NESTED_PVE_CACHE")
    if configured:
        return Path(configured) / "toolchain"
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user_cache) / "nested-pve-ha" / "toolchain"


def key(part: Part, go: Go) -> str:
    """Name of a build: it changes with the sources, the pins, the recipe and the Go release."""
    digest = hashlib.sha256(repr((go.platform, part.package, part.linker_flags, part.module_files)).encode())
    for path in _source_files(part):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"\0{path.relative_to(part.sources)}\0{content}".encode())
    return f"{part.name}-{part.version}-{digest.hexdigest()[:KEY_DIGITS]}"


def ensure_built(part: Part, go: Go, progress: Progress) -> Path:
    """Return the directory with the part's files, building it first unless the cache has it.

    Raises:
        ToolchainError: Named after the cause, when the build fails. The cache is then as it was before.
    """
    finished = cache_root() / key(part, go)
    if finished.is_dir():
        return finished
    with exclusive(cache_root() / LOCK):
        _remove(cache_root().glob(f"{UNFINISHED}*"))  # of killed builds: whoever works holds the lock
        if not finished.is_dir():
            _build(part, go, finished, progress)
    return finished


def remove_all() -> None:
    """Delete every build, finished or not, and what holds them; waits for one that is going on."""
    root = cache_root()
    with exclusive(root / LOCK):
        _remove(path for path in root.iterdir() if path.is_dir())
        (root / LOCK).unlink()
    with suppress(OSError):  # not empty: somebody builds again, or the lab's cache is beside it
        root.rmdir()
        if not os.environ.get("NESTED_PVE_CACHE"):
            root.parent.rmdir()


def _source_files(part: Part) -> list[Path]:
    """Every file of the module, less its tests and what its generator writes."""
    generated = part.sources / part.generated if part.generated else None
    files = (path for path in part.sources.rglob("*") if path.is_file() and not path.name.endswith("_test.go"))
    return sorted(path for path in files if generated not in path.parents)


def _remove(builds: Iterable[Path]) -> None:
    for path in builds:
        shutil.rmtree(path)


def _build(part: Part, go: Go, finished: Path, progress: Progress) -> None:
    with _workplace(finished.parent) as workplace:
        job = _Job(part, go, workplace / "sources", progress)
        shutil.copytree(part.sources, job.sources)
        result = workplace / "result"
        result.mkdir()
        if part.generator:
            generator = workplace / "generator"
            job.compile(part.generator, generator)
            _generate(generator, job.sources / part.generated, workplace)
        job.compile(part.package, result / part.binary)
        for file in part.module_files:
            job.copy_from_module(file, result)
        _flush(result)
        result.rename(finished)
        _flush_directory(finished.parent)


@contextmanager
def _workplace(root: Path) -> Iterator[Path]:
    """A directory on the cache's own file system, so that the last step is a rename."""
    path = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=root))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@dataclass(frozen=True)
class _Job:
    """The build of one part from its own copy of the sources."""

    part: Part
    go: Go
    sources: Path
    progress: Progress

    def compile(self, package: str, output: Path) -> None:
        self.progress.stage(self.part, f"resolving modules of {output.name}", 0)
        stale = self._go("list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", package)
        self.progress.stage(self.part, f"compiling {output.name}", len(stale.split()))
        flags = f"{STRIP} {self.part.linker_flags}".strip()
        self._go("build", "-v", "-ldflags", flags, "-o", str(output), package)

    def copy_from_module(self, file: ModuleFile, into: Path) -> None:
        module = Path(self._go("list", "-m", "-f", "{{.Dir}}", file.module).strip())
        copy = into / Path(file.path).name
        shutil.copyfile(module / file.path, copy)
        copy.chmod(0o755)

    def _go(self, *arguments: str) -> str:
        return self.go.run(arguments, self.sources, self.progress.line)


def _generate(generator: Path, into: Path, workplace: Path) -> None:
    """Let the generator write the plugin's schema; a home of its own keeps it away from the user's Pulumi."""
    try:
        done = subprocess.run(
            [generator, "schema", "--out", into, "--skip-docs", "--skip-examples"],
            env={**os.environ, "PULUMI_HOME": str(workplace / "generator-home")},
            capture_output=True,
            text=True,
            timeout=GENERATE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise named_failure(str(error)) from None
    if done.returncode != 0:
        raise named_failure(done.stdout + done.stderr)


def _flush(directory: Path) -> None:
    """Bring every file to the disk before the rename makes it visible: a power cut leaves all or nothing."""
    for path in directory.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _flush_directory(directory)


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
