"""What the repository held at the revision that a change is compared with."""

from __future__ import annotations

import subprocess

from cluster.errors import AdminError
from config.paths import ROOT

GIT_S = 60


def file(revision: str, name: str) -> str | None:
    """A file's text at a revision; None when it was not there."""
    shown = _git("show", f"{revision}:./{name}")
    return shown.stdout if shown.returncode == 0 else None


def changed_files(revision: str) -> list[str]:
    """The files that differ since the revision branched off, as far as they are committed.

    Raises:
        AdminError: base-unknown.
    """
    listed = _git("diff", "--name-only", f"{revision}...HEAD")
    if listed.returncode != 0:
        text = f"{revision} has no commit in common with this one"
        raise AdminError(
            "base-unknown", text, observed=listed.stderr.strip(), expected="a commit of this branch's past"
        )
    return listed.stdout.split("\n")


def differing_files(revision: str) -> list[str]:
    """The tracked files that differ from the revision, committed or not."""
    return _git("diff", "--name-only", revision).stdout.split("\n")


def refuse_unknown(revision: str) -> None:
    """Refuse what is no revision.

    Raises:
        AdminError: base-unknown.
    """
    if _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").returncode != 0:
        text = f"{revision} is no revision of this repository"
        raise AdminError("base-unknown", text, observed=revision, expected="a commit")


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", *arguments]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=GIT_S, check=False)
    except subprocess.TimeoutExpired:
        what = f"`git {arguments[0]}` does not end"
        raise AdminError("base-unknown", what, observed=f"nothing for {GIT_S} s", expected="an answer") from None
