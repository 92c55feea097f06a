"""The one file that is written, and when none is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli import description
from cli.adopt import command
from cluster.errors import AdminError
from config.credentials import FILE_VARIABLE
from config.load import load
from config.stack_file import read
from tests.unit.cli.adopt.test_describe import FOUND, PRIVATE_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from cli.adopt.found import Found

URL = "https://192.168.0.101:8006"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, with an SSH key in the file that the environment names."""
    key = tmp_path / "credentials.json"
    key.write_text(json.dumps({"sshPrivateKey": PRIVATE_KEY, "anything": "else"}))
    key.chmod(0o600)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.setenv(FILE_VARIABLE, str(key))
    for module in (command, description):
        monkeypatch.setattr(module, "ROOT", project)

    async def look(url: str, confirmed: str, key: str) -> Found:
        assert (url, confirmed, key) == (URL, "SHA256:x", PRIVATE_KEY)
        return FOUND

    monkeypatch.setattr(command, "look", look)
    return project


def refused(stack: str = "home", url: str = URL) -> AdminError:
    with pytest.raises(AdminError) as refusal:
        command.adopt(stack, url, "SHA256:x", guests=False)
    return refusal.value


def test_only_the_stack_file_is_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.adopt("home", URL, "SHA256:x", guests=False)
    assert [path.name for path in root.iterdir()] == ["Pulumi.home.yaml"]
    assert load(read(root / "Pulumi.home.yaml").settings).cluster.name == "office"
    said = capsys.readouterr().out
    assert "wrote Pulumi.home.yaml; the cluster was only looked at" in said
    assert "the user pulumi@pve, with a role of its own" in said
    assert "make preview STACK=home LOOK=1" in said


def test_no_file_is_overwritten(root: Path) -> None:
    file = root / "Pulumi.home.yaml"
    file.write_text("mine")
    assert refused().code == "adopt-exists"
    assert file.read_text() == "mine"
    assert refused("Home").code == "stack-name-taken"
    assert [path.name for path in root.iterdir()] == ["Pulumi.home.yaml"]


def test_a_file_that_comes_meanwhile_is_not_overwritten_either(root: Path) -> None:
    file = root / "Pulumi.home.yaml"
    file.write_text("mine")
    with pytest.raises(AdminError) as refusal:
        command._write(file, "ours")
    assert refusal.value.code == "adopt-exists"
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("stack", "url"),
    [
        ("../home", URL),
        ("", URL),
        ("home", "http://192.168.0.101:8006"),
        ("home", "https://[fd00::1]:8006"),
        ("home", "https://root:secret@192.168.0.101:8006"),
        ("home", "https://192.168.0.101:8006/x"),
        ("home", "192.168.0.101"),
    ],
)
def test_a_name_or_url_that_is_none(root: Path, stack: str, url: str) -> None:
    assert refused(stack, url).code == "bad-call"
    assert list(root.iterdir()) == []


def test_the_key_comes_from_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE_VARIABLE)
    error = refused()
    assert error.code == "config-invalid"
    assert f"{FILE_VARIABLE} is not set" in error.render()
    assert list(root.iterdir()) == []
    key = root.parent / "credentials.json"
    monkeypatch.setenv(FILE_VARIABLE, str(key))
    key.chmod(0o644)
    assert "is open to others" in refused().render()
    key.chmod(0o600)
    key.write_text('{"rootPassword": "a secret"}')
    assert "credentials.sshPrivateKey: is missing" in refused().render()
    key.write_text('{"sshPrivateKey": "a secret"}')
    assert "a secret" not in refused().render()
    assert list(root.iterdir()) == []
