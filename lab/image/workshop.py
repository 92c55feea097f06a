"""A scratch copy of the image in which the lab runs Debian's own tools, so that the machine below needs few."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.programs import run

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import Settings


def path(settings: Settings) -> Path:
    """Its root directory."""
    return settings.memory / "workshop" / "root"


def mount(settings: Settings) -> Path:
    """Mount it, once per life of the lab's mount namespace."""
    root = path(settings)
    for directory in ("root", "upper", "work"):
        (root.parent / directory).mkdir(parents=True)
    layers = f"lowerdir={settings.image},upperdir={root.parent / 'upper'},workdir={root.parent / 'work'},volatile"
    run(["mount", "-t", "overlay", "-o", layers, "overlay-workshop", str(root)])
    run(["mount", "--bind", "/dev", str(root / "dev")])
    run(["mount", "-t", "proc", "proc", str(root / "proc")])
    return root


def command(settings: Settings, *words: str) -> list[str]:
    """The command line that runs `words` in the workshop, where the caller's home does not exist."""
    return ["chroot", str(path(settings)), "env", "HOME=/root", *words]
