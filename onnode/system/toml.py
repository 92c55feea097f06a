"""Writing TOML: the standard library of Python 3.11 only reads it, and the answer file must be written on the host."""

from __future__ import annotations

import json
import re
from typing import Any

BARE = re.compile(r"[A-Za-z0-9_-]+")


def dumps(document: dict[str, Any]) -> str:
    """A document of nested tables whose values are texts, numbers, truth values, or lists of these.

    Raises:
        TypeError: a value has no place in TOML.
    """
    return "".join(_table(document, ())).lstrip("\n")


def _table(table: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"\n[{'.'.join(map(_key, path))}]\n"] if path and (plain or not table) else []
    lines += [f"{_key(key)} = {_value(value)}\n" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _table(value, (*path, key))
    return lines


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped, and for surrogate pairs.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"{type(value).__name__} has no place in TOML")
