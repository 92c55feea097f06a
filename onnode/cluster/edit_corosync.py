"""edit-corosync: the cluster's corosync.conf is replaced by Proxmox VE's own way (pvecm.adoc, "Edit corosync.conf").

A copy beside it is written and moved into place, under the lock that `pvecm` takes, and only while it still replaces what it was made
from. Each member's pmxcfs then writes its own copy, and lets its corosync read that.

The copy has a name of its own. So `corosync.conf.new` is always somebody else's, and one that a killed run left is written over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import admission, corosync, corosync_file, corosync_restarts, device_settings, membership
from onnode.contract.corosync import CorosyncConfig
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import originals
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

COPY = f"{membership.PVE_CONF}.nested-pve-ha"  # pmxcfs goes by the name after the move (dcdb.c)
BACKUPS = "/var/lib/nested-pve-ha-corosync"  # stays when the package is removed meanwhile
CHANGED, EDITED = 3, 4
WRITE_S = 40.0
# By a program of its own: a hung pmxcfs blocks whoever writes there. `touch` to time 0 asks pmxcfs to drop a lock that nobody renewed.
REPLACE = f"""\
lock=/etc/pve/priv/lock/file-corosync_conf
tries=0
mkdir -p "${{lock%/*}}" 2>/dev/null  # a new cluster has none before the first lock is taken
until mkdir "$lock" 2>/dev/null; do
  touch -d @0 "$lock" 2>/dev/null
  tries=$((tries + 1)); [ "$tries" -lt 20 ] || {{ echo "$lock is held by somebody else" >&2; exit 1; }}
  sleep 1
done
trap 'rm -f {COPY}; rmdir "$lock"' EXIT
[ ! -e {membership.NEXT_CONF} ] || exit {EDITED}
cat > {COPY} && echo "$1  {membership.PVE_CONF}" | sha256sum --check --status || exit {CHANGED}
mv {COPY} {membership.PVE_CONF}
"""


@dataclass(frozen=True)
class Observed:
    """The cluster's configuration, and whether this node may change it."""

    member: membership.NodeState
    text: str = ""
    restarts: list[str] = field(default_factory=list)  # noted already
    kept: str = ""  # of a QDevice's section


def observe(machine: ThisMachine, _desired: CorosyncConfig) -> Observed:
    """Look at this node."""
    member = membership.observe(machine)
    if not member.pve_mounted:
        return Observed(member)
    text, restarts = machine.read(membership.PVE_CONF) or "", corosync_restarts.wanted(machine)
    return Observed(member, text, restarts, device_settings.kept(machine))


def decide(observed: Observed, desired: CorosyncConfig) -> list[Action]:
    """Note who must restart corosync, and what is to come back, then replace the file; forget what has come back.

    Raises:
        StepError: no-quorum, corosync-edited, corosync-changed, corosync-invalid.
    """
    keep = [Action("keep", "others' settings of the QDevice", desired.kept)] if desired.kept else []
    if observed.text == desired.text:
        return [Action("forget", "others' settings of the QDevice")] if desired.kept == "" and observed.kept else []
    if not (observed.member.quorate and observed.member.pve_writable):
        raise admission.no_quorum(observed.member, 0)
    membership.refuse_edited([membership.told(observed.member)])
    if originals.fingerprint(observed.text) != desired.replaces:
        raise _changed(f"version {_version(observed.text)}")
    if problems := [*_version_problems(observed.text, desired.text), *corosync_file.problems(desired.text)]:
        raise StepError(
            "corosync-invalid",
            f"the configuration that was to replace {membership.PVE_CONF} is not valid; nothing was changed",
            observed="; ".join(problems),
            expected="a configuration that corosync and Proxmox VE take",
        )
    noted = sorted({*observed.restarts, *desired.restarts})
    return [
        *([Action("note", f"restart of corosync on {', '.join(noted)}", " ".join(noted))] if desired.restarts else []),
        *(keep if desired.kept != observed.kept else []),
        Action("replace", f"{membership.PVE_CONF} by version {_version(desired.text)}", desired.text),
    ]


def _version(text: str) -> int:
    conf = corosync.parse_conf(text)
    return conf.version if conf else 0


def _version_problems(former: str, text: str) -> list[str]:
    was, is_to_be = _version(former), _version(text)
    return [] if is_to_be > was else [f"config_version {is_to_be} is not higher than {was}"]


def _changed(observed: str) -> StepError:
    return StepError(
        "corosync-changed",
        f"somebody else has changed {membership.PVE_CONF} meanwhile; it is left as it is",
        observed=observed,
        expected="the configuration from which the next one was made",
    )


def act(machine: ThisMachine, desired: CorosyncConfig, action: Action) -> None:
    """Do one thing.

    Raises:
        StepError: corosync-edited, corosync-changed, corosync-write-failed, mark-failed.
    """
    if action.do == "note":
        corosync_restarts.note(machine, action.text.split())
    elif action.do in ("keep", "forget"):
        device_settings.keep(machine, action.text)
    else:
        _back_up(machine)
        _replace(machine, desired)


def _back_up(machine: ThisMachine) -> None:
    text = machine.read(membership.PVE_CONF) or ""
    backup = f"{BACKUPS}/corosync.conf.{_version(text)}"
    machine.write(backup, text, mode=0o600)
    machine.note(f"{membership.PVE_CONF} was copied to {backup}")


def _replace(machine: ThisMachine, desired: CorosyncConfig) -> None:
    script = ["sh", "-c", REPLACE, "sh", desired.replaces]
    result = machine.run(script, stdin=desired.text, timeout_s=WRITE_S)
    if result.code == CHANGED:
        raise _changed("its content is another one than a moment ago")
    if result.code == EDITED:
        membership.refuse_edited([membership.told(membership.observe(machine))])
    if result.code != 0:
        raise StepError(
            "corosync-write-failed",
            f"{membership.PVE_CONF} cannot be replaced",
            observed=tail(result.text),
            expected="a writable /etc/pve",
        )


def facts(observed: Observed, _desired: CorosyncConfig) -> dict[str, Any]:
    """Which version is in force."""
    return {"version": _version(observed.text)}


def unchanged(observed: Observed, _desired: CorosyncConfig) -> str:
    """Say what was found."""
    return f"{membership.PVE_CONF} is version {_version(observed.text)} as wanted"


STEP = Step(CorosyncConfig, observe, decide, act, facts, unchanged)
