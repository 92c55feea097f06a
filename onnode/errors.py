"""Every error a step can end with: a stable code, its meaning, and what to do next.

`docs/recovery.md` is made from :data:`CODES`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """What a code stands for, and the one command or change of configuration that resolves it."""

    meaning: str
    next: str


CODES: dict[str, Code] = {
    # -- the step itself
    "bad-input": Code(
        "The step was called with a name or a desired state that it does not know.",
        "run `pulumi up` from a clean checkout; the package on the machine and the program must be of one version",
    ),
    "not-root": Code("The step was started by an ordinary user.", "connect as root (config key of the machine: user)"),
    "machine-busy": Code(
        "Another step, perhaps one of a killed run, is still at work on the machine.",
        "wait until that process has ended, then `pulumi up` again",
    ),
    "interrupted": Code("The step was told to stop; the machine is in a state it can go on from.", "`pulumi up` again"),
    "not-converged": Code(
        "A change was made, but looking again shows that it had no effect.",
        "look at the machine for whatever undoes the change (configuration management, a hook), then `pulumi up` again",
    ),
    "internal": Code(
        "The step met a case that it does not know.", "report it with this message; nothing is hidden in it"
    ),
    "command-missing": Code(
        "A program that the step needs is not installed.",
        "install it on the machine with apt-get, then `pulumi up` again",
    ),
    "command-failed": Code(
        "A program that the step needs ended with an error.",
        "run the shown command on the machine and resolve what it says",
    ),
    "command-timeout": Code(
        "A program did not end within its time.", "run the shown command on the machine to see what it waits for"
    ),
    "pve-filesystem-hangs": Code(
        "/etc/pve does not answer.",
        "on that machine: `systemctl restart pve-cluster`, then `pulumi up` again",
    ),
    "not-proxmox": Code(
        "The machine does not run Proxmox VE.",
        "install Proxmox VE on it, or correct the machine's address in the configuration",
    ),
    # -- outer host
    "no-virtualization": Code(
        "The processor shows neither vmx nor svm.",
        "turn on VT-x or AMD-V in the firmware; for a nested machine set its CPU type to `host` and stop and start it",
    ),
    "kvm-in-use": Code(
        "Nested virtualization is configured, but the KVM module cannot be reloaded while VMs run.",
        "stop these VMs or reboot the host, then `pulumi up` again",
    ),
    "kvm-conflicting-options": Code(
        "Another file in /etc/modprobe.d overrides the option for nested virtualization.",
        "remove that line from the named file, then `pulumi up` again",
    ),
    # -- packages
    "repository-unauthorized": Code(
        "A package repository refused access; the enterprise repositories need a subscription.",
        "set the repository mode to no-subscription, or enter the subscription key on the machine",
    ),
    "repository-unreachable": Code(
        "A package repository could not be reached.",
        "check the machine's gateway and DNS, or set the repository's uri to a mirror that it can reach",
    ),
    "repository-untrusted": Code(
        "A package repository's signature is missing or not by a known key.",
        "install the Proxmox archive keyring on the machine, or correct the repository's uri",
    ),
    "keyring-missing": Code(
        "The key that signs Proxmox' packages is not on the machine.",
        "`apt-get install proxmox-archive-keyring` on the machine",
    ),
    "apt-locked": Code(
        "Another package manager holds apt's lock.", "wait until that process has ended, then `pulumi up` again"
    ),
    "apt-failed": Code("apt-get failed.", "run the shown apt-get command on the machine and resolve what it says"),
    "package-unavailable": Code(
        "A package is in none of the machine's repositories.",
        "set the repository mode to no-subscription, or add the repository that carries it",
    ),
}


class StepError(Exception):
    """A refusal or failure that a user reads.

    Args:
        code: a key of :data:`CODES`.
        what: what happened, one sentence.
        observed: what was seen.
        expected: what should have been.
        fix: the next command, when more is known than the code's own.
    """

    def __init__(self, code: str, what: str, *, observed: str = "", expected: str = "", fix: str = "") -> None:
        super().__init__(f"{code}: {what}")
        self.code = code
        self.what = what
        self.observed = observed
        self.expected = expected
        self.fix = fix or CODES[code].next

    def render(self) -> str:
        """The lines that end a failed step's standard error."""
        lines = [f"error[{self.code}]: {self.what}"]
        lines += [f"  observed: {self.observed}"] if self.observed else []
        lines += [f"  expected: {self.expected}"] if self.expected else []
        return "\n".join([*lines, f"  next: {self.fix}"])
