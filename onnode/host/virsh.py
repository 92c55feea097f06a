"""How libvirt is asked to do something: by its own client. Its known complaints get names of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from onnode.errors import StepError

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

VIRSH = ("virsh", "--connect", "qemu:///system", "--quiet")
STDIN = "/dev/stdin"  # what is defined needs no file of its own
ASK_S = 60.0
# The first that matches names it.
COMPLAINTS = (
    (
        "kvm-inaccessible",
        re.compile(r"[Cc]ould not access KVM kernel module|failed to initialize kvm|(?:virt |domain)type[= ]'?kvm"),
    ),
    (
        "libvirt-down",
        re.compile(r"[Ff]ailed to connect (?:socket|to the hypervisor)|Cannot recv data|End of file while"),
    ),
    ("libvirt-denied", re.compile(r"apparmor|virt-aa-helper|'/[^']*'[^|']*: Permission denied", re.IGNORECASE)),
)


def virsh(machine: ThisMachine, *arguments: str, stdin: str = "", timeout_s: float = ASK_S) -> str:
    """Run a command of libvirt's client, which must succeed; what it printed.

    Raises:
        StepError: kvm-inaccessible, libvirt-down, libvirt-denied, and those of :meth:`ThisMachine.check`.
    """
    try:
        return machine.check([*VIRSH, *arguments], stdin=stdin, timeout_s=timeout_s)
    except StepError as error:
        if not error.code.startswith("command-"):
            raise
        code = next((code for code, pattern in COMPLAINTS if pattern.search(error.observed)), error.code)
        what = error.what.replace(" ".join(VIRSH[:3]), " ".join(["virsh", *arguments[:2]]))
        raise StepError(code, what, observed=error.observed, expected=error.expected or "exit 0") from None


def names(machine: ThisMachine, *arguments: str) -> list[str]:
    """What a list of libvirt has in it: a name on each line, which may have blanks in it."""
    return [line.strip() for line in virsh(machine, *arguments, "--name").splitlines() if line.strip()]
