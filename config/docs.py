"""The reference page of the configuration, generated from the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from config.model import WORDS
from config.schema import model_schema

INTRODUCTION = (Path(__file__).parent / "introduction.md").read_text()
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}
_FORMATS = {"ipv4": "IPv4 address", "ipv4network": "IPv4 network", "ipv4interface": "IPv4 address/prefix"}


def page() -> str:
    """docs/config.md."""
    schema = model_schema()
    sections = [_section("Top-level keys", schema)]
    sections += [_section(name, schema["$defs"][name]) for name in _in_order(schema)]
    return INTRODUCTION + "\n" + "\n".join(sections)


def _in_order(schema: dict[str, Any]) -> list[str]:
    """Definitions in the order in which a reader meets them."""
    found: list[str] = []

    def visit(node: object) -> None:
        if isinstance(node, list):
            for item in node:
                visit(item)
        elif isinstance(node, dict):
            name = str(node.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.append(name)
                visit(schema["$defs"][name])
            visit([value for key, value in node.items() if key not in ("$ref", "$defs", "discriminator")])

    visit(schema["properties"])
    return found


def _section(title: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    lines = [f"## {title}", "", schema.get("description", "").split("\n")[0], ""]
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        default = "required" if name in required else _default(field)
        lines.append(f"| `{name}` | {_type(field)}{_range(field)} | {default} | {field.get('description', '')} |")
    return "\n".join([*lines, ""])


def _range(field: dict[str, Any]) -> str:
    """What is taken, in words: bounds of numbers, the shape of texts."""
    arms = [field, *field.get("anyOf", ()), field.get("items", {}), field.get("additionalProperties") or {}]
    parts = []
    for arm in (arm for arm in arms if isinstance(arm, dict)):
        if pattern := arm.get("pattern"):
            parts.append(WORDS[pattern])
        parts += [f"{words} {arm[key]}" for key, words in _BOUNDS.items() if key in arm]
    return f": {', '.join(parts)}" if parts else ""


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if value is None or value in ({}, []):
        return "none"
    return f"see {_type(field)}" if isinstance(value, dict) else f"`{json.dumps(value).strip(chr(34))}`"


def _type(field: dict[str, Any]) -> str:  # noqa: PLR0911 - one case of JSON schema per line
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    arms = [arm for arm in field.get("anyOf", field.get("oneOf", [])) if arm.get("type") != "null"]
    if arms:
        return " or ".join(_type(arm) for arm in arms)
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if field.get("type") == "object":
        return f"map of name to {_type(field.get('additionalProperties', {'type': 'value'}))}"
    return _FORMATS.get(field.get("format", ""), str(field.get("type", "value")))
