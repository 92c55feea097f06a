"""`python -m admin`: the commands of daily work, and the steps that the engine runs here."""

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
    os.execv(sys.executable, [sys.executable, "-X", "utf8", "-m", "admin", *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    _like_everybody()
    # A step loads only what it needs: a run of the program starts two dozen of them.
    if sys.argv[1:2] == ["step"]:
        from admin.step import call

        sys.exit(call(sys.argv[2:]))
    from admin.cli import main

    main()
