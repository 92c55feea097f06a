"""No secret gets into a report, from wherever its texts come."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from cli import chronicle, description
from cli.chronicle import Chronicle, Remark, Stage
from cli.engine.failures import Failure
from cli.run.engine_runs import RunError
from cli.run_report import leaving, masking, writing
from cluster.drilling import Drill, GuestClock, Silence
from cluster.errors import AdminError
from config import credentials
from config.load import load
from tests.support import program
from tests.unit.cli.run_report.told import begun, changed, engine_run, failed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onnode.errors import StepError

SECRET = 'p4ss/w"ord &<é>'
KEY = "\n".join(
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "b3BlbnNzaC1rZXktdjE" * 3,
        "AAAAC3NzaC1lZDI1NTE5" * 3,
        "-----END OPENSSH PRIVATE KEY-----",
    ]
)


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where reports are kept."""
    monkeypatch.setattr(writing, "DIRECTORY", tmp_path / "reports")
    return writing.DIRECTORY


def remark(text: str) -> list[Remark]:
    return [Remark(text, text, text)]


def seen(text: str) -> dict[str, Any]:
    return {text: AdminError("host-unreachable", text)}


def drill(text: str) -> Drill:
    guests, others = [GuestClock(text, 0.1, None, 1, 2, 3, text)], [Silence(text, text, 0.5)]
    return Drill(text, was_master=True, time_scale=0.1, interval_s=0.5, longest_s=0.6, guests=guests, others=others)


# Every place whose text comes from a program, a machine or the engine.
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "changes": lambda text: {"changes": remark(text)},
    "transitions": lambda text: {"transitions": [text]},
    "drifted": lambda text: {"drifted": remark(text)},
    "acts": lambda text: {"acts": remark(text)},
    "drill": lambda text: {"drill": drill(text)},
    "findings": lambda text: {"findings": remark(text)},
    "passing": lambda text: {"passing": remark(text)},
    "stages": lambda text: {"stages": [Stage(text, 1.0)]},
    "operations": lambda text: {"runs": [engine_run((0.1, begun("create", text)), (0.2, failed("create", text)))]},
    "before": lambda text: {"before": seen(text)},
    "after": lambda text: {"after": seen(text)},
}
ERRORS: dict[str, Callable[[str], StepError]] = {
    "what": lambda text: AdminError("internal", text),
    "observed": lambda text: AdminError("internal", "x", observed=text),
    "expected": lambda text: AdminError("internal", "x", expected=text),
    "next": lambda text: AdminError("internal", "x", fix=text),
    "failures": lambda text: RunError([Failure("internal", text, text)]),
}
ENDS = {"md", "json", "html"}


def written(kept: Chronicle, error: StepError | None, directory: Path) -> dict[str, str]:
    leaving.written(kept, "dev", "up", error)
    return {path.suffix.removeprefix("."): path.read_text() for path in directory.iterdir()}


def holding(place: str, text: str) -> tuple[Chronicle, StepError | None]:
    kept = changed()
    if place in ERRORS:
        return kept, ERRORS[place](text)
    for name, value in PLACES[place](text).items():
        setattr(kept, name, value)
    return kept, None


@pytest.mark.parametrize("place", [*PLACES, *ERRORS])
def test_a_secret_is_masked_wherever_it_is(place: str, directory: Path) -> None:
    kept, error = holding(place, "before unmasked1 after")
    for format_, text in written(kept, error, directory).items():
        assert "unmasked1" in text, f"{place} is not in {format_}: the check below would show nothing"
    for path in directory.iterdir():
        path.unlink()
    kept, error = holding(place, "before unmasked1 after")
    kept.secrets.add("unmasked1")
    for format_, text in written(kept, error, directory).items():
        assert "unmasked1" not in text, format_
        assert "secret" in text


def test_every_field_of_a_chronicle_with_texts_is_looked_at() -> None:
    """A new field must be entered above, or be without texts of others."""
    own = {"began", "config", "secrets", "environment", "state", "runs"}
    assert set(Chronicle.__dataclass_fields__) - own == set(PLACES) - {"operations"}


@pytest.mark.parametrize(
    "form", [str, lambda text: quote(text, safe=""), lambda text: json.dumps(text)[1:-1], lambda text: repr(text)[1:-1]]
)
@pytest.mark.parametrize("secret", [SECRET, "tab\tand'quote\\1", "äöü-pass"])
def test_it_is_found_as_programs_quote_it(form: Callable[[str], str], secret: str) -> None:
    assert masking.masked(f"x{form(secret)}x", {secret}) == "x[secret]x"


def test_each_line_of_a_key_is_one() -> None:
    lines = KEY.splitlines()
    for line in lines[1:-1]:
        assert masking.masked(f"bad key {line}", {KEY}) == "bad key [secret]"
    assert masking.masked("a line that is none", {KEY}) == "a line that is none"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"cannot read {KEY} there", "cannot read [secret] there"),
        (KEY[:60], "[secret]"),
        ("at postgres://me:pw@db/x?a=b", "at postgres://[secret]@db/x?a=b"),
        ("https://192.168.0.185:8006/", "https://192.168.0.185:8006/"),
        ("cookie PVE:root@pam:65F0A1B2::bG9uZw== sent", "cookie [secret] sent"),
        ("PVEAPIToken=root@pam!x=0b5c-11 refused", "PVEAPIToken=[secret] refused"),
        ("write to root@pam", "write to root@pam"),
        ("at postgres://u:p/w@h", "at postgres://[secret]@h"),
        ("at postgres://u:p@w/x@h:5432/db", "at postgres://[secret]@h:5432/db"),
        ("at postgres://u:p@w@h/db", "at postgres://[secret]@h/db"),
        ("https://192.168.0.185:8006/access/users/root@pam", "https://192.168.0.185:8006/access/users/root@pam"),
        ("PVEAuthCookie=PVE%3Aroot%40pam%3A65F0A1B2%3A%3AbG9u%2BZw%3D%3D; x", "PVEAuthCookie=[secret]; x"),
        ("PVEAuthCookie=PVE%3aroot@pam%3a65F0A1B2%3a%3abG9uZw%3d%3d", "PVEAuthCookie=[secret]"),
        ("CSRFPreventionToken: 65F0A1B2:bG9uZw 403", "CSRFPreventionToken: [secret] 403"),
        ("root:$6$rounds=5000$salt$abcDEF./12:19000:0", "root:[secret]:19000:0"),
        ("root:$y$j9T$saltsalt$abcDEF./12:19000", "root:[secret]:19000"),
        ("$2b$12$abcdefghijklmnopqrstuv", "[secret]"),
        ("awk '{print $1, $3}' costs $5", "awk '{print $1, $3}' costs $5"),
    ],
)
def test_what_is_a_secret_by_its_form_is_masked_without_being_known(text: str, shown: str) -> None:
    assert masking.masked({"a": [text]}, set()) == {"a": [shown]}


def test_a_longer_secret_goes_before_one_that_it_begins_with() -> None:
    assert masking.masked("pass-word", {"pass", "pass-word"}) == "[secret]"


def test_what_is_too_short_to_be_told_from_words_is_left() -> None:
    assert masking.masked("a 1 b", {"1", ""}) == "a 1 b"


def test_passphrases_and_tokens_of_the_environment_count(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "of-the-process")
    kept = changed()
    kept.environment = {"PULUMI_ACCESS_TOKEN": "of-the-engine", "NESTED_PVE_CREDENTIALS": "/etc/credentials.json"}
    kept.findings = [Remark("x", "of-the-process of-the-engine /etc/credentials.json")]
    for text in written(kept, None, directory).values():
        assert "of-the-process" not in text
        assert "of-the-engine" not in text
        assert "credentials.json" in text.replace("\\", "")


def test_a_switch_and_a_files_name_are_no_secrets() -> None:
    environment = {
        "A_TOKEN": "true",
        "PULUMI_CONFIG_PASSPHRASE_FILE": "own/file",
        "PATH": "/usr/bin",
        "GOOGLE_APPLICATION_CREDENTIALS": "/etc/google.json",
        "API_PASSWORD": "x-y-z",
        "AWS_SECRET_ACCESS_KEY": "/abc+DEF",
        "AZURE_STORAGE_KEY": "/ghi==",
    }
    assert masking.of_environment(environment) == {"x-y-z", "/abc+DEF", "/ghi=="}


def test_the_stacks_secrets_are_known_once_its_description_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = program.credentials()
    settings = program.settings(program.stack_file("dev"), given)
    monkeypatch.setattr(description, "stack_file", lambda stack: tmp_path / stack)
    monkeypatch.setattr(description, "_settings", lambda *_: (settings, {credentials.STACK_KEY}))
    with chronicle.kept() as kept:
        description.read("dev", {"PULUMI_CONFIG_PASSPHRASE": "lab-only"})
    found = json.loads(settings[credentials.STACK_KEY])
    names = ("rootPassword", "apiPassword", "hostKeySeed", "sshPrivateKey")
    assert {found[name] for name in names} <= kept.secrets
    assert {"outer-password"} <= kept.secrets
    assert kept.config == load(settings)
    assert kept.environment["PULUMI_CONFIG_PASSPHRASE"] == "lab-only"


def test_every_secret_of_the_credentials_is_one_of_its_texts() -> None:
    """Of a new field, too: each is given another value here, and must be found."""
    values = json.loads(program.settings(program.stack_file("dev"), program.credentials())[credentials.STACK_KEY])
    read = credentials.Credentials.model_validate(values)
    dumped = json.dumps(read.model_dump(mode="json"))
    assert dumped.count("**********") == len(read.texts)


def test_control_characters_cannot_reach_a_terminal_or_a_reader() -> None:
    text = "\x1b[2J\x1b]0;title\x07a\u202eb\u200bc\x00d\te\nf"
    shown = masking.masked(text, set())
    assert not set(shown) & set("\x1b\x07\u202e\u200b\x00\t")
    assert shown.endswith("\nf")
    assert "[2J" not in shown
    assert "title" not in shown
    assert os.linesep in shown


@pytest.mark.parametrize("between", ["\x1b[31m", "\x1b[0;1m", "\u200b", "\x00", "\x1b[?25l"])
def test_what_a_terminal_obeys_does_not_hide_a_secret(between: str) -> None:
    assert masking.masked(f"x hid{between}den1 y", {"hidden1"}) == "x [secret] y"
    assert masking.masked(f"https://me:p{between}w@h/", set()) == "https://[secret]@h/"
