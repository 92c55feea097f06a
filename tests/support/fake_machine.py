"""A machine for unit tests: real files in a directory of the test's own, scripted programs, a clock that only jumps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from onnode.system.machine import NOT_FOUND, TIMED_OUT, Result, ThisMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Program = Callable[[list[str], str], str | int | Result]

CALLS = Path(__file__).parents[1] / "cases" / "onnode" / "programs.yaml"
QUIETLY = (
    "-q -y -o DPkg::Lock::Timeout=<n> -o APT::Update::Error-Mode=any -o Acquire::Retries=<n>"
    " -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
)
# What may stand for a value of a call.
VALUES = {
    "address": r"\d+\.\d+\.\d+\.\d+",
    "archive": r"[\w-]+\.tar\.gz",
    "cidr": r"\d+\.\d+\.\d+\.\d+/\d+",
    "domain": r"[\w.-]+",
    "file": r"umask 077; (cat|mkdir) .+",
    "flag": r"[NY01]",
    "backup": r"/\S+/var/lib/pve-cluster/backup/config-\d{8}T\d{6}\.db",
    "digest": r"[0-9a-f]{64}",
    "hex": r"[0-9A-F]{2}(:[0-9A-F]{2})+",
    "key": r"ecdsa|ed25519|rsa",
    "links": r"--link\d [\d.]+(,priority=\d+)?( --link\d [\d.]+(,priority=\d+)?)*",
    "list": r"[\w.]+(,[\w.]+)*",
    "guest": r"(vm|ct):\d+",
    "job": r"\d+-\d+",
    "kind": r"qemu|lxc",
    "n": r"\d+",
    "name": r"[A-Za-z][\w.-]*",
    "packages": r"[a-z][a-z0-9.+*-]*( [a-z][a-z0-9.+*-]*)*",
    "path": r"/\S+",
    "placement": r"[\w-]+(:\d+)?(,[\w-]+(:\d+)?)*",
    "paths": r"/\S*( /\S*)*",
    "probe": r"exec 9>/run/.+ && flock 9 .+",
    "replace": r"lock=/etc/pve/priv/lock/file-corosync_conf\n.+",
    "s": r"\d+(\.\d+)?",
    "target": r"[hsv]d[a-z]",
    "unit": r"(pve[a-z-]*|corosync(-q(device|netd))?|watchdog-mux|nfs-server\.service|ssh\.(service|socket)|nested-pve-ha-[\w@.-]+)",
    "user": r"\w+@\w+",
    "volume": r"[\w-]+:\w+/[\w.-]+",
}
VALUES["units"] = f"{VALUES['unit']}( {VALUES['unit']})*"


@dataclass(frozen=True)
class Call:
    """A way to call a program; see tests/cases/onnode/programs.yaml."""

    arguments: re.Pattern[str]
    takes: float
    hangs: float


@cache
def calls() -> dict[str, list[Call]]:
    """The known ones, by program."""
    return {name: list(map(_call, listed)) for name, listed in yaml.safe_load(CALLS.read_text()).items()}


def _call(listed: str | dict[str, Any]) -> Call:
    given: dict[str, Any] = {"call": listed} if isinstance(listed, str) else listed
    parts = re.split(r"<(\w+)>", given["call"].replace("<quietly>", QUIETLY))
    pattern = "".join(f"({VALUES[part]})" if number % 2 else re.escape(part) for number, part in enumerate(parts))
    return Call(re.compile(pattern, re.DOTALL), given.get("takes", 0), given.get("hangs", 10**6))


@cache
def known(program: str, arguments: str) -> Call:
    """The way in which a program is called; there is one."""
    found = [call for call in calls().get(program, []) if call.arguments.fullmatch(arguments)]
    assert found, f"{program} is not called so: {arguments}"
    return found[-1]


def hangs(_arguments: list[str], _stdin: str) -> int:
    """A program that never ends."""
    return TIMED_OUT


class FakeMachine(ThisMachine):
    """Programs are functions of arguments and standard input: text is printed, a number is an exit code.

    It is a machine with Proxmox VE, as nodes are; an outer host with libvirt is one without (tests/support/libvirt_host.py).
    """

    may_hang = ()

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.programs: dict[str, Program] = {}
        self.commands: list[str] = []
        self.stdins: dict[str, str] = {}
        self.notes: list[str] = []
        self.seconds = 1_000_000.0
        self.certificate: str | None = None
        self.api_at = {"127.0.0.1"}  # where pveproxy answers
        self.there: set[str] = set()  # addresses at which a machine is
        self.logins: dict[str, str] = {}
        self.free = 10**12  # bytes, on each file system
        self.write("/usr/sbin/qm", "")

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout_s: float = 60.0) -> Result:
        """Call the scripted program; one that hangs costs its whole time."""
        words = list(argv)
        call = known(words[0], " ".join(words[1:]))
        assert max(call.takes, 1) <= timeout_s <= call.hangs, f"{timeout_s} s for {' '.join(words)}"
        self.commands.append(" ".join(words))
        if stdin:
            self.stdins[self.commands[-1]] = stdin
        program = self.programs.get(words[0])
        if program is None:
            return Result(tuple(words), NOT_FOUND, err=f"{words[0]}: command not found")
        answer = program(words[1:], stdin)
        if isinstance(answer, Result):
            return answer
        if answer == TIMED_OUT:
            self.seconds += timeout_s
        return Result(tuple(words), answer if isinstance(answer, int) else 0, answer if isinstance(answer, str) else "")

    def ran(self, beginning: str) -> list[str]:
        """The commands that began so."""
        return [command for command in self.commands if command.startswith(beginning)]

    def note(self, text: str) -> None:
        self.notes.append(self.scrub(text))

    def monotonic(self) -> float:
        return self.seconds

    def time(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def served_certificate(self, port: int, address: str = "127.0.0.1") -> str | None:
        assert port == 8006
        return self.certificate if address in self.api_at else None

    def is_at(self, address: str, port: int) -> bool:
        assert port == 22
        return address in self.there

    def free_bytes(self, path: str) -> int:
        assert path.startswith("/")
        return self.free

    def can_log_in(self, user: str, password: str, is_own: Callable[[str | None], bool]) -> bool:
        assert is_own(self.certificate)
        return self.logins.get(user) == password
