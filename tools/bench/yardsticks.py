"""Programs that each do a part of what a preview of the product does; the differences show where its time goes."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

from toolchain.parts import PLUGINS

if TYPE_CHECKING:
    from pathlib import Path

IMPORTS, REGISTRATIONS = "imports", "registrations"
STEPS = "steps.json"
PROJECT = "name: {}\nruntime:\n  name: python\n  options:\n    virtualenv: .venv\n"
IMPORTING = """\
import gc
import sys

gc.set_threshold(100_000)
sys.path.insert(0, {project!r})

{imports}
"""
# Without the order among resources, and with nothing computed: what the SDK and the engine need for these resources alone.
REGISTERING = """\
import json

import pulumi

CONNECTION = {"host": "192.0.2.1", "user": "root", "privateKey": "x" * 1600}
made = {}


def value(name, shown):
    if shown != "[secret]":
        return shown
    return pulumi.Output.secret(CONNECTION if name == "connection" else "x")


def register(state):
    kind, name = state["type"], state["urn"].rsplit("::", 1)[1]
    options = pulumi.ResourceOptions(parent=made.get(state.get("parent")))
    if not state.get("custom"):
        return pulumi.ComponentResource(kind, name, {}, options)
    inputs = {key: value(key, shown) for key, shown in state["inputs"].items() if not key.startswith("__")}
    if kind.startswith("pulumi:providers:"):
        options.version = inputs.pop("version")
        inputs.setdefault("endpoint", "https://192.0.2.1:8006")  # a preview does not know the cluster's
        return pulumi.ProviderResource(kind.rsplit(":", 1)[1], name, inputs, options)
    options.version = VERSIONS[kind.split(":")[0]]
    options.provider = made.get(state["provider"].rsplit("::", 1)[0])
    return pulumi.CustomResource(kind, name, inputs, options)


with open("steps.json") as steps:
    states = [step["newState"] for step in json.load(steps)["steps"]]
for state in states:
    if not (state["type"] == "pulumi:pulumi:Stack" or "::default" in state["urn"]):
        made[state["urn"]] = register(state)
"""


def write(directory: Path, project: Path) -> None:
    """Write both programs into directories of their own.

    Args:
        directory: where.
        project: the product, with its virtual environment.
    """
    imports = IMPORTING.format(project=str(project), imports=_imports((project / "__main__.py").read_text()))
    versions = f"VERSIONS = { ({part.name: part.version for part in PLUGINS})!r}\n"
    for name, program in ((IMPORTS, imports), (REGISTRATIONS, versions + REGISTERING)):
        place = directory / name
        place.mkdir()
        (place / "Pulumi.yaml").write_text(PROJECT.format(name))
        (place / "__main__.py").write_text(program)
        (place / ".venv").symlink_to(project / ".venv")


def _imports(program: str) -> str:
    found = [one for one in ast.parse(program).body if isinstance(one, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, found))


def keep_steps(directory: Path, previewed: str) -> None:
    """Give the second program its resources: what `pulumi preview --json` of the product printed.

    Raises:
        ValueError: that is no such document, or one without resources.
    """
    document: dict[str, Any] = json.loads(previewed)
    if not document.get("steps"):
        raise ValueError("the preview has no resources")
    (directory / REGISTRATIONS / STEPS).write_text(previewed)
