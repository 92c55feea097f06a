"""A state is written over only as it was seen."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from cli.engine.engine import Engine
from cluster.errors import AdminError

SEEN: dict[str, Any] = {"deployment": {"resources": []}}
OTHER: dict[str, Any] = {"deployment": {"resources": [{"urn": "made meanwhile"}]}}


def imports(now: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The engine's calls from here on; what is recorded by now is `now`."""
    calls: list[tuple[str, ...]] = []

    def query(_engine: Engine, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        assert stdin is not None
        calls.append(arguments)
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(Engine, "export", lambda _engine: now)
    monkeypatch.setattr(Engine, "query", query)
    return calls


def test_the_state_that_was_seen_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = imports(SEEN, monkeypatch)
    Engine("dev", {}).replace_state(SEEN, OTHER)
    assert calls == [("stack", "import")]


@pytest.mark.parametrize("now", [OTHER, None])
def test_a_state_that_changed_meanwhile_is_not_written_over(
    now: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = imports(now, monkeypatch)
    with pytest.raises(AdminError) as refused:
        Engine("dev", {}).replace_state(SEEN, OTHER)
    assert refused.value.code == "stack-locked"
    assert calls == []


def test_a_lock_has_its_name_whatever_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "error: the stack is currently locked by 1 lock(s)."
    monkeypatch.setattr(Engine, "export", lambda _engine: SEEN)
    monkeypatch.setattr(Engine, "query", lambda *_, **__: subprocess.CompletedProcess([], 255, "", said))
    with pytest.raises(AdminError) as refused:
        Engine("home", {}).replace_state(SEEN, OTHER)
    assert refused.value.code == "stack-locked"
    assert "`pulumi cancel --stack home` in `make shell STACK=home`" in refused.value.fix


@pytest.mark.parametrize(
    ("code", "printed", "expected"),
    [
        (0, '[{"kind": "destroy"}]', {"kind": "destroy"}),
        (0, "[]", {}),
        (255, "error: unexpected end of JSON input", {}),
    ],
)
def test_the_last_run_is_the_newest_of_the_history_and_one_that_cannot_be_read_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, code: int, printed: str, expected: dict[str, Any]
) -> None:
    monkeypatch.setattr(Engine, "query", lambda *_, **__: subprocess.CompletedProcess([], code, printed, ""))
    assert Engine("dev", {}).last_run() == expected
