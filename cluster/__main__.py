"""`python -m cluster STEP`: run one step on the control machine; the engine starts these."""

from __future__ import annotations

import sys

from cluster.call import call

if __name__ == "__main__":
    sys.exit(call(sys.argv[1:]))
