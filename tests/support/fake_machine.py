"""A machine for unit tests: real files in a directory of the test's own, scripted programs, a clock that only jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnode.system.machine import NOT_FOUND, TIMED_OUT, Result, ThisMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Program = Callable[[list[str], str], str | int | Result]


def hangs(_arguments: list[str], _stdin: str) -> int:
    """A program that never ends."""
    return TIMED_OUT


class FakeMachine(ThisMachine):
    """Programs are functions of arguments and standard input: text is printed, a number is an exit code."""

    may_hang = ()

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.programs: dict[str, Program] = {}
        self.commands: list[str] = []
        self.stdins: dict[str, str] = {}
        self.notes: list[str] = []
        self.seconds = 1_000_000.0
        self.certificate: str | None = None
        self.logins: dict[str, str] = {}

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout_s: float = 60.0) -> Result:
        """Call the scripted program; one that hangs costs its whole time."""
        words = list(argv)
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

    def served_certificate(self, port: int) -> str | None:
        assert port == 8006
        return self.certificate

    def can_log_in(self, user: str, password: str, is_own: Callable[[str | None], bool]) -> bool:
        assert is_own(self.certificate)
        return self.logins.get(user) == password
