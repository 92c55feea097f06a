"""One comment per stack: made the first time, kept current afterwards. `gh` is a stand-in that keeps comments in a file."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "tools" / "pr-comment"
GH = """\
#!/usr/bin/env -S python3 -I -S
import json, os, sys
from pathlib import Path
if Path(__file__).with_name("down").exists():
    sys.exit("gh: HTTP 503")
kept = Path(__file__).with_name("comments.json")
comments = json.loads(kept.read_text())
arguments = sys.argv[1:]
assert arguments.pop(0) == "api", arguments
def option(name):
    place = arguments.index(name)
    arguments.pop(place)
    return arguments.pop(place)
if "--jq" in arguments:
    program = option("--jq")
    assert arguments == ["--paginate", "repos/o/r/issues/7/comments"], arguments
    os.execvp("jq", ["jq", "-r", program, str(kept)])
method, field = option("--method"), option("--field")
assert field == "body=@-", field
body = sys.stdin.read()
if "refused by the forge" in body:
    sys.exit("gh: Body is too long (HTTP 422)")
arguments.remove("--silent")
(path,) = arguments
if method == "POST":
    assert path == "repos/o/r/issues/7/comments", path
    comments.append({"id": len(comments) + 1, "user": {"login": "github-actions[bot]"}, "body": body})
else:
    assert method == "PATCH", method
    (known,) = [one for one in comments if path == f"repos/o/r/issues/comments/{one['id']}"]
    known["body"] = body
kept.write_text(json.dumps(comments))
"""


HEAD = "0123456789abcdef0123456789abcdef01234567"
RUN = "https://forge.example/o/r/actions/runs/5"


@dataclass(frozen=True)
class Forge:
    """A pull request with its comments."""

    directory: Path

    def run(self, stacks: str, **reports: str) -> subprocess.CompletedProcess[str]:
        """Post what each stack's report says; `stacks` are those that the commit changes."""
        files = []
        for stack, text in reports.items():
            file = self.directory / f"{stack}.md"
            file.write_text(text)
            files.append(str(file))
        environment = {
            **os.environ,
            "PATH": f"{self.directory}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_SERVER_URL": "https://forge.example",
            "GITHUB_RUN_ID": "5",
            "HEAD_SHA": HEAD,
            "STACKS": stacks,
        }
        command = [str(SCRIPT), "7", *files]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def post(self, **reports: str) -> str:
        """Post a report of each stack that the commit changes."""
        done = self.run(json.dumps([*reports]), **{stack: report(stack, text) for stack, text in reports.items()})
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        return done.stdout

    @property
    def comments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.directory / "comments.json").read_text())
        return found

    @property
    def told(self) -> list[str]:
        """The second line of each comment that was posted here."""
        return [one["body"].splitlines()[1] for one in self.comments[4:]]


def report(stack: str, text: str) -> str:
    return f"<!-- nested-pve-ha:{stack} -->\n{text}\n"


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    marked = "<!-- nested-pve-ha:dev -->\nquoted"
    others = [
        {"id": 1, "user": {"login": "somebody"}, "body": marked},
        {"id": 2, "user": {"login": "another[bot]"}, "body": marked},
        {"id": 3, "user": {"login": "github-actions[bot]"}, "body": f"of another workflow\n{marked}"},
        {"id": 4, "user": {"login": "github-actions[bot]"}, "body": None},
    ]
    (tmp_path / "comments.json").write_text(json.dumps(others))
    return Forge(tmp_path)


def test_each_stack_has_one_comment_that_is_kept_current(forge: Forge) -> None:
    assert forge.post(dev="first", home="other").count("POST") == 2
    assert forge.post(dev="second", home="same") == (
        "dev: PATCH repos/o/r/issues/comments/5\nhome: PATCH repos/o/r/issues/comments/6\n"
    )
    assert [one["body"] for one in forge.comments[4:]] == [
        "<!-- nested-pve-ha:dev -->\nsecond\n\n<sub>for commit 0123456</sub>\n",
        "<!-- nested-pve-ha:home -->\nsame\n\n<sub>for commit 0123456</sub>\n",
    ]


def test_what_others_wrote_is_never_overwritten(forge: Forge) -> None:
    before = forge.comments
    forge.post(dev="ours")
    forge.run("[]")
    assert forge.comments[:4] == before
    assert len(forge.comments) == 5


def test_a_stack_whose_name_begins_another_has_its_own_comment(forge: Forge) -> None:
    forge.post(**{"home-2": "second", "home": "first"})
    forge.post(home="changed")
    assert forge.comments[5]["body"].startswith("<!-- nested-pve-ha:home -->\nchanged\n")
    assert "no longer changes this stack" in forge.comments[4]["body"]


# What is left of an earlier commit: the stacks of this one, and what the comment then says of `home`.
LEFT = {
    "no stack is touched any more": ("[]", "The pull request no longer changes this stack"),
    "only another is": ('["dev"]', "The pull request no longer changes this stack"),
    "the report died": (
        '["dev","home"]',
        f"There is no report for this commit**: making it failed, see [the run]({RUN})",
    ),
    "the list of stacks died": ("", f"There is no report for this commit**: making it failed, see [the run]({RUN})"),
}


@pytest.mark.parametrize(("stacks", "said"), LEFT.values(), ids=LEFT)
def test_an_earlier_verdict_does_not_outlive_its_commit(forge: Forge, stacks: str, said: str) -> None:
    forge.post(dev="good", home="good")
    reports = {"dev": report("dev", "still good")} if "dev" in stacks else {}
    done = forge.run(stacks, **reports)
    assert done.returncode == 0, done.stderr
    home = forge.comments[5]["body"]
    assert home.startswith("<!-- nested-pve-ha:home -->\n## Stack `home`\n\n")
    assert said in home
    assert home.endswith("\n\n<sub>for commit 0123456</sub>\n")
    assert ("still good" in forge.comments[4]["body"]) == bool(reports)
    forge.post(dev="good", home="good again")
    assert forge.comments[5]["body"].startswith("<!-- nested-pve-ha:home -->\ngood again\n")
    assert len(forge.comments) == 6


def test_nothing_is_posted_where_there_is_nothing_to_tell(forge: Forge) -> None:
    done = forge.run('["home"]')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(forge.comments) == 4


def test_a_comment_that_is_refused_fails_the_run_after_the_others_are_posted(forge: Forge) -> None:
    forge.post(old="good")
    reports = {stack: report(stack, "refused by the forge" if stack == "dev" else "good") for stack in ("dev", "home")}
    done = forge.run('["dev","home"]', **reports)
    assert done.returncode == 1
    assert "gh: Body is too long (HTTP 422)\nerror: dev: the comment could not be posted (POST" in done.stderr
    assert forge.told == ["## Stack `old`", "good"]


@pytest.mark.parametrize(
    "mark", ["", "Stack dev", '<!-- nested-pve-ha:dev")) or true or (" -->', " <!-- nested-pve-ha:dev -->"]
)
def test_a_report_that_names_no_stack_is_told_and_the_others_are_posted(forge: Forge, mark: str) -> None:
    done = forge.run('["dev","home"]', dev=f"{mark}\ntext\n", home=report("home", "good"))
    assert done.returncode == 1
    assert "dev.md: its first line names no stack" in done.stderr
    assert forge.told == ["good"]


def test_without_the_list_of_comments_none_is_posted_twice(forge: Forge) -> None:
    (forge.directory / "down").touch()
    done = forge.run('["dev"]', dev=report("dev", "good"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "gh: HTTP 503\nerror: the comments of pull request 7 could not be read\n"
