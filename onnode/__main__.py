"""`python3 …/onnode STEP`: run one step on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # started as a directory: make the package itself importable
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from onnode.dispatch import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
