"""What a setting's text holds: JSON where it has parts, bounded, and in which no key is there twice."""

from __future__ import annotations

import json
from typing import Any, NoReturn

DEEPEST = 32  # the model needs 8


class BadJsonError(ValueError):
    """It is JSON that readers read in different ways, or that has no end of parts."""


def value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """The value of a text; the text itself when it is no JSON.

    Raises:
        BadJsonError: it is nested too deeply, has a key twice, or a number that is none.
    """
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except RecursionError:
        raise BadJsonError(f"is nested more than {DEEPEST} deep") from None
    except BadJsonError:
        raise
    except ValueError:
        return text
    if any("\ud800" <= letter <= "\udfff" for letter in json.dumps(found, ensure_ascii=False)):
        raise BadJsonError("holds half of a character, \\ud800 to \\udfff")
    if _is_deeper(found, DEEPEST):
        raise BadJsonError(f"is nested more than {DEEPEST} deep")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadJsonError(f"has {twice[:40]} twice in one place")
    return found


def _no_number(name: str) -> NoReturn:
    raise BadJsonError(f"holds {name}, which is no number")


def _is_deeper(found: Any, limit: int) -> bool:  # noqa: ANN401 - any JSON value
    level = [found]
    for _ in range(limit):
        level = [part for item in level for part in _parts(item)]
        if not level:
            return False
    return True


def _parts(item: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []
