"""exportfs of the lab: -r(a) exports what the files say, -u(a) nothing, -s and -v list."""

from __future__ import annotations

import argparse
import sys

from pvelab.nfs_server import exports


def main() -> int:
    """Dispatch."""
    parser = argparse.ArgumentParser(prog="exportfs")
    for letter in "arusvf":
        parser.add_argument(f"-{letter}", action="store_true")
    options = parser.parse_args()
    try:
        if options.u and options.a:
            exports.apply([])
        elif options.r or options.a:
            exports.apply(exports.configured())
        elif not options.f:
            for export in exports.current():
                sys.stdout.write(f"{export.path}  {export.client}({export.options})\n")
    except exports.ExportError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
