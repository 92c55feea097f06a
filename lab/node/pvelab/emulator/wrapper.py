"""What libvirt starts as its emulator: Debian's QEMU, with another command line than it was given.

Where the machine has no /dev/kvm, or QEMU's user may not use it, QEMU gets the command line as it is and refuses in its own words.
"""

from __future__ import annotations

import os
import sys

from pvelab.emulator import command_line, paths, probe


def main() -> int:
    """Start QEMU in this process, or beside it where it is only asked what it can."""
    arguments = sys.argv[1:]
    os.environ.pop("PYTHONPATH", None)
    kvm = command_line.asks_for_kvm(arguments)
    usable = os.access(paths.KVM, os.R_OK | os.W_OK, effective_ids=True)  # libvirt lets its probe use any device
    if kvm and usable and command_line.is_probe(arguments):
        return probe.run(paths.QEMU, arguments)
    if kvm and usable:
        arguments = command_line.without_kvm(arguments)
    if command_line.value(arguments, "-uuid"):
        arguments = command_line.idle(arguments)
    os.execv(paths.QEMU, [paths.EMULATOR, *arguments])  # noqa: S606 - becomes QEMU
    return 1


if __name__ == "__main__":
    sys.exit(main())
