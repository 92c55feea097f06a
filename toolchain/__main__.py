"""`python -m toolchain …`; see `toolchain.cli`, which has all its commands.

What every `make` asks, whether all is built and installed, is answered without the library of the command line: it takes
longer to load than all the rest.
"""

from __future__ import annotations

import sys
import time

from toolchain import build, home, parts
from toolchain.errors import ToolchainError
from toolchain.golang import find_go
from tools import attended


def main(arguments: list[str]) -> None:
    """Run the command line."""
    attended.interrupt_once()
    try:
        if arguments == ["install"] and _is_ready():
            return
        from toolchain import cli  # noqa: PLC0415 - see above

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


def _is_ready() -> bool:
    """Whether everything is built, and only had to be put in place at most."""
    started = time.monotonic()
    if home.users_home() is not None or home.users_pulumi_left_alone() is not None:
        return False  # which is reported
    try:
        go = find_go(parts.ENGINE.sources)
        builds = {part: build.cache_root() / build.key(part, go) for part in parts.PARTS}
        if not all(built.is_dir() for built in builds.values()):
            return False
        own = home.own_home()
        home.place(own, builds)
    except (OSError, ToolchainError):
        return False  # met again, and named
    sys.stderr.write(f"toolchain ready in {own.path} ({time.monotonic() - started:.1f} s)\n")
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
