"""What the pages tell a reader to type puts no secret where every user of the machine can read it: into arguments."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
SET = re.compile(r"pulumi config set\b([^`|;\n]*)")
WITH_VALUE = ("--stack", "--config-file")
OPTION = re.compile(r"--(?:[a-z-]*password|passphrase|token)[ =]|[a-z]+://[^/\s:]*:[^@/\s]+@")


def given_in_arguments(page: str) -> list[str]:
    """The commands of a page that name a secret's value."""
    found = [command[0] for command in SET.finditer(page) if len(_positional(command[1])) > 1]
    code = (line.partition(" #")[0] for line in page.splitlines())
    return found + [line.strip() for line in code if OPTION.search(line)]


def _positional(arguments: str) -> list[str]:
    words = shlex.split(arguments.partition("<")[0], comments=True)
    if "--secret" not in words:
        return []
    pairs = zip(["", *words], words, strict=False)
    return [word for before, word in pairs if not word.startswith("-") and before not in WITH_VALUE]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_puts_a_secret_into_arguments(page: Path) -> None:
    assert not given_in_arguments(page.read_text())


@pytest.mark.parametrize(
    "line",
    [
        "pulumi config set --stack home --secret --path 'a:b.seed' \"$(openssl rand -hex 32)\"",
        "pulumi config set --secret a:b word  # quick",
        "pvesh set /access/password --password word",
        "export PULUMI_BACKEND_URL=postgres://USER:PASSWORD@HOST/DATABASE",
    ],
)
def test_such_a_command_would_be_found(line: str) -> None:
    assert given_in_arguments(f"```\n{line}\n```\n")


def test_standard_input_is_where_they_are_given() -> None:
    page = (ROOT / "docs" / "config.md").read_text()
    assert len(SET.findall(page)) >= 5
    assert "openssl rand -hex 32 | pulumi config set" in page
