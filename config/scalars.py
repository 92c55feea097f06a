"""What an unquoted word of a stack file means: as the engine's library (gopkg.in/yaml.v3, resolve.go) has it."""

from __future__ import annotations

import math
import re

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_OTHER_BASE = re.compile(r"([-+]?)0(x(?=[0-9A-Fa-f]+$)|b(?=[01]+$)|o?(?=[0-7]+$))(.+)")
_BASES = {"x": 16, "b": 2, "o": 8, "": 8}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([Tt ]\d\d?:\d\d?:\d\d?(\.\d+)?(Z|[-+]\d\d:\d\d)?)?")
_WHOLE = 2**63
_WRITTEN_OUT = 1e21  # from here on the engine writes an exponent


class Misread(ValueError):  # noqa: N818 - a value, not the program, is at fault
    """It would be read otherwise than it looks."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar.

    Raises:
        Misread: the engine would read it as something that it does not look like.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _NOT_FINITE.fullmatch(text):
        raise Misread("is no number that a setting can hold", "write a number, or put a text in quotes")
    if _DATE.fullmatch(text):
        raise Misread("is read as a date", "put it in quotes")
    return _number(text)


def _number(text: str) -> str | int | float:
    plain = text.replace("_", "") if text[0] in "+-0123456789" else text
    if other := _OTHER_BASE.fullmatch(plain):
        value = int(f"{other[1]}{other[3]}", _BASES[other[2]])
        if abs(value) >= _WHOLE:
            return text
        raise Misread(f"is read as {value}", "write it in decimal without leading zeros, or in quotes as a text")
    if not _FLOAT.fullmatch(plain) or math.isinf(float(plain)):
        return text
    if plain != text or _LEADING_ZERO.match(plain):
        raise Misread("is read as another number", "write digits only, without leading zeros, or put a text in quotes")
    found = float(plain)
    if _INTEGER.fullmatch(plain) and abs(found) < _WHOLE:
        return int(plain)
    return int(found) if found.is_integer() and abs(found) < _WRITTEN_OUT else found
