"""A stack file whose secrets cannot be read: why, in words that lead on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli import description
from cluster.errors import AdminError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("said", "code", "named"),
    [
        ("error: no stack named 'home' found", "stack-state-missing", "file:///somewhere"),
        ("error: incorrect passphrase", "stack-secrets", "incorrect passphrase"),
    ],
)
def test_secrets_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: str, named: str
) -> None:
    monkeypatch.setattr(description, "ROOT", tmp_path)
    (tmp_path / "Pulumi.home.yaml").write_text("config: {nested-pve-ha:credentials: {secure: v1:abc}}\n")
    engine = tmp_path / "pulumi"
    engine.write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 255\n')
    engine.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PULUMI_BACKEND_URL": "file:///somewhere"}
    with pytest.raises(AdminError) as caught:
        description.read("home", environment)
    assert caught.value.code == code
    assert named in caught.value.observed


@pytest.mark.parametrize("text", ["config: [", "- a\n- b\n", "just words\n", "config: [a, b]\n", "config: {a: [1}\n"])
def test_a_file_that_holds_no_settings_is_named(text: str) -> None:
    with pytest.raises(AdminError) as caught:
        description.written(text, "Pulumi.home.yaml")
    assert caught.value.code == "config-invalid"
    assert "Pulumi.home.yaml" in caught.value.render()


def test_what_is_encrypted_is_seen_in_any_notation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON it was once taken for the credentials themselves."""
    monkeypatch.setattr(description, "ROOT", tmp_path)
    (tmp_path / "Pulumi.home.yaml").write_text('{"config": {"nested-pve-ha:credentials": {"secure": "v1:abc"}}}')
    engine = tmp_path / "pulumi"
    engine.write_text('#!/bin/sh\necho "error: incorrect passphrase" >&2\nexit 255\n')
    engine.chmod(0o755)
    with pytest.raises(AdminError) as caught:
        description.read("home", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert caught.value.code == "stack-secrets"
