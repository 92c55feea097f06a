"""modprobe of the lab: loads and unloads the kernel stand-in's modules."""

from __future__ import annotations

import argparse
import sys

from pvelab.kernel import modules as kernel


def main() -> int:
    """Understands -r, -a, -v, -q, -n and --first-time, and module parameters."""
    parser = argparse.ArgumentParser(prog="modprobe")
    parser.add_argument("-r", "--remove", action="store_true")
    parser.add_argument("-a", "--all", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("-n", "--dry-run", "--show", action="store_true")
    parser.add_argument("--first-time", action="store_true")
    parser.add_argument("words", nargs="+")
    options = parser.parse_args()
    names = [kernel.canonical(word) for word in options.words]
    parameters: dict[str, str] = {}
    if not (options.remove or options.all):
        parameters = dict(word.split("=", 1) for word in options.words[1:] if "=" in word)
        names = names[:1]
    try:
        for name in names:
            _apply(name, parameters, options)
    except kernel.ModuleError as error:
        if not options.quiet:
            sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _apply(name: str, parameters: dict[str, str], options: argparse.Namespace) -> None:
    present = name in kernel.loaded()
    if options.remove:
        if not present and options.first_time:
            raise kernel.ModuleError(f"modprobe: FATAL: Module {name} is not in kernel.")
        if not present and name not in kernel.KNOWN:
            raise kernel.ModuleError(kernel.MISSING.format(name=name, release=kernel.release()))
        if options.verbose and present:
            sys.stdout.write(f"rmmod {name}\n")
        if not options.dry_run:
            kernel.unload(name)
        return
    if present and options.first_time:
        raise kernel.ModuleError(f"modprobe: ERROR: could not insert '{name}': Module already in kernel")
    chosen = kernel.configured_options(name) | parameters
    if options.verbose and not present:
        words = " ".join(f"{key}={value}" for key, value in chosen.items())
        sys.stdout.write(f"insmod /lib/modules/{kernel.release()}/kernel/{name}.ko {words}".rstrip() + "\n")
    if not options.dry_run:
        kernel.load(name, chosen)


if __name__ == "__main__":
    sys.exit(main())
