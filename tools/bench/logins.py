"""SSH connections that a machine's server accepted, by its journal."""

from __future__ import annotations

import re
import subprocess

from tools.bench.errors import BenchError

ACCEPTED = re.compile(r"^Accepted \w+ for ", re.MULTILINE)
READ_JOURNAL = "journalctl --quiet --no-pager --output cat -t sshd -t sshd-session"
LIMIT_S = 60


def accepted(address: str) -> int:
    """How many logins a machine accepted since it was installed, less the one that asks.

    Raises:
        BenchError: the machine does not answer.
    """
    done = subprocess.run(
        ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", f"root@{address}", READ_JOURNAL],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError(f"no SSH to {address}: {done.stderr.strip()}")
    return count(done.stdout) - 1


def count(journal: str) -> int:
    """The accepted logins in a journal."""
    return len(ACCEPTED.findall(journal))
