"""`python -m cli`: the commands of daily work."""

from __future__ import annotations

import locale
import os
import sys


def _like_everybody() -> None:
    """Whoever calls: files are made with the same modes, and text is UTF-8."""
    os.umask(0o022)
    if sys.flags.utf8_mode or locale.getencoding().upper().replace("-", "") == "UTF8":
        return
    # Python chooses at its start, and only then.
    os.execv(sys.executable, [sys.executable, "-X", "utf8", "-m", "cli", *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    _like_everybody()
    from cli.main import main

    main()
