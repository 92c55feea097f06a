"""Posts each report as a note of a GitLab merge request, or updates the one that is there: tools/mr_note.py DIRECTORY.

The directory holds the reports (STACK.md) and stacks.json, the list of the stacks that the commit changes; without that file it is
not known. It does for GitLab what tools/pr-comment does for GitHub. It needs the variables of a GitLab job, and NOTES_TOKEN: a
project's access token, which is sent over verified TLS only, and never along a redirect.

It uses the standard library only, so that the job that has the token needs nothing else.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import sys
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MARK = re.compile(r"<!-- nested-pve-ha:([A-Za-z0-9][A-Za-z0-9_-]*) -->")
# A line that begins with a slash is a command to GitLab, given in the token's name. Escaped, it is shown and not obeyed.
COMMAND = re.compile(r"^(\s*)/", re.MULTILINE)
TIMEOUT_S = 30
PAGE = 100
PAGES_MAX = 100
OK = range(200, 300)
NO_LONGER = "\N{HEAVY MINUS SIGN} **The merge request no longer changes this stack**, or it removes the stack file."
NO_REPORT = "❔ **There is no report for this commit**: making it failed, see [the pipeline]({})."


class NoteError(Exception):
    """What kept a note from being read or posted."""


@dataclass(frozen=True)
class MergeRequest:
    """The notes of a merge request, at the API of its server."""

    server: str
    notes: str
    token: str
    tls: ssl.SSLContext

    def call(self, method: str, path: str, body: str | None = None) -> Any:  # noqa: ANN401 - JSON values
        """Ask the API; what it answers.

        Raises:
            NoteError: no answer, or a refusal.
        """
        # No redirect is followed: the token is for this server.
        connection = HTTPSConnection(self.server, context=self.tls, timeout=TIMEOUT_S)
        headers = {"PRIVATE-TOKEN": self.token, "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps({"body": body}), headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status not in OK:
                raise NoteError(f"HTTP {answer.status} {answer.reason}")
            return json.loads(text)
        except (OSError, HTTPException, ValueError) as error:
            raise NoteError(str(error) or type(error).__name__) from None
        finally:
            connection.close()

    def ours(self, api: str) -> dict[str, int]:
        """The notes that this token's user wrote, by stack; the first one of each.

        Raises:
            NoteError: they could not be read.
        """
        user = self.call("GET", f"{api}/user")["id"]
        found: dict[str, int] = {}
        for note in self._all():
            mark = MARK.match(note["body"] or "")
            if mark and note["author"]["id"] == user:
                found.setdefault(mark[1], note["id"])
        return found

    def _all(self) -> Iterator[Any]:
        for page in range(1, PAGES_MAX + 1):
            listed = self.call("GET", f"{self.notes}?sort=asc&order_by=created_at&per_page={PAGE}&page={page}")
            yield from listed
            if len(listed) < PAGE:
                return

    def post(self, stack: str, known: int | None, text: str) -> bool:
        """Write a stack's note, anew or over the known one; whether that went well."""
        method, path = ("POST", self.notes) if known is None else ("PUT", f"{self.notes}/{known}")
        try:
            self.call(method, path, text)
        except NoteError as error:
            return _failed(f"{stack}: the note could not be posted ({method} {path}): {error}")
        sys.stdout.write(f"{stack}: {method} {path}\n")
        return True


def _failed(text: str) -> bool:
    sys.stderr.write(f"error: {text}\n")
    return False


def _request(variables: Mapping[str, str]) -> tuple[MergeRequest, str]:
    """The merge request that the job is for, and the path of its server's API."""
    url = urlsplit(variables["CI_API_V4_URL"])
    if url.scheme != "https":
        raise NoteError(f"{url.scheme}://{url.netloc} is not asked: the token goes over TLS only")
    notes = f"{url.path}/projects/{variables['CI_MERGE_REQUEST_PROJECT_ID']}/merge_requests/{variables['CI_MERGE_REQUEST_IID']}/notes"
    tls = ssl.create_default_context()
    # What a runner knows of a server whose authority is its owner's.
    if authority := variables.get("CI_SERVER_TLS_CA_FILE"):
        tls.load_verify_locations(authority)
    return MergeRequest(url.netloc, notes, variables["NOTES_TOKEN"], tls), url.path


def _without_report(stack: str, touched: list[str] | None, pipeline: str) -> str:
    """What the note of an earlier commit says now."""
    verdict = NO_REPORT.format(pipeline) if touched is None or stack in touched else NO_LONGER
    return f"<!-- nested-pve-ha:{stack} -->\n## Stack `{stack}`\n\n{verdict}\n"


def _reports(directory: Path) -> Iterator[tuple[str, str | None]]:
    """The reports, by stack; by file name and without a text where the first line names no stack."""
    for file in sorted(directory.glob("*.md")):
        text = file.read_text()
        mark = MARK.fullmatch(text.partition("\n")[0])
        yield (mark[1], text) if mark else (str(file), None)


def post_all(directory: Path, variables: Mapping[str, str]) -> bool:
    """Post every report, and mark the earlier ones; whether all went well.

    Raises:
        NoteError: the notes could not be read, so none is posted twice.
    """
    request, api = _request(variables)
    ours = request.ours(api)
    commit = variables.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or variables["CI_COMMIT_SHA"]
    footer = f"\n<sub>for commit {commit[:7]}</sub>\n"
    well, left = True, dict(ours)
    for stack, text in _reports(directory):
        if text is None:
            well = _failed(f"{stack}: its first line names no stack")
            continue
        left.pop(stack, None)
        well &= request.post(stack, ours.get(stack), COMMAND.sub(r"\1\\/", text) + footer)
    listed = directory / "stacks.json"
    touched = json.loads(listed.read_text() or "null") if listed.exists() else None
    for stack, known in left.items():
        well &= request.post(stack, known, _without_report(stack, touched, variables["CI_PIPELINE_URL"]) + footer)
    return well


def main() -> int:
    """Its exit code."""
    if not os.environ.get("NOTES_TOKEN"):
        sys.stdout.write("no note: the variable NOTES_TOKEN is not set; the reports are among the job's artifacts\n")
        return 0
    try:
        return 0 if post_all(Path(sys.argv[1]), os.environ) else 1
    except NoteError as error:
        _failed(f"the notes of the merge request could not be read: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
