"""Runs pip in this process, so that what asks this to end asks pip; of a failure it says the next step.

    .venv/bin/python -P tools/installing.py MESSAGE install …

MESSAGE is said last when pip fails: an error's name, and what to do. Not after Ctrl-C, which has a name of its own.
"""

from __future__ import annotations

import runpy
import signal
import sys


def main(message: str) -> None:
    """Run pip with the rest of the arguments; ends as pip does."""
    interrupted = []

    def interrupt(_number: int, _frame: object) -> None:
        interrupted.append(True)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code and not interrupted:
            sys.stderr.write(f"\n{message}\n")
        raise


if __name__ == "__main__":
    main(sys.argv.pop(1))
