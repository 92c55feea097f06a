"""A kept text that differs says where: CI has no other way to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.golden import compare

if TYPE_CHECKING:
    from pathlib import Path


def test_what_differs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("UPDATE_GOLDEN", "1")
    kept = tmp_path / "kept.md"
    kept.write_text("one\ntwo\nthree\nfour\nfive\n")
    compare("one\ntwo\nthree\nfour\nfive\n", kept)
    with pytest.raises(AssertionError) as differs:
        compare("one\ntwo\nthree\nfour, or so\nfive\n", kept)
    assert "-four\n+four, or so" in str(differs.value)
    assert "one" not in str(differs.value).partition("anew")[2]
    assert kept.read_text() == "one\ntwo\nthree\nfour\nfive\n", "never rewritten in CI"
