"""A downloaded image, as recorded and as its directory shows it. Pure."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Any

from admin.drift.comparing import Difference, text
from admin.drift.kinds import ANEW

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FILE = "proxmoxve:download/file:File"
SHOWN = 12  # of a checksum
# Its size; and its checksum where it was touched since, for that means to read it whole.
_LOOK = """\
image() {
if [ -f "$1" ]; then printf '=== %s\\n' "$1"; stat -L -c %s -- "$1"; find -L "$1" -newerct "$2" -exec sha256sum -- {} +; fi
}
"""


def question(recorded: Iterable[Mapping[str, Any]], host: str, directory: str) -> str:
    """The command that looks at the images that are recorded of a host; empty when there are none."""
    there = [image for image in recorded if image["type"] == FILE and image["inputs"].get("nodeName") == host]
    paths = (shlex.quote(f"{directory}/{image['inputs']['fileName']}") for image in there)
    asked = [f"image {path} @{_made(image):f}\n" for path, image in zip(paths, there, strict=True)]
    return "".join([_LOOK, *asked]) if asked else ""


def _made(image: Mapping[str, Any]) -> float:
    """When it was made, in seconds since 1970; what was adopted has no such time, and is read whole."""
    made = image.get("created")
    return datetime.fromisoformat(made).timestamp() if made else 0


def differs(inputs: Mapping[str, Any], outputs: Mapping[str, Any], files: Mapping[str, str]) -> Difference | None:
    """Whether it is gone, or of another size or content.

    The provider takes these for granted, and records the size; only what it makes anew is downloaded over what is there.
    """
    name, size = str(inputs["fileName"]), text(outputs.get("size"))
    path, there = next(((path, text) for path, text in files.items() if path.endswith(f"/{name}")), (name, None))
    if there is None:
        return Difference(f"image {name} is gone")
    found, *touched = there.split("\n")
    if not found.isdigit():
        return None  # it could not be looked at
    if size is not None and found != size:
        return Difference(f"{path}: {found} bytes, not {size}", ANEW)
    wanted = str(inputs.get("checksum") or "").lower()
    sums = [line.split()[0] for line in touched if line.split()]
    if wanted and sums and sums[0] != wanted:
        return Difference(f"{path}: checksum {sums[0][:SHOWN]}…, not {wanted[:SHOWN]}…", ANEW)
    return None
