"""JSON values as people read them: by name, leaf by leaf. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

IDENTITY = ("name", "number")
SHOWN_WIDTH = 80


def by_identity(items: Any) -> dict[str, Any]:  # noqa: ANN401 - a list of JSON objects
    """The items of a list, by name or number."""
    return {_identity(item): item for item in items}


def _identity(item: Mapping[str, Any]) -> str:
    value = next(item[key] for key in IDENTITY if key in item)
    return shown(value)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON values
    """Every value that holds no others, with its path, such as `nodes[pve1].votes`; null and empty values are left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif identified(value):
        for item in value:
            yield from leaves(item, f"{path}[{_identity(item)}]")
    elif value is not None:
        yield path, value


def differences(before: Any, after: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - JSON values
    """A line for each value that differs; one for an item of a list that came or went as a whole."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*after, *before]):
            yield from differences(before.get(key), after.get(key), f"{path}.{key}")
    elif identified(before) and identified(after):
        old, new = by_identity(before), by_identity(after)
        for name in dict.fromkeys([*new, *old]):
            place = f"{path}[{name}]"
            if name in old and name in new:
                yield from differences(old[name], new[name], place)
            else:
                yield f"{place}: {'new' if name in new else 'gone'}"
    elif before != after:
        yield f"{path}: {shown(before)} → {shown(after)}"


def identified(value: Any) -> bool:  # noqa: ANN401 - JSON values
    """A list of objects that have names or numbers."""
    return isinstance(value, list) and all(isinstance(item, dict) and set(IDENTITY) & set(item) for item in value)


def shown(value: Any) -> str:  # noqa: ANN401 - JSON values
    """A value on one line; whole numbers have no decimal point."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, dict):
        return json.dumps(value)
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    text = text.lower() if isinstance(value, bool) else text
    return text if len(text) <= SHOWN_WIDTH else f"{text[: SHOWN_WIDTH - 1]}…"
