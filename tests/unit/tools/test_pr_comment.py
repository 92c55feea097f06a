"""One comment per stack: made the first time, updated afterwards. `gh` is a stand-in that keeps comments in a file."""

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
#!/usr/bin/env python3
import json, subprocess, sys
from pathlib import Path
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
    print(subprocess.run(["jq", "-r", program], input=json.dumps(comments), capture_output=True, text=True, check=True).stdout, end="")
    sys.exit()
method, field = option("--method"), option("--field")
assert field.startswith("body=@"), field
body = Path(field.removeprefix("body=@")).read_text()
arguments.remove("--silent")
(path,) = arguments
if method == "POST":
    assert path == "repos/o/r/issues/7/comments", path
    comments.append({"id": len(comments) + 1, "user": {"type": "Bot"}, "body": body})
else:
    assert method == "PATCH", method
    (known,) = [one for one in comments if path == f"repos/o/r/issues/comments/{one['id']}"]
    known["body"] = body
kept.write_text(json.dumps(comments))
"""


@dataclass(frozen=True)
class Forge:
    """A pull request with its comments."""

    directory: Path

    def post(self, **reports: str) -> str:
        files = []
        for stack, text in reports.items():
            file = self.directory / f"{stack}.md"
            file.write_text(f"<!-- nested-pve-ha:{stack} -->\n{text}\n")
            files.append(str(file))
        environment = {
            **os.environ,
            "PATH": f"{self.directory}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_REPOSITORY": "o/r",
        }
        return subprocess.run(
            [str(SCRIPT), "7", *files], env=environment, capture_output=True, text=True, check=True
        ).stdout

    @property
    def comments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.directory / "comments.json").read_text())
        return found


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    somebody = {"id": 1, "user": {"type": "User"}, "body": "<!-- nested-pve-ha:dev -->\nquoted by a person"}
    (tmp_path / "comments.json").write_text(json.dumps([somebody]))
    return Forge(tmp_path)


def test_each_stack_has_one_comment_that_is_kept_current(forge: Forge) -> None:
    said = forge.post(dev="first", home="other")
    assert said.count("new comment") == 2
    said = forge.post(dev="second")
    assert "updated comment 2" in said
    assert [one["body"].split("\n")[1] for one in forge.comments] == ["quoted by a person", "second", "other"]


def test_a_persons_comment_is_never_overwritten(forge: Forge) -> None:
    forge.post(dev="ours")
    assert forge.comments[0]["body"].endswith("quoted by a person")
    assert len(forge.comments) == 2
