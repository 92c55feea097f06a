"""The plugin's schema has everything that the Python SDK knows: tokens, properties and their types."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
import types
import typing
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pulumi
import pulumi_proxmoxve
import pytest
import yaml

from toolchain.home import selected_home
from toolchain.parts import PROXMOXVE

MISSING = Path(__file__).parent / "data" / "proxmoxve_missing.yaml"
PROVIDER = "pulumi:providers:proxmoxve"
SCALARS = {str: "string", bool: "boolean", int: "integer", float: "number"}
WRAPPERS = (pulumi.Output, Awaitable)

# Read from the SDK's generated code: the token that an invoke names, and the keys of what it sends.
INVOKE = re.compile(r"pulumi\.runtime\.invoke\('([^']+)'")
INVOKE_ARGUMENT = re.compile(r"__args__\['(\w+)'\]")

# At least this many are in the release; fewer would mean that the walk below does not find them.
RESOURCES = 116
FUNCTIONS = 91


@pytest.fixture(scope="module")
def schema(toolchain: dict[str, str]) -> dict[str, Any]:
    plugin = selected_home().plugin_file(PROXMOXVE)
    done = subprocess.run(
        ["pulumi", "package", "get-schema", plugin], env=toolchain, check=True, capture_output=True, text=True
    )
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def sdk_modules() -> list[types.ModuleType]:
    found = pkgutil.walk_packages(pulumi_proxmoxve.__path__, f"{pulumi_proxmoxve.__name__}.")
    return [importlib.import_module(module.name) for module in found]


def own_classes(module: types.ModuleType) -> list[type]:
    return [c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__]


def resources() -> dict[str, type]:
    classes = (c for module in sdk_modules() for c in own_classes(module))
    found = {c.pulumi_type: c for c in classes if issubclass(c, pulumi.Resource)}  # type: ignore[attr-defined]
    # The provider's token has no module in the SDK.
    return {PROVIDER if issubclass(c, pulumi.ProviderResource) else token: c for token, c in found.items()}


def functions() -> dict[str, Callable[..., Any]]:
    members = (f for module in sdk_modules() for _, f in inspect.getmembers(module, inspect.isfunction))
    tokens = ((INVOKE.search(inspect.getsource(f)), f) for f in members)
    return {token[1]: f for token, f in tokens if token}


def wire_properties(cls: type) -> dict[str, Any]:
    """The names that the SDK puts on the wire, with the Python type of each."""
    getters = [v.fget for _, v in inspect.getmembers(cls) if isinstance(v, property) and v.fget]
    # Names are the same in many modules: separate locals keep typing from answering with another module's class.
    # Input[T] is defined as Union[T, Awaitable[T], "Output[T]"], and those names are resolved here.
    known = {**vars(sys.modules[cls.__module__]), "Output": pulumi.Output, "T": object}
    return {
        getter._pulumi_name: typing.get_type_hints(getter, known, {})["return"]
        for getter in getters
        if hasattr(getter, "_pulumi_name")
    }


def arguments_class(resource: type) -> type:
    found: type = getattr(sys.modules[resource.__module__], f"{resource.__name__}Args")
    return found


def plain(hint: object) -> object:
    """Strip Optional, Input and Output from a type."""
    origin = typing.get_origin(hint)
    if origin is pulumi.Output:
        return plain(typing.get_args(hint)[0])
    if origin in {typing.Union, types.UnionType}:
        inner = [a for a in typing.get_args(hint) if a is not type(None) and typing.get_origin(a) not in WRAPPERS]
        # InputType[T] also allows a plain mapping.
        return plain(inner[0])
    return hint


def differences(hint: object, spec: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Where the schema's type of a property is not what the SDK sends or expects."""
    hint = plain(hint)
    origin = typing.get_origin(hint)
    if hint is Any:
        return
    if hint in SCALARS:
        if spec.get("type") != SCALARS[hint]:
            yield f"{path}: {hint.__name__}"
    elif origin is Sequence:
        if "items" in spec:
            yield from differences(typing.get_args(hint)[0], spec["items"], schema, f"{path}[]")
        else:
            yield f"{path}: Sequence"
    elif origin is Mapping:
        if "additionalProperties" in spec:
            yield from differences(typing.get_args(hint)[1], spec["additionalProperties"], schema, f"{path}{{}}")
        else:
            yield f"{path}: Mapping"
    elif isinstance(hint, type) and "$ref" in spec:
        nested = schema["types"][spec["$ref"].removeprefix("#/types/")]
        yield from lacking(wire_properties(hint), nested["properties"], schema, path)
    else:
        yield f"{path}: {hint}"


def lacking(
    wanted: Mapping[str, Any], present: Mapping[str, Any], schema: Mapping[str, Any], path: str
) -> Iterator[str]:
    for name, hint in wanted.items():
        if name in present:
            yield from differences(hint, present[name], schema, f"{path}.{name}")
        else:
            yield f"{path}.{name}"


def missing_from_resource(token: str, resource: type, schema: Mapping[str, Any]) -> Iterator[str]:
    spec = schema["provider"] if token == PROVIDER else schema["resources"].get(token)
    if spec is None:
        yield token
        return
    yield from lacking(wire_properties(arguments_class(resource)), spec["inputProperties"], schema, f"{token} input ")
    yield from lacking(wire_properties(resource), spec.get("properties", {}), schema, f"{token} output ")


def missing_from_function(token: str, function: Callable[..., Any], schema: Mapping[str, Any]) -> Iterator[str]:
    spec = schema["functions"].get(token)
    if spec is None:
        yield token
        return
    inputs = spec.get("inputs", {}).get("properties", {})
    yield from (f"{token} input .{n}" for n in INVOKE_ARGUMENT.findall(inspect.getsource(function)) if n not in inputs)
    result = typing.get_type_hints(function)["return"]
    yield from lacking(wire_properties(result), spec["outputs"]["properties"], schema, f"{token} output ")


def test_every_resource_and_function_of_the_sdk_is_found() -> None:
    assert len(resources()) >= RESOURCES
    assert len(functions()) >= FUNCTIONS
    assert "resourceId" in wire_properties(arguments_class(resources()["proxmoxve:storage/nfs:Nfs"]))


def test_the_schema_has_everything_that_the_sdk_knows(schema: dict[str, Any]) -> None:
    missing = [m for token, cls in resources().items() for m in missing_from_resource(token, cls, schema)]
    missing += [m for token, function in functions().items() for m in missing_from_function(token, function, schema)]
    listed = yaml.safe_load(MISSING.read_text())

    assert sorted(missing) == sorted(listed)


def test_what_is_taken_from_the_schema_is_reported(schema: dict[str, Any]) -> None:
    nfs, version = "proxmoxve:storage/nfs:Nfs", "proxmoxve:index/getVersion:getVersion"
    spec = schema["resources"][nfs]
    inputs = {**spec["inputProperties"], "resourceId": {"type": "integer"}}
    del inputs["server"]
    backups = inputs["backups"]["$ref"].removeprefix("#/types/")
    properties = {name: p for name, p in schema["types"][backups]["properties"].items() if name != "keepDaily"}
    damaged = {
        "resources": {nfs: {**spec, "inputProperties": inputs}},
        "functions": {},
        "types": {**schema["types"], backups: {"properties": properties}},
    }

    assert sorted(missing_from_resource(nfs, resources()[nfs], damaged)) == [
        f"{nfs} input .backups.keepDaily",
        f"{nfs} input .resourceId: str",
        f"{nfs} input .server",
        f"{nfs} output .backups.keepDaily",
    ]
    assert list(missing_from_function(version, functions()[version], damaged)) == [version]
