"""Every error the administrator's side can end with, besides those of the steps on the machines.

`docs/recovery.md` is made from :data:`CODES` and from `onnode.errors.CODES`.
"""

from __future__ import annotations

from onnode.errors import Code, StepError

CODES: dict[str, Code] = {
    # -- SSH
    "host-unreachable": Code(
        "A machine does not answer over SSH.",
        "power the machine on and check the way to it, then run the same command again",
    ),
    "host-key-mismatch": Code(
        "A machine presents another SSH host key than the configuration pins.",
        "find out why it differs; only when you know, put the new key into the configuration",
    ),
    "ssh-auth-failed": Code(
        "A machine refuses the administrator's SSH key.",
        "put the key into the machine's authorized_keys, or correct credentials.sshPrivateKey (or the keys in your agent)",
    ),
    "ssh-key-invalid": Code(
        "The configured SSH private key cannot be used.",
        "set credentials.sshPrivateKey to an unencrypted private key, or leave it out and load yours into ssh-agent",
    ),
    "ssh-timeout": Code(
        "A command on a machine did not end within its time.",
        "look at the machine over SSH, then run the same command again",
    ),
    "step-broken": Code(
        "A step on a machine ended without the result it owes.",
        "run the shown command on the machine; if the package is missing or damaged there, `pulumi up` puts it back",
    ),
}


class AdminError(StepError):
    """A refusal or failure that a user reads; `code` is a key of :data:`CODES`."""

    def __init__(self, code: str, what: str, *, observed: str = "", expected: str = "", fix: str = "") -> None:
        super().__init__(code, what, observed=observed, expected=expected, fix=fix or CODES[code].next)
