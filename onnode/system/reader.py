"""A process that reads where reading may hang: a pmxcfs without an answer blocks its reader, beyond the reach of signals."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
import weakref
from contextlib import suppress
from typing import IO

END_S = 1.0  # one that does not hang is gone at once
CHUNK = 65536
# One line is one question. The answer is a line with its length, or -1 for a file that cannot be read, and then its bytes.
# It is one process for all questions: a step asks dozens of them, on many nodes at once.
PROGRAM = """\
import os, sys
questions, answers = sys.stdin.buffer, sys.stdout.buffer
def file(path):
    with open(path, "rb") as stream:
        return stream.read()
for question in questions:
    what, path = question[:-1].split(b" ", 1)
    try:
        answer = file(path) if what == b"file" else b"\\0".join(os.listdir(path))
    except OSError:
        answer = None
    answers.write(b"-1\\n" if answer is None else b"%d\\n" % len(answer) + answer)
    answers.flush()
"""


class HungError(Exception):
    """The file system gave no answer."""


class EndedError(Exception):
    """The process that reads has ended: nothing is known of the file."""


class Reader:
    """A process that reads for this one. It holds nothing of this one's but two pipes, and ends with it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,
        )
        self.end = weakref.finalize(self, _end, self._process)

    def file(self, path: str, timeout_s: float) -> bytes | None:
        """What is in a file; None if it cannot be read.

        Raises:
            HungError: not within that time. This process is of no use any more.
            EndedError: somebody ended it.
        """
        return self._asked("file", path, timeout_s)

    def names(self, directory: str, timeout_s: float) -> list[bytes]:
        """What is in a directory; nothing if it cannot be read.

        Raises:
            HungError: not within that time. This process is of no use any more.
            EndedError: somebody ended it.
        """
        answer = self._asked("names", directory, timeout_s)
        return answer.split(b"\0") if answer else []

    def _asked(self, what: str, path: str, timeout_s: float) -> bytes | None:
        questions, answers = self._process.stdin, self._process.stdout
        if questions is None or answers is None:
            raise EndedError
        with suppress(BrokenPipeError):  # then there is no answer either
            questions.write(f"{what} {path}\n".encode(errors="surrogateescape"))
        deadline = time.monotonic() + timeout_s
        said = b""
        while b"\n" not in said:
            said += _more(answers, deadline)
        length, _, answer = said.partition(b"\n")
        parts, left = [answer], int(length) - len(answer)
        while left > 0:
            parts.append(_more(answers, deadline))
            left -= len(parts[-1])
        return None if int(length) < 0 else b"".join(parts)


def _more(answers: IO[bytes], deadline: float) -> bytes:
    ready, _, _ = select.select([answers], [], [], max(0.0, deadline - time.monotonic()))
    if not ready:
        raise HungError
    if not (part := os.read(answers.fileno(), CHUNK)):
        raise EndedError
    return part


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it; one that hangs in the kernel is not waited for long."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
