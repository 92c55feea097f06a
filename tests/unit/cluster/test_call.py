"""From a command to a step and back: what a step is given, what is recorded, and how it ends otherwise."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from cluster import call
from cluster.call import Call
from cluster.contract import KNOWN_VARIABLE, SECRETS_VARIABLE, Claim, Machine, Secrets
from cluster.errors import AdminError
from cluster.steps import claim
from onnode.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

DESIRED = {"machine": {"name": "pve1", "address": "192.0.2.1", "host_key": "ssh-ed25519 AAAA"}, "stack": "dev"}
SECRETS = {"ssh_private_key": "PRIVATE", "root_password": "root-secret", "api_password": None}
OUTCOME = Outcome(changed=True, facts={"stack": "dev", "name": "pve1"})
NOTHING: dict[str, Outcome] = {}
Given = list[tuple[str, Claim, Call]]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """What the step got, and whether it was to do or to undo."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(DESIRED)))
    monkeypatch.setenv(SECRETS_VARIABLE, json.dumps(SECRETS))
    monkeypatch.delenv(call.PREVIOUS_VARIABLE, raising=False)
    return step(monkeypatch, lambda: OUTCOME)


def step(monkeypatch: pytest.MonkeyPatch, end: Callable[[], Outcome]) -> Given:
    seen: Given = []

    def doing(what: str) -> Any:  # noqa: ANN401 - a coroutine function
        async def do(desired: Claim, given: Call) -> Outcome:
            await asyncio.sleep(0)
            seen.append((what, desired, given))
            return end()

        return do

    for what in ("bring_about", "remove"):
        monkeypatch.setattr(claim, what, doing(what))
    return seen


@pytest.mark.parametrize(("argv", "what"), [(["claim"], "bring_about"), (["claim", "--delete"], "remove")])
def test_a_step_gets_its_input_and_its_outcome_is_one_line(
    given: Given, capsys: pytest.CaptureFixture[str], argv: list[str], what: str
) -> None:
    assert call.call(argv) == 0
    desired = Claim(Machine("pve1", "192.0.2.1", "ssh-ed25519 AAAA"), "dev")
    assert given == [(what, desired, Call(Secrets("PRIVATE", "root-secret")))]
    assert SECRETS_VARIABLE not in os.environ, "a program that the step starts would have them"
    assert capsys.readouterr().out == '{"changed": true, "facts": {"name": "pve1", "stack": "dev"}}\n'


@pytest.mark.parametrize(
    ("recorded", "previous"),
    [
        ('a line\n{"changed": true, "facts": {"adopt": true}}\n', {"adopt": True}),
        (' \n{"changed": false, "facts": {}}', {}),
        ("\n", None),
    ],
)
def test_the_facts_of_the_run_before_are_known(
    given: Given, monkeypatch: pytest.MonkeyPatch, recorded: str, previous: dict[str, Any] | None
) -> None:
    monkeypatch.setenv(call.PREVIOUS_VARIABLE, recorded)
    assert call.call(["claim"]) == 0
    assert (given[0][2].previous, given[0][2].known) == (previous, None)


def test_the_facts_of_the_step_that_knows_all_nodes_are_told_apart(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(call.PREVIOUS_VARIABLE, '{"changed": true, "facts": {"own": 1}}\n')
    monkeypatch.setenv(KNOWN_VARIABLE, '{"changed": true, "facts": {"members": {}}}\n')
    assert call.call(["claim"]) == 0
    assert (given[0][2].previous, given[0][2].known) == ({"own": 1}, {"members": {}})


def failed(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert call.call(list(argv)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_refusal_is_shown_as_it_is(
    given: Given, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = AdminError("machine-taken", "taken", observed="prod", expected="dev", fix="choose")
    seen = step(monkeypatch, lambda: (_ for _ in ()).throw(refusal))
    assert failed(capsys, "claim") == f"{refusal.render()}\n"
    assert (len(seen), given) == (1, [])


def test_what_nobody_foresaw_is_one_message_with_its_place_and_no_traceback(
    given: Given, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Outcome:
        return NOTHING["gone"]

    step(monkeypatch, broken)
    line = broken.__code__.co_firstlineno + 1
    said = failed(capsys, "claim")
    assert said.startswith("error[unexpected]: ")
    assert f"observed: KeyError at {os.path.basename(__file__)}:{line}: 'gone'" in said  # noqa: PTH119
    assert "Traceback" not in said
    assert given == []


@pytest.mark.parametrize(
    ("argv", "stdin", "secrets", "mentions"),
    [
        (["no-such-step"], "{}", json.dumps(SECRETS), "no-such-step"),
        ([], "{}", json.dumps(SECRETS), "''"),
        (["claim"], "no JSON", json.dumps(SECRETS), "claim"),
        (["claim"], "{}", json.dumps(SECRETS), "machine"),
        (["claim"], json.dumps(DESIRED), None, SECRETS_VARIABLE),
        (["claim"], json.dumps(DESIRED), '{"ssh_private_key": "PRIVATE', SECRETS_VARIABLE),
        (["claim"], json.dumps(DESIRED), '{"password": "PRIVATE"}', SECRETS_VARIABLE),
    ],
)
def test_a_call_that_is_wrong_is_refused_and_no_secret_is_quoted(  # noqa: PLR0913, PLR0917 - a table of calls
    given: Given,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    stdin: str,
    secrets: str | None,
    mentions: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    monkeypatch.delenv(SECRETS_VARIABLE)
    if secrets is not None:
        monkeypatch.setenv(SECRETS_VARIABLE, secrets)
    said = failed(capsys, *argv)
    assert said.startswith("error[bad-call]: ")
    assert mentions in said
    assert "PRIVATE" not in said
    assert given == []


def test_a_step_ends_well_when_nobody_listens_any_more(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(sys, "stderr", Closed())
    assert call.call(["claim"]) == 0
    assert call.call(["no-such-step"]) == 1
    assert len(given) == 1
