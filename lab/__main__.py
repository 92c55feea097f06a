"""`python -m lab …`; see `lab.cli`, which has all its commands.

What every `make` and nearly every test calls, the way in and the look whether the lab runs, is done without the library of
the command line: it takes longer to load than all the rest.
"""

from __future__ import annotations

import sys

from tools import attended


def main(arguments: list[str]) -> int:
    """Run the command line; its exit code."""
    attended.interrupt_once()
    match arguments:
        case ["run", "--", _, *_]:
            return _run(0, arguments[2:])
        case ["run", "--caller", caller, "--", _, *_] if caller.isdecimal():
            return _run(int(caller), arguments[4:])
    if arguments == ["up"] and _is_up():
        sys.stdout.write("  lab is already up\n")
        return 0
    from lab import cli  # noqa: PLC0415 - see above

    return cli.main()


def _run(caller: int, command: list[str]) -> int:
    from lab.errors import LabError  # noqa: PLC0415
    from lab.settings import Settings  # noqa: PLC0415
    from lab.world import host, lifecycle  # noqa: PLC0415

    try:
        host.require_root("run")
        return lifecycle.enter(Settings.from_environment(), command, caller)
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:  # before the command began
        sys.stderr.write(f"\n{attended.INTERRUPTED}\n")
        return 130


def _is_up() -> bool:
    """Whether the lab that `up` makes runs already."""
    from lab.options import Options  # noqa: PLC0415
    from lab.settings import Settings  # noqa: PLC0415
    from lab.world import lifecycle  # noqa: PLC0415

    return lifecycle.running_options(Settings.from_environment()) == Options()


if __name__ == "__main__":
    attended.end(main(sys.argv[1:]))
