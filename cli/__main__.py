"""`python -m cli`: the commands of daily work."""

from __future__ import annotations

import gc
import locale
import os
import sys


def _like_everybody() -> None:
    """Use the same file modes, and UTF-8, whatever the caller's settings are."""
    os.umask(0o022)
    if sys.flags.utf8_mode or locale.getencoding().upper().replace("-", "") == "UTF8":
        return
    # Python chooses its encoding at its start only.
    os.execv(sys.executable, [sys.executable, "-X", "utf8", "-m", "cli", *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    _like_everybody()
    # Imports make much that stays; looking through it again and again for garbage takes a third of the start.
    gc.set_threshold(100_000)
    from cli.main import main

    main()
