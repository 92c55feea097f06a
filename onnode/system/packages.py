"""Debian's packages: what is installed, how apt-get is called, and what its complaints mean."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnode.errors import StepError
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.system.machine import Result, ThisMachine

LOCK_WAIT_S = 120
TRIES = 3  # of what a repository brings to its end by itself: while it is being changed, its files do not fit
TRY_AGAIN_S = 20.0
PASSING = ("repository-syncing", "repository-damaged")
APT_S = 1800.0  # a dist-upgrade over a slow line
APT = (
    "apt-get",
    "-q",
    "-y",
    "-o",
    f"DPkg::Lock::Timeout={LOCK_WAIT_S}",
    "-o",
    "APT::Update::Error-Mode=any",  # else a repository that is damaged or unreachable is exit 0
    "-o",
    "Acquire::Retries=2",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
)
LOCKED = re.compile(r"Could not get lock (\S+?)\.? (?:It is held by (process .*)|- open)")
# 6.17.2-2-pve; backports name their release, too: 6.14.11-6-bpo12-pve.
KERNEL = re.compile(r"^(?:proxmox|pve)-kernel-(\d+(?:\.\d+)+-\d+(?:-[a-z0-9+.~]+)*-pve)(?:-signed)?$")
# The first that matches says what an apt-get failure means.
COMPLAINTS = (
    ("sources-unreadable", re.compile(r"list of sources could not be read|Conflicting values set for option")),
    ("repository-syncing", re.compile(r"Mirror sync in progress|File has unexpected size")),
    ("repository-damaged", re.compile(r"Hash Sum mismatch")),
    ("repository-expired", re.compile(r"Release file for \S+ is expired")),
    ("clock", re.compile(r"Release file for \S+ is not valid yet")),
    ("repository-changed", re.compile(r"changed its '[^']+' value from")),
    ("disk-full", re.compile(r"No space left on device|[Nn]ot enough free space|don't have enough free space")),
    ("packages-broken", re.compile(r"[Uu]nmet dependencies|held broken packages")),
    ("repository-unauthorized", re.compile(r"401 +Unauthorized|403 +Forbidden")),
    (
        "repository-untrusted",
        re.compile(r"is not signed|NO_PUBKEY|BADSIG|EXPKEYSIG|[Cc]learsigned file|invalid signature|[Mm]issing key"),
    ),
    ("package-unavailable", re.compile(r"Unable to locate package|has no installation candidate")),
    (
        "repository-unreachable",
        re.compile(
            r"Could not resolve|Temporary failure resolving|Could not connect|Unable to connect|Connection (?:refused|timed out|failed)"
            r"|404 +Not Found|does not have a Release file|Failed to fetch"
        ),
    ),
)


def parse_installed(text: str) -> list[str]:
    """Read `dpkg-query -W -f '${Package} ${db:Status-Status}…'`: the packages that are installed."""
    rows = [line.split() for line in text.splitlines()]
    return sorted({row[0] for row in rows if row[1:] == ["installed"]})


@dataclass(frozen=True)
class Plan:
    """What an upgrade would do.

    Attributes:
        installed: packages that it upgrades or newly installs, with the version that they get.
        removed: packages that it removes.
    """

    installed: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)


def parse_plan(text: str) -> Plan:
    """Read `apt-get -s dist-upgrade`: "Inst NAME [OLD] (NEW REPOSITORY…)", without the old version for a new package."""
    rows = re.findall(r"^Inst (\S+) (?:\[[^\]]*\] )?\((\S+)", text, re.MULTILINE)
    return Plan(dict(rows), parse_removed(text))


def plan(machine: ThisMachine) -> Plan:
    """Ask apt what a dist-upgrade would do.

    Raises:
        StepError: as :func:`apt`.
    """
    return parse_plan(apt(machine, "-s", "dist-upgrade"))


def parse_removed(text: str) -> list[str]:
    """Read `apt-get -s purge`: the packages that it would remove."""
    return sorted({line.split()[1] for line in text.splitlines() if line.startswith(("Remv ", "Purg "))})


def parse_new(text: str) -> list[str]:
    """Read `apt-get -s install`: the packages that it would newly install; an upgrade has its old version in brackets."""
    return sorted({line.split()[1] for line in text.splitlines() if re.match(r"Inst \S+ \(", line)})


def newest_kernel(names: list[str]) -> str | None:
    """The newest Proxmox kernel among installed packages, as `uname -r` would print it; None if there is none."""
    found = [match[1] for match in map(KERNEL.match, names) if match]
    return max(found, key=_numbers, default=None)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def installed(machine: ThisMachine, *patterns: str) -> list[str]:
    """Which packages of these names (shell patterns) are installed."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *patterns]
    return parse_installed(machine.run(query).out)  # exit 1 only says that a pattern matched nothing


def unfinished(machine: ThisMachine) -> bool:
    """Whether a killed dpkg left packages half way."""
    return bool(machine.names("/var/lib/dpkg/updates")) or bool(machine.run(["dpkg", "--audit"]).out.strip())


def finish(machine: ThisMachine) -> None:
    """Let dpkg finish what a killed run left half way."""
    machine.check(["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"], timeout_s=APT_S)


def apt(machine: ThisMachine, *arguments: str) -> str:
    """Run apt-get, again where that helps: other package managers let go of their locks (F13), mirrors get in step.

    Raises:
        StepError: those of :data:`COMPLAINTS`, apt-locked, apt-failed.
    """
    deadline = machine.monotonic() + LOCK_WAIT_S
    tries = 1
    while True:
        result = machine.run([*APT, *arguments], timeout_s=APT_S)
        if result.code == 0:
            return result.out
        error = complaint(result)
        # DPkg::Lock::Timeout does not cover the lock of the package lists.
        if error.code == "apt-locked" and machine.monotonic() < deadline:
            machine.note("waiting for another package manager")
            machine.sleep(2)
        elif error.code in PASSING and tries < TRIES:
            tries += 1
            machine.note(f"{error.what}: {error.observed}; trying again in {TRY_AGAIN_S:g} s")
            machine.sleep(TRY_AGAIN_S)
        else:
            raise error


def complaint(result: Result) -> StepError:
    """What an apt-get failure means."""
    command = "apt-get " + " ".join(result.argv[len(APT) :])
    if locked := LOCKED.search(result.err):
        held = locked[2] or "held by an unknown process"
        return StepError(
            "apt-locked", f"`{command}` could not get {locked[1]}", observed=held, expected="no other package manager"
        )
    code = next((code for code, pattern in COMPLAINTS if pattern.search(result.text)), "apt-failed")
    said = [line for line in result.text.splitlines() if line.startswith(("E:", "Err:", "W:"))]
    return StepError(code, f"`{command}` failed", observed=tail("\n".join(said) or result.text), expected="exit 0")
