"""Byte code for the machines' Python, which looks for all of it in one place that they share.

The stand-ins' code is mounted read-only, so the byte code of it is kept elsewhere; and where it is kept, Python looks for
that of Debian's modules, too. The image has those compiled: without a link to it, every new lab compiles them anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.settings import Settings

PLACE = "pycache"  # below the machines' common directory
COMPILED = "usr/lib/python3*/**/__pycache__/*.pyc"


def link(settings: Settings) -> None:
    """Show Python the image's own byte code where it looks for it; what is out of date it replaces by itself."""
    place = settings.state / "world" / PLACE
    for file in settings.image.glob(COMPILED):
        inside = file.relative_to(settings.image)
        shown = place / inside.parent.parent / inside.name
        shown.parent.mkdir(parents=True, exist_ok=True)
        shown.symlink_to(Path("/") / inside)
