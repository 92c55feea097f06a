"""Byte code of the image's modules for the machines' Python."""

from __future__ import annotations

import py_compile
from pathlib import Path

from lab.image import bytecode
from lab.settings import Settings


def test_pythons_own_byte_code_of_the_image_is_taken_where_the_machines_look_for_it(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "state", tmp_path / "cache")
    package = settings.image / "usr/lib/python3/dist-packages/grown"
    package.mkdir(parents=True)
    source = package / "__init__.py"
    source.write_text("")
    compiled = Path(str(py_compile.compile(str(source))))
    bytecode.link(settings)
    place = settings.state / "world" / bytecode.PLACE
    shown = place / "usr/lib/python3/dist-packages/grown" / compiled.name
    assert shown.readlink() == Path("/usr/lib/python3/dist-packages/grown/__pycache__") / compiled.name
