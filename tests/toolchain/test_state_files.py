"""The real engine and a state in files that a crash left damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.backend import locks, state_files
from cli.engine import environment
from cli.engine.engine import Engine
from cluster.errors import AdminError

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = "name: nested-pve-ha\nruntime: python\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose state is kept in a directory that needs quoting."""
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    state = tmp_path / "my state, 50%"
    state.mkdir()
    monkeypatch.setenv("PULUMI_BACKEND_URL", state.as_uri())
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "test")
    return tmp_path


def made(place: Path) -> tuple[Engine, Path]:
    env = environment.for_engine()
    engine = Engine("dev", env, place)
    engine.create_stack()
    backend = environment.file_backend(env)
    assert backend is not None
    return engine, backend


def by_plain_pulumi(engine: Engine) -> Engine:
    """As somebody calls the engine who sets only the directory."""
    url = engine.environment["PULUMI_BACKEND_URL"].partition("?")[0]
    return Engine(engine.stack, {**engine.environment, "PULUMI_BACKEND_URL": url}, engine.directory)


def test_the_engine_writes_nothing_in_place(place: Path) -> None:
    engine, backend = made(place)
    assert (backend / "stacks" / "nested-pve-ha" / "dev.json").is_file()
    assert not list(backend.rglob("*.attrs"))
    Engine("other", by_plain_pulumi(engine).environment, place).create_stack()
    assert list(backend.rglob("*.attrs")), "otherwise it does"


def test_empty_attributes_and_an_empty_layout_are_healed_before_the_engine_reads(place: Path) -> None:
    engine, backend = made(place)
    recorded = engine.export()
    for name in ("stacks/nested-pve-ha/dev.json.attrs", "meta.yaml"):
        (backend / name).write_bytes(b"")
        with pytest.raises(AdminError):
            engine.export()
        environment.for_engine()
        assert engine.export() == recorded


@pytest.mark.parametrize("size", [0, 40])
def test_a_damaged_state_has_a_name_and_is_put_back(place: Path, size: int) -> None:
    engine, backend = made(place)
    recorded = engine.export()
    assert recorded is not None
    engine.replace_state(recorded, recorded)  # what is recorded twice stands in the backup, too
    state = backend / "stacks" / "nested-pve-ha" / "dev.json"
    state.write_bytes(state.read_bytes()[:size])

    with pytest.raises(AdminError) as refused:
        engine.export()
    assert refused.value.code == "state-damaged"
    assert state_files.put_back(backend, "dev")
    assert engine.export() == recorded


@pytest.mark.parametrize(("setting", "ending"), [("GZIP", ".gz"), ("ZSTD", ".zst")])
@pytest.mark.parametrize("size", [0, 40, -1])
def test_a_compressed_state_is_put_back_too(place: Path, setting: str, ending: str, size: int) -> None:
    engine, backend = made(place)
    engine = Engine("dev", {**engine.environment, f"PULUMI_DIY_BACKEND_{setting}": "true"}, place)
    recorded = engine.export()
    assert recorded is not None
    for _ in range(2):  # what is recorded twice stands in the backup, too
        engine.replace_state(recorded, recorded)
    state = backend / "stacks" / "nested-pve-ha" / f"dev.json{ending}"
    assert state_files.put_back(backend, "dev") == "", "the engine's own is whole"
    state.write_bytes(state.read_bytes()[:size])
    assert f"put back from dev.json{ending}.bak" in state_files.put_back(backend, "dev")
    assert engine.export() == recorded


@pytest.mark.parametrize("content", ["", '{"pid":12,"usern'])
def test_a_damaged_lock_stops_the_engine_until_it_is_removed(place: Path, content: str) -> None:
    engine, backend = made(place)
    recorded = engine.export()
    assert recorded is not None
    lock = backend / "locks" / "organization" / "nested-pve-ha" / "dev" / "some.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(content)
    with pytest.raises(AdminError):
        engine.import_state(recorded)
    assert locks.clear_damaged(backend, "dev", None) == [lock]
    engine.import_state(recorded)
