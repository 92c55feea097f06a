"""The dead man's switch: a change of this machine's network undoes itself unless a new login confirms it.

Before the change the files are copied and a timer of systemd is started, which needs neither this program nor its
connection. A login that works after the change stops it; otherwise it puts the files back and reloads them. A timer
does not survive a reboot: the files are then put back before the network comes up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnode.errors import StepError
from onnode.system import interfaces_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnode.system.machine import ThisMachine

AFTER_S = 60
RELOAD_S = 45.0  # less than the timer's: of two reloads at once, ifupdown2 refuses the second
UNDO_S = 60.0
UNIT = "nested-pve-ha-network-guard"
DIRECTORY = "/var/lib/nested-pve-ha-network-guard"  # stays when the package is removed meanwhile
ARMED = f"{DIRECTORY}/armed"
REVERTED = f"{DIRECTORY}/reverted"
CONFIRMED = f"{DIRECTORY}/confirmed"
SCRIPT = f"{DIRECTORY}/undo"
AT_BOOT = "/etc/systemd/system/networking.service.d"  # read at boot; systemd needs no reload for it now
AT_BOOT_FILE = f"{AT_BOOT}/{UNIT}.conf"
WAITING = "/etc/network/interfaces.new"  # what Proxmox' own API is about to apply, also at the next boot

# A rename decides who comes first, the confirmation or this script. At boot it also ends what a shutdown broke off.
# ifreload's exit code counts warnings, too.
UNDO = f"""\
#!/bin/sh
mv {ARMED} {REVERTED} || {{ [ "$1" = boot ] && [ -e {REVERTED} ]; }} || exit 0
while read -r path; do cp "{DIRECTORY}/before$path" "$path"; done < {DIRECTORY}/present
while read -r path; do rm -f "$path"; done < {DIRECTORY}/absent
rm -f {AT_BOOT_FILE}
[ "$1" = boot ] && exit 0
for attempt in 1 2 3 4 5; do ifreload -a && break; sleep 2; done
"""
UNDO_AT_BOOT = f"""\
# Of nested-pve-ha, for as long as a change of the network is not confirmed. ifupdown2's own unit waits for no file system.
[Unit]
After=local-fs.target
RequiresMountsFor={DIRECTORY}

[Service]
ExecStartPre=-/bin/sh {SCRIPT} boot
"""


def state(machine: ThisMachine) -> str:
    """What became of the last change: "armed" (not confirmed yet), "reverted" or "none"."""
    if machine.exists(ARMED):
        return "armed"
    return "reverted" if machine.exists(REVERTED) else "none"


def waiting(machine: ThisMachine) -> str | None:
    """The change that waits for its confirmation, in the words that it was armed with."""
    return machine.read(ARMED)


def arm(machine: ThisMachine, what: str, *, anew: bool = False) -> None:
    """Start the timer, from now.

    Args:
        machine: the machine.
        what: the change, in words.
        anew: put back the files as they are now; else, where a change waits for its confirmation, as they were before it.

    Raises:
        StepError: of the command that failed; nothing has been changed then.
    """
    _stop(machine)
    fresh = anew or not machine.exists(ARMED)
    if fresh:
        _remember(machine, {*interfaces_file.files(machine), interfaces_file.FILE, WAITING})
    machine.check(
        ["systemd-run", "--quiet", "--collect", f"--unit={UNIT}", f"--on-active={AFTER_S}",
         "--timer-property=AccuracySec=1s", "/bin/sh", SCRIPT],
    )  # fmt: skip
    if fresh:  # only where a timer runs, or else a boot long after would undo what others have changed since
        machine.write(AT_BOOT_FILE, UNDO_AT_BOOT)
        machine.write(ARMED, what, mode=0o600)


def _stop(machine: ThisMachine) -> None:
    """No timer runs afterwards, and no undoing is half way."""
    machine.run(["systemctl", "stop", f"{UNIT}.timer"])
    machine.wait_for(lambda: machine.run(["systemctl", "is-active", "--quiet", f"{UNIT}.service"]).code != 0, UNDO_S)
    machine.run(["systemctl", "reset-failed", f"{UNIT}.service"])


def _remember(machine: ThisMachine, paths: Iterable[str]) -> None:
    machine.remove_tree(DIRECTORY)
    texts = {path: machine.read(path) for path in sorted(paths)}
    for path, text in texts.items():
        if text is not None:
            machine.write(f"{DIRECTORY}/before{path}", text, mode=0o600)
    listed = {name: [path for path, text in texts.items() if (text is not None) == (name == "present")]
              for name in ("present", "absent")}  # fmt: skip
    for name, found in listed.items():
        machine.write(f"{DIRECTORY}/{name}", "".join(f"{path}\n" for path in found), mode=0o600)
    machine.write(SCRIPT, UNDO, mode=0o700)


def confirm(machine: ThisMachine) -> None:
    """Let the change stay. The login that this runs in has shown that the machine can be reached.

    Raises:
        StepError: network-reverted.
    """
    try:
        machine.path(ARMED).rename(machine.path(CONFIRMED))
    except FileNotFoundError:
        raise reverted(machine) from None
    _stop(machine)
    machine.remove(AT_BOOT_FILE)
    machine.remove_empty(AT_BOOT)
    machine.remove_tree(DIRECTORY)


def revert(machine: ThisMachine) -> None:
    """Put everything back now."""
    _stop(machine)
    machine.run(["/bin/sh", SCRIPT], timeout_s=UNDO_S)


def reverted(machine: ThisMachine) -> StepError:
    """The refusal after a change that was put back, because no login followed."""
    what = (machine.read(REVERTED) or "a change of the network").splitlines()[0]
    return StepError(
        "network-reverted",
        "a change of the machine's network was put back, because no new login followed",
        observed=f"{what}; no login within {AFTER_S} s, or before a restart of the machine",
        expected="the machine can still be reached over SSH after the change",
    )
