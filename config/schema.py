"""The configuration's JSON schema, in the form of a stack file, for editors and for the reference page."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from config.model import Config

PREFIX = "nested-pve-ha:"


def model_schema() -> dict[str, Any]:
    """The schema of the model itself, keys without prefix."""
    return copy.deepcopy(_built())


@cache
def _built() -> dict[str, Any]:
    return Config.model_json_schema(by_alias=True)


def stack_file_schema() -> dict[str, Any]:
    """The schema of a Pulumi.<stack>.yaml: the model's keys under `config`, foreign keys left alone."""
    model = model_schema()
    keys = {f"{PREFIX}{name}": _as_stored(value) for name, value in model["properties"].items()}
    keys[f"{PREFIX}credentials"] = {
        "type": "object",
        "description": "Credentials as secrets: set them with `pulumi config set --secret --path`.",
    }
    known_or_foreign = {"anyOf": [{"enum": sorted(keys)}, {"not": {"pattern": f"^{PREFIX}"}}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stack file of nested-pve-ha",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": keys,
                "required": [f"{PREFIX}{name}" for name in model["required"]],
                "propertyNames": known_or_foreign,
            },
        },
        "required": ["config"],
        "$defs": model["$defs"],
    }


def _as_stored(schema: dict[str, Any]) -> dict[str, Any]:
    """Top-level numbers and booleans: the engine rewrites them as texts whenever it writes the file."""
    if schema.get("type") not in ("integer", "boolean"):
        return schema
    description = schema.pop("description")
    return {"anyOf": [schema, {"type": "string"}], "description": description}


def known_keys() -> list[str]:
    """Every key that the model knows, at any depth."""
    model = model_schema()
    found = set(model["properties"])
    for definition in model["$defs"].values():
        found.update(definition.get("properties", {}))
    return sorted(found)


@cache
def keys_at(location: tuple[int | str, ...]) -> list[str]:
    """The keys that a place of the configuration may have; none where the model does not reach.

    Args:
        location: as the library names it: keys, numbers in lists, and the kinds of tagged unions.
    """
    node = _built()
    for part in location:
        node = _resolved(_inside(node, part))
    return sorted(node.get("properties", {}))


def _inside(node: dict[str, Any], part: int | str) -> dict[str, Any]:
    if isinstance(part, int):
        found: dict[str, Any] = node.get("items", {})
        return found
    for arm in node.get("oneOf", ()):
        kind = _resolved(arm).get("properties", {}).get("kind", {})
        if part == kind.get("const"):
            found_arm: dict[str, Any] = arm
            return found_arm
    inner: dict[str, Any] = node.get("properties", {}).get(part, {})
    return inner


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference names; of a value that may be left out, the value."""
    arms = [arm for arm in node.get("anyOf", ()) if arm.get("type") != "null"]
    if len(arms) == 1:
        return _resolved(arms[0])
    name = str(node.get("$ref", "")).rpartition("/")[2]
    found: dict[str, Any] = _built()["$defs"][name] if name else node
    return found
