"""A downloaded image, as recorded and as its directory shows it. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cli.drift.comparing import Difference, text
from cli.drift.kinds import REMADE
from components.recorded import FILE_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SHOWN = 12  # of a checksum
UNTOUCHED = "-"
# Prints the size, the line of `stat`, and the checksum of an image. The checksum means to read the image whole, so it is left out
# (`-`) if the file was not touched: its `stat` is the remembered one, or, if none is remembered, it is older than its resource.
_LOOK = """\
image() {
if [ -f "$1" ]; then
printf '=== %s\\n' "$1"; stat -L -c %s -- "$1"; now=$(stat -L -c '%i %s %.9Y %.9Z' -- "$1"); printf '%s\\n' "$now"
if [ "$now" = "$3" ] || { [ -z "$3" ] && [ -n "$(find -L "$1" ! -newerct "$2")" ]; }; then echo -; else sha256sum -- "$1"; fi
fi
}
"""


def question(recorded: Iterable[Mapping[str, Any]], host: str, directory: str, known: Mapping[str, str]) -> str:
    """The command that looks at the images that are recorded of a host; empty when there are none.

    Args:
        recorded: resources of the provider's.
        host: its name.
        directory: where its images are.
        known: by path, checksum and `stat` of the file when it was found intact.
    """
    asked = [
        f"image {shlex.quote(path)} @{_made(image):f} {shlex.quote(_known(known.get(path, ''), image))}\n"
        for path, image in _of_host(recorded, host, directory)
    ]
    return "".join([_LOOK, *asked]) if asked else ""


def _of_host(
    recorded: Iterable[Mapping[str, Any]], host: str, directory: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for image in recorded:
        if image["type"] == FILE_TYPE and image["inputs"].get("nodeName") == host:
            yield f"{directory}/{image['inputs']['fileName']}", image


def _known(remembered: str, image: Mapping[str, Any]) -> str:
    """The `stat` of the file when it had the recorded checksum; empty when it had another one."""
    checksum, _, stat = remembered.partition(" ")
    return stat if checksum == _checksum(image["inputs"]) else ""


def _checksum(inputs: Mapping[str, Any]) -> str:
    return str(inputs.get("checksum") or "").lower()


def intact(
    recorded: Iterable[Mapping[str, Any]], host: str, directory: str, files: Mapping[str, str]
) -> dict[str, str]:
    """By path, checksum and `stat` of the images that are as recorded, in the form that :func:`question` takes."""
    found = {}
    for path, image in _of_host(recorded, host, directory):
        seen, wanted = _Printed.of(files.get(path, "")), _checksum(image["inputs"])
        other = differs(image["inputs"], image.get("outputs") or {}, files)
        if other is None and wanted and seen.stat and seen.content in (UNTOUCHED, wanted):
            found[path] = f"{wanted} {seen.stat}"
    return found


@dataclass(frozen=True)
class _Printed:
    """What the command printed about an image; empty if the image could not be looked at.

    Attributes:
        size: in bytes.
        stat: inode, size and times.
        content: its checksum, or UNTOUCHED.
    """

    size: str
    stat: str
    content: str

    @classmethod
    def of(cls, text: str) -> _Printed:
        size, stat, content, *_ = [*text.split("\n"), "", ""]
        return cls(size, stat, content.partition(" ")[0])


def _made(image: Mapping[str, Any]) -> float:
    """When the resource was made, in seconds since 1970; 0 for an adopted one, which has no such time."""
    made = image.get("created")
    return datetime.fromisoformat(made).timestamp() if made else 0


def differs(inputs: Mapping[str, Any], outputs: Mapping[str, Any], files: Mapping[str, str]) -> Difference | None:
    """Whether it is gone, or of another size or content.

    The provider does not compare content, and records whatever size it finds. Only a replaced resource is downloaded again.
    """
    name, size = str(inputs["fileName"]), text(outputs.get("size"))
    path, there = next(((path, text) for path, text in files.items() if path.endswith(f"/{name}")), (name, None))
    if there is None:
        return Difference(f"image {name} is gone")
    seen, wanted = _Printed.of(there), _checksum(inputs)
    if not seen.size.isdigit():
        return None  # it could not be looked at
    if size is not None and seen.size != size:
        return Difference(f"{path}: {seen.size} bytes, not {size}", REMADE)
    if wanted and seen.content not in ("", UNTOUCHED, wanted):
        return Difference(f"{path}: checksum {seen.content[:SHOWN]}…, not {wanted[:SHOWN]}…", REMADE)
    return None
