"""A downloaded image, as recorded and as its directory shows it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from admin.drift.comparing import Difference, text
from admin.drift.kinds import ANEW

if TYPE_CHECKING:
    from collections.abc import Mapping


def differs(inputs: Mapping[str, Any], outputs: Mapping[str, Any], files: Mapping[str, str]) -> Difference | None:
    """Whether it is gone, or of another size.

    The provider takes another size for granted, and records it; only what it makes anew is downloaded over what is there.
    """
    name, size = str(inputs["fileName"]), text(outputs.get("size"))
    path, there = next(((path, text) for path, text in files.items() if path.endswith(f"/{name}")), (name, None))
    if there is None:
        return Difference(f"image {name} is gone")
    found = there.strip()
    if size is None or found == size:
        return None
    return Difference(f"{path}: {found} bytes, not {size}", ANEW)
