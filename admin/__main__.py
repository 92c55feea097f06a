"""`python -m admin`: the commands of daily work, and the steps that the engine runs here."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # A step loads only what it needs: a run of the program starts two dozen of them.
    if sys.argv[1:2] == ["step"]:
        from admin.step import call

        sys.exit(call(sys.argv[2:]))
    from admin.cli import main

    main()
