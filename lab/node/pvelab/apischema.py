"""Proxmox's API schema, from fakepve: which methods there are, what they take, and how their answers look.

fakepve's package imports its own server, and with it aiohttp, which costs a command-line tool several times its work.
So the two modules needed here are loaded without the package around them; whoever imports the package gets it whole.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = "fakepve"


@contextmanager
def _bare_package() -> Iterator[None]:
    """Let modules of the package be imported without the package's own code."""
    if _PACKAGE in sys.modules:
        yield
        return
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ModuleNotFoundError(_PACKAGE)
    bare = ModuleType(_PACKAGE)
    bare.__spec__, bare.__file__ = spec, spec.origin
    bare.__path__ = spec.submodule_search_locations or []
    sys.modules[_PACKAGE] = bare
    try:
        yield
    finally:
        del sys.modules[_PACKAGE]


with _bare_package():
    schema = importlib.import_module(f"{_PACKAGE}.schema")
    shapes = importlib.import_module(f"{_PACKAGE}.shapes")
    # Reads the schema's data through the package, so now or never; the library keeps the result.
    schema.load()
