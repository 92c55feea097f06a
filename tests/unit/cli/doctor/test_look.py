"""What of a stack file doctor looks for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cli.doctor.look import expected_of
from config.model import ExternalStorage

if TYPE_CHECKING:
    from cli.description import Description


def test_every_described_storage_is_looked_for(dev: Description) -> None:
    before = expected_of(dev).storages
    assert before == sorted(storage.name for storage in dev.config.storages) != []
    external = ExternalStorage(kind="external", name="backup", shared=False)
    described = replace(dev, config=dev.config.model_copy(update={"storages": (*dev.config.storages, external)}))
    assert expected_of(described).storages == sorted([*before, "backup"])
