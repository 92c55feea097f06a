"""A fresh lab for each module of this folder: with an outer host, or with nodes that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bad_world import BadWorld, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterator


def _world(tmp_path_factory: pytest.TempPathFactory, stack: str, shape: str) -> Iterator[BadWorld]:
    directory = tmp_path_factory.mktemp("world")
    world = BadWorld(directory / "project", directory / "lab", stack)
    try:
        succeeded(world.lab("up", "--shape", shape))
        yield world
    finally:
        world.lab("down")


@pytest.fixture(scope="module")
def outer_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BadWorld]:
    """A fresh outer host; stack twonode, nothing deployed."""
    yield from _world(tmp_path_factory, "twonode", "default")


@pytest.fixture(scope="module")
def existing_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BadWorld]:
    """Three fresh stand-alone nodes; stack physical without guests, upgrades and reboots; nothing deployed."""
    for world in _world(tmp_path_factory, "physical", "physical"):
        values = world.configuration()
        for key in ("storages", "templates", "guests"):
            values.pop(key, None)
        values["cluster"]["timeoutS"] = 30
        values["maintenance"] = {"upgrade": False, "reboot": False}
        world.configure(values)
        yield world
