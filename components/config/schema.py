"""The configuration's JSON schema, in the form of a stack file, for editors and for the reference page."""

from __future__ import annotations

from typing import Any

from components.config.model import Config

PREFIX = "nested-pve-ha:"


def model_schema() -> dict[str, Any]:
    """The schema of the model itself, keys without prefix."""
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
