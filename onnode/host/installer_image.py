"""installer-image: the installer's image is on the host, downloaded by the host itself, with the described checksum.

It is written beside its place and moved there when its checksum is right: what is there under its name is whole. A mark beside it says
whose it is, and of which file it was made; so the image is read only once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import posixpath
import re
import urllib.request
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from onnode.contract.libvirt import InstallerImage
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import claims, ours

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

DOWNLOAD_S = 3600.0
SILENCE_S = 60.0  # between two parts of it
PART = 1 << 20
TELL_EVERY = 10  # percent
FILE = re.compile(r"^sha256 ([0-9a-f]{64}), (\d+) bytes$", re.MULTILINE)


@dataclass(frozen=True)
class Observed:
    """The image, and what its mark says of it."""

    size: int | None = None  # None: it is not there
    mark: str | None = None

    def whole(self, checksum: str) -> bool:
        """Whether it is the file of that checksum, as it was downloaded."""
        found = FILE.search(self.mark or "")
        return found is not None and (found[1], int(found[2])) == (checksum, self.size)


def unfinished(path: str) -> str:
    """What a download is written to."""
    return f"{posixpath.dirname(path)}/.{posixpath.basename(path)}.part"


def observe(machine: ThisMachine, desired: InstallerImage) -> Observed:
    """Look at the file and its mark."""
    path = machine.path(desired.path)
    return Observed(path.stat().st_size if path.is_file() else None, machine.read(claims.of_file(desired.path)))


def decide(observed: Observed, desired: InstallerImage) -> list[Action]:
    """Download what is not there, or is another file.

    Raises:
        StepError: foreign-file.
    """
    ours.refuse_foreign(claims.of_file(desired.path), observed.mark, desired.stack)
    if observed.mark is None and observed.size is not None:
        raise ours.foreign(desired.path, f"no mark in {claims.of_file(desired.path)}", "no such file")
    return [] if observed.whole(desired.checksum) else [Action("download", desired.url)]


def act(machine: ThisMachine, desired: InstallerImage, _action: Action) -> None:
    """Download it.

    Raises:
        StepError: iso-missing, iso-checksum, host-disk.
    """
    mark = claims.of_file(desired.path)
    machine.write(mark, machine.read(mark) or claims.text(desired.stack))
    try:
        digest, size = _download(machine, desired)
        if digest != desired.checksum:
            raise _wrong(desired, digest, size)
        machine.path(unfinished(desired.path)).replace(machine.path(desired.path))
    finally:
        machine.remove(unfinished(desired.path))
        if not machine.exists(desired.path):
            machine.remove(mark)
    machine.write(mark, claims.text(desired.stack, f"sha256 {digest}, {size} bytes"))


def _download(machine: ThisMachine, desired: InstallerImage) -> tuple[str, int]:
    """Its digest and its size."""
    try:
        with (
            contextlib.closing(_opened(desired.url)) as answer,
            machine.path(unfinished(desired.path)).open("wb") as file,
        ):
            return _copied(machine, answer, file)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StepError(
                "host-disk",
                "there is no room for the installer ISO",
                observed=f"{desired.path}: {error.strerror}",
                expected="room for an ISO, and as much for each node that is being installed",
            ) from None
        raise StepError(
            "iso-missing",
            "the installer ISO cannot be downloaded",
            observed=f"{desired.url}: {error or type(error).__name__}",
            expected=f"the ISO, within {DOWNLOAD_S:g} s",
        ) from None


def _opened(url: str) -> http.client.HTTPResponse:
    if not url.startswith(("http://", "https://")):
        raise ValueError("neither http nor https")
    answer: http.client.HTTPResponse = urllib.request.urlopen(url, timeout=SILENCE_S)  # noqa: S310 - see above
    return answer


def _copied(machine: ThisMachine, answer: http.client.HTTPResponse, file: IO[bytes]) -> tuple[str, int]:
    digest, size, told, whole = hashlib.sha256(), 0, 0, answer.length or 0
    deadline = machine.monotonic() + DOWNLOAD_S
    while part := answer.read(PART):
        if machine.monotonic() > deadline:
            raise TimeoutError(f"{size} bytes after {DOWNLOAD_S:g} s")
        digest.update(part)
        file.write(part)
        size += len(part)
        percent = size * 100 // whole if whole else 0
        if percent >= told + TELL_EVERY:
            told = percent
            machine.note(f"{percent} % of {whole >> 20} MiB")
    file.flush()
    os.fsync(file.fileno())
    if size < whole:
        raise http.client.IncompleteRead(b"", whole - size)
    return digest.hexdigest(), size


def _wrong(desired: InstallerImage, digest: str, size: int) -> StepError:
    return StepError(
        "iso-checksum",
        f"{desired.url} is not the described file",
        observed=f"sha256 {digest}, {size} bytes",
        expected=f"sha256 {desired.checksum}",
    )


def facts(observed: Observed, desired: InstallerImage) -> dict[str, Any]:
    """Where it is."""
    return {"path": desired.path, "bytes": observed.size}


def unchanged(_observed: Observed, desired: InstallerImage) -> str:
    """Say what was found."""
    return f"{desired.path} is the described file"


def differs(observed: Observed, desired: InstallerImage, _action: Action) -> str:
    """What is there instead."""
    found = FILE.search(observed.mark or "")
    if observed.size is None:
        return f"there is no {desired.path}"
    return f"{desired.path} has {observed.size} bytes, and was made of {found[0] if found else 'an unknown file'}"


STEP = Step(
    InstallerImage,
    observe,
    decide,
    act,
    facts,
    unchanged,
    lock="none",  # it takes long and touches nothing else: other steps go on
    scope=lambda _desired: "installer-image",
    lock_wait_s=lambda _desired: DOWNLOAD_S,
    differs=differs,
)
