"""Which handlers the API stand-in finds for which paths, and what it loads for one call."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from typing import TYPE_CHECKING

from pvelab.api import routes
from pvelab.apischema import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADED_BY_ONE = """
import sys
from pvelab.api import routes
assert routes.find("GET", "/version") is not None
print(*(name.rpartition(".")[2] for name in sys.modules if name.startswith("pvelab.api.routes.")))
"""


def _listed() -> Iterator[tuple[str, str, object]]:
    for module in pkgutil.iter_modules(routes.__path__):
        yield from importlib.import_module(f"{routes.__name__}.{module.name}").ROUTES


def test_every_handler_of_every_module_is_found_and_is_in_proxmox_api() -> None:
    listed = list(_listed())
    assert len(listed) > len(routes.MODULES)
    for method, template, handler in listed:
        assert method in schema.load().paths[template], template
        assert routes.find(method, template) is handler, f"{method} {template}"
    assert len({(method, template) for method, template, _ in listed}) == len(listed)


def test_nothing_answers_what_no_module_lists() -> None:
    assert routes.find("GET", "/cluster/firewall/groups") is None
    assert routes.find("POST", "/version") is None
    assert routes.find("GET", "/") is None


def test_one_call_loads_its_own_handlers_only() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED_BY_ONE],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["version"]
