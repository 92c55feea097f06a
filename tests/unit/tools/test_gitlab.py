"""GitLab's pipeline: what it calls exists, a fork gets nothing, and each stack has one note. The forge is a stand-in over TLS."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
import yaml

from tests.support.tls import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
PIPELINE = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
JOBS = {name: job for name, job in PIPELINE.items() if isinstance(job, dict) and "script" in job}
NOTES = "/api/v4/projects/7/merge_requests/3/notes"
US, SOMEBODY = 11, 12
TOKEN = "glpat-made-up"
HEAD = "0123456789abcdef0123456789abcdef01234567"


def calls(job: dict[str, Any]) -> set[str]:
    """The targets of make that a job calls, by each value of its matrix."""
    script = "\n".join(job["script"])
    for one in job.get("parallel", {}).get("matrix", []):
        for name, values in one.items():
            script = "\n".join(script.replace(f'"${name}"', value) for value in values)
    return set(re.findall(r"^\s*make ([\w-]+)", script, re.MULTILINE))


def unknown(job: dict[str, Any]) -> set[str]:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return calls(job) - set(targets)


@pytest.mark.parametrize("name", JOBS)
def test_a_job_calls_targets_and_programs_that_exist(name: str) -> None:
    assert unknown(JOBS[name]) == set()
    for program in re.findall(r"\btools/[\w.-]+", "\n".join(JOBS[name]["script"])):
        assert (ROOT / program).is_file()


def test_the_jobs_are_read_and_what_does_not_exist_would_be_found() -> None:
    assert calls(JOBS["report"]) == {"venv", "pr-report"}
    assert {"lint", "unit"} <= calls(JOBS["check"])
    assert unknown(
        {"script": ["make venv", 'make "$TIER"'], "parallel": {"matrix": [{"TIER": ["lint", "prove"]}]}}
    ) == {"prove"}


def test_a_fork_has_no_pipeline_here_and_posts_no_note() -> None:
    first = PIPELINE["workflow"]["rules"][0]
    assert first["when"] == "never"
    assert first["if"].endswith("$CI_MERGE_REQUEST_SOURCE_PROJECT_ID != $CI_PROJECT_ID")
    (rule,) = JOBS["note"]["rules"]
    assert "$CI_PROJECT_ID == $CI_MERGE_REQUEST_PROJECT_ID" in rule["if"]


def test_the_job_that_runs_the_program_has_other_secrets_than_the_one_that_posts() -> None:
    environments = {name: job["environment"]["name"] for name, job in JOBS.items() if "environment" in job}
    assert environments == {"report": "preview", "note": "notes"}
    assert all(job["environment"]["action"] == "access" for job in JOBS.values() if "environment" in job)
    assert "make" not in "\n".join(JOBS["note"]["script"])


@dataclass
class Forge:
    """A merge request with its notes, and a directory of reports."""

    directory: Path
    notes: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    refused: str = "refused by the forge"
    redirect: bool = False
    tokens: set[str | None] = field(default_factory=set)

    def run(self, stacks: str | None, **reports: str) -> subprocess.CompletedProcess[str]:
        """Post what each stack's report says; `stacks` are those that the commit changes."""
        directory = self.directory / "reports"
        directory.mkdir(exist_ok=True)
        for file in directory.iterdir():
            file.unlink()
        for stack, text in reports.items():
            (directory / f"{stack}.md").write_text(text)
        if stacks is not None:
            (directory / "stacks.json").write_text(stacks)
        return self.start(f"https://127.0.0.1:{self.port}/api/v4", NOTES_TOKEN=TOKEN)

    def start(self, api: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("CI_", "NOTES_"))},
            "CI_API_V4_URL": api,
            "CI_SERVER_TLS_CA_FILE": str(self.directory / "authority.pem"),
            "CI_MERGE_REQUEST_PROJECT_ID": "7",
            "CI_MERGE_REQUEST_IID": "3",
            "CI_COMMIT_SHA": HEAD,
            "CI_PIPELINE_URL": "https://forge.example/o/r/-/pipelines/5",
            **more,
        }
        command = [sys.executable, "-I", "-S", str(ROOT / "tools" / "mr_note.py"), str(self.directory / "reports")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    @property
    def bodies(self) -> list[str]:
        return [note["body"] for note in self.notes if note["author"]["id"] == US]

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """What GitLab's API answers."""
        bare, _, query = path.partition("?")
        if self.redirect and bare == "/api/v4/user":
            return 307, None
        if (method, bare) in {("GET", "/api/v4/user"), ("GET", "/elsewhere")}:
            return 200, {"id": US}
        if (method, bare) == ("GET", NOTES):
            page = int(parse_qs(query)["page"][0])
            return 200, self.notes[(page - 1) * 100 : page * 100]
        if self.refused in body["body"]:
            return 400, {"message": "note is too long"}
        if (method, bare) == ("POST", NOTES):
            self.notes.append({"id": len(self.notes) + 1, "author": {"id": US}, "body": body["body"]})
            return 201, {}
        (known,) = [note for note in self.notes if (method, bare) == ("PUT", f"{NOTES}/{note['id']}")]
        known["body"] = body["body"]
        return 200, {}


def handler(forge: Forge) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

        def answer(self) -> None:
            forge.tokens.add(self.headers["PRIVATE-TOKEN"])
            length = int(self.headers["Content-Length"] or 0)
            status, said = forge.answer(self.command, self.path, json.loads(self.rfile.read(length) or "{}"))
            text = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Location", f"https://localhost:{forge.port}/elsewhere")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names of the server's interface

    return Handler


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    authority = Authority()
    certificate, key = authority.issue()
    (tmp_path / "authority.pem").write_text(authority.pem)
    (tmp_path / "server.pem").write_text(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    made = Forge(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def report(stack: str, text: str) -> str:
    return f"<!-- nested-pve-ha:{stack} -->\n{text}\n"


def test_each_stack_has_one_note_that_is_kept_current(forge: Forge) -> None:
    others: list[dict[str, Any]] = [
        {"id": 1, "author": {"id": SOMEBODY}, "body": report("dev", "quoted")},
        {"id": 2, "author": {"id": US}, "body": f"of another job\n{report('dev', 'quoted')}"},
        {"id": 3, "author": {"id": SOMEBODY}, "body": None},
        *({"id": number, "author": {"id": SOMEBODY}, "body": "talk"} for number in range(4, 204)),
    ]
    forge.notes = [dict(note) for note in others]
    first = forge.run('["dev"]', dev=report("dev", "first"))
    assert (first.returncode, first.stdout) == (0, f"dev: POST {NOTES}\n"), first.stderr
    second = forge.run('["dev"]', dev=report("dev", "second"))
    assert (second.returncode, second.stdout) == (0, f"dev: PUT {NOTES}/204\n"), second.stderr
    assert forge.notes[:203] == others
    assert [note["body"] for note in forge.notes[203:]] == [
        "<!-- nested-pve-ha:dev -->\nsecond\n\n<sub>for commit 0123456</sub>\n"
    ]
    assert forge.tokens == {TOKEN}


@pytest.mark.parametrize(
    ("stacks", "said"),
    [
        ("[]", "The merge request no longer changes this stack"),
        (
            '["home"]',
            "There is no report for this commit**: making it failed, see [the pipeline](https://forge.example",
        ),
        ("", "There is no report for this commit"),
        (None, "There is no report for this commit"),
    ],
)
def test_an_earlier_verdict_does_not_outlive_its_commit(forge: Forge, stacks: str | None, said: str) -> None:
    forge.run('["home"]', home=report("home", "good"))
    done = forge.run(stacks)
    assert done.returncode == 0, done.stderr
    (body,) = forge.bodies
    assert body.startswith("<!-- nested-pve-ha:home -->\n## Stack `home`\n\n")
    assert said in body


def test_a_note_that_is_refused_fails_the_job_after_the_others_are_posted(forge: Forge) -> None:
    done = forge.run('["dev","home"]', dev=report("dev", forge.refused), home=report("home", "good"), other="no mark\n")
    assert done.returncode == 1
    assert f"error: dev: the note could not be posted (POST {NOTES}): HTTP 400 Bad Request\n" in done.stderr
    assert "other.md: its first line names no stack" in done.stderr
    assert [body.splitlines()[1] for body in forge.bodies] == ["good"]


def test_a_line_of_a_report_is_no_command_to_the_forge(forge: Forge) -> None:
    forge.run('["dev"]', dev=report("dev", "/merge\n  /approve\nsee docs/config.md"))
    assert forge.bodies[0].splitlines()[1:4] == ["\\/merge", "  \\/approve", "see docs/config.md"]


def test_the_token_goes_to_nobody_but_the_forge(forge: Forge) -> None:
    plain = forge.start("http://127.0.0.1:9/api/v4", NOTES_TOKEN=TOKEN)
    assert (plain.returncode, "http://127.0.0.1:9 is not asked" in plain.stderr) == (1, True)
    stranger = Authority().pem
    (forge.directory / "authority.pem").write_text(stranger)
    assert "CERTIFICATE_VERIFY_FAILED" in forge.run('["dev"]', dev=report("dev", "text")).stderr
    assert (forge.tokens, forge.notes) == (set(), [])


def test_a_redirect_is_told_and_not_followed(forge: Forge) -> None:
    forge.redirect = True
    done = forge.run('["dev"]', dev=report("dev", "text"))
    assert done.returncode == 1
    assert done.stderr == "error: the notes of the merge request could not be read: HTTP 307 Temporary Redirect\n"
    assert forge.notes == []


def test_without_a_token_nothing_is_posted_and_the_job_passes(forge: Forge) -> None:
    done = forge.start(f"https://127.0.0.1:{forge.port}/api/v4")
    assert (done.returncode, done.stdout.startswith("no note: the variable NOTES_TOKEN is not set")) == (0, True)
    assert forge.tokens == set()
