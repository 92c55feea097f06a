"""The plugin's schema is what the published Python SDK speaks."""

from __future__ import annotations

import inspect
import json
import subprocess
import typing
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from pulumi import _types as sdk_types
from pulumi_command import local, remote

if TYPE_CHECKING:
    import enum
    from pathlib import Path

Schema = dict[str, Any]

RESOURCES = {
    "command:local:Command": (local.Command, local.CommandArgs),
    "command:remote:Command": (remote.Command, remote.CommandArgs),
    "command:remote:CopyFile": (remote.CopyFile, remote.CopyFileArgs),
    "command:remote:CopyToRemote": (remote.CopyToRemote, remote.CopyToRemoteArgs),
}
OBJECTS = {
    "command:remote:Connection": (remote.outputs.Connection, remote.ConnectionArgs),
    "command:remote:ProxyConnection": (remote.outputs.ProxyConnection, remote.ProxyConnectionArgs),
}
ENUMS: dict[str, type[enum.Enum]] = {"command:local:Logging": local.Logging, "command:remote:Logging": remote.Logging}

# As the published schema has them.
SECRET_FIELDS = {"password", "privateKey", "privateKeyPassword"}

PRIMITIVES = {bool: "boolean", str: "string", int: "integer", float: "number"}
CONTAINERS: dict[Any, str] = {
    typing.get_origin(typing.Mapping[str, str]): "object",
    typing.get_origin(typing.Sequence[str]): "array",
}


@pytest.fixture(scope="module")
def schema(toolchain: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Schema:
    directory: Path = tmp_path_factory.mktemp("schema")
    done = subprocess.run(
        ["pulumi", "package", "get-schema", "command@1.2.1"],
        env=toolchain,
        cwd=directory,
        check=True,
        capture_output=True,
    )
    schema: Schema = json.loads(done.stdout)
    return schema


def type_name(annotation: object) -> str:
    """The schema's type for a type of the SDK; objects by their token."""
    if annotation in PRIMITIVES:
        return PRIMITIVES[annotation]
    if typing.get_origin(annotation) in CONTAINERS:
        return CONTAINERS[typing.get_origin(annotation)]
    if annotation is pulumi.Archive:
        return "pulumi.json#/Archive"
    if typing.get_origin(annotation) is typing.Union:
        return "pulumi.json#/Asset"
    tokens: dict[object, str] = {output: token for token, (output, _) in OBJECTS.items()} | {
        e: token for token, e in ENUMS.items()
    }
    return f"#/types/{tokens[annotation]}"


def served_types(properties: Schema) -> dict[str, str]:
    return {name: spec.get("$ref") or spec["type"] for name, spec in properties.items()}


def sdk_type_names(types: dict[str, Any]) -> dict[str, str]:
    return {name: type_name(annotation) for name, annotation in types.items()}


def required(arguments: type) -> set[str]:
    """Wire names of the arguments without which the SDK refuses."""
    names = sdk_types.input_type_py_to_pulumi_names(arguments)
    parameters = inspect.signature(arguments).parameters
    return {wire for name, wire in names.items() if parameters[name].default is inspect.Parameter.empty}


def test_every_token_is_there_and_no_other(schema: Schema) -> None:
    assert (schema["name"], schema["version"]) == ("command", "1.2.1")
    assert schema["resources"].keys() == RESOURCES.keys()
    assert schema["functions"].keys() == {"command:local:run"}
    assert schema["types"].keys() == OBJECTS.keys() | ENUMS.keys()


def test_the_list_of_resources_is_the_sdks() -> None:
    found = {
        vars(value)["pulumi_type"]
        for module in (local, remote)
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, pulumi.CustomResource)
    }
    assert found == RESOURCES.keys()


@pytest.mark.parametrize("token", RESOURCES)
def test_resources(schema: Schema, token: str) -> None:
    resource, arguments = RESOURCES[token]
    served = schema["resources"][token]
    assert served["inputProperties"].keys() == set(sdk_types.input_type_py_to_pulumi_names(arguments).values())
    assert set(served.get("requiredInputs", [])) == required(arguments)
    assert served_types(served["properties"]) == sdk_type_names(sdk_types.resource_types(resource))
    assert served_types(served["inputProperties"]).items() <= served_types(served["properties"]).items()
    # The SDK asks for replacement where the schema says so; CopyFile, which has no update, needs not.
    assert ("replaceOnChanges" in served["inputProperties"]["triggers"]) is (token != "command:remote:CopyFile")
    if "connection" in served["inputProperties"]:
        assert served["inputProperties"]["connection"]["secret"] is True
        assert served["properties"]["connection"]["secret"] is True
    assert ("deprecationMessage" in served) is (token == "command:remote:CopyFile")


@pytest.mark.parametrize("token", OBJECTS)
def test_objects_and_their_defaults(schema: Schema, token: str) -> None:
    output, arguments = OBJECTS[token]
    served = schema["types"][token]
    assert served_types(served["properties"]) == sdk_type_names(sdk_types.output_type_types(output))
    assert set(served["required"]) == required(arguments)
    defaults = {name: spec["default"] for name, spec in served["properties"].items() if "default" in spec}
    assert {name for name, spec in served["properties"].items() if spec.get("secret")} == SECRET_FIELDS
    assert defaults == {k: v for k, v in sdk_types.input_type_to_dict(arguments(host="h")).items() if k != "host"}


@pytest.mark.parametrize("token", ENUMS)
def test_enums(schema: Schema, token: str) -> None:
    assert {v["value"] for v in schema["types"][token]["enum"]} == {member.value for member in ENUMS[token]}


def test_run(schema: Schema) -> None:
    served = schema["functions"]["command:local:run"]
    outputs = sdk_type_names(sdk_types.output_type_types(local.RunResult))
    assert served_types(served["outputs"]["properties"]) == outputs
    inputs = {name: kind for name, kind in outputs.items() if name not in {"stdout", "stderr", "assets", "archive"}}
    assert served_types(served["inputs"]["properties"]) == inputs
    assert len(inputs) == len(inspect.signature(local.run).parameters) - 1, "all but opts"
    assert served["inputs"]["required"] == ["command"]
