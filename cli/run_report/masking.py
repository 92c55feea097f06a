"""Takes secrets out of all that is written. Pure.

Outputs of the engine come masked. This is for the other texts: errors of programs and servers quote what they were given.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from components.policed import SECRET_NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

MASK = "[secret]"
LENGTH_MIN = 4  # a shorter one would be found in every other word, and its places would tell it
LINE_MIN = 16  # of a key's lines, each of which counts
# What is no secret of the stack's, and one all the same.
SHAPES = (
    re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),  # user and password in a URL
    re.compile(r"\bPVE[A-Z]*:[^\s:]+:[0-9A-F]{8}::[A-Za-z0-9+/=]+"),  # a ticket of Proxmox VE's API
    re.compile(r"(?<=PVEAPIToken=)[^\s'\"]+"),
    re.compile(r"(?<=Bearer )[^\s'\"]+"),
)
CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|[^\S \n]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]"
)


def of_environment(environment: Mapping[str, str]) -> set[str]:
    """The values of variables that hold a secret by their names, such as `PULUMI_CONFIG_PASSPHRASE`; no names of files."""
    return {
        value
        for name, value in environment.items()
        if (SECRET_NAME.search(name) or name.endswith("_KEY"))
        and not name.endswith("_FILE")
        and not (name.endswith("CREDENTIALS") and value.startswith("/"))
        and value.lower() not in ("true", "false")
    }


def masked(value: Any, secrets: Collection[str]) -> Any:  # noqa: ANN401 - JSON values
    """JSON values in which no text holds a secret, in whatever form programs quote it, or a control character."""
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, forms))) if forms else None
    return _masked(value, pattern)


def _forms(secret: str) -> Iterator[str]:
    lines = [line.strip() for line in secret.splitlines() if len(line.strip()) >= LINE_MIN]
    for text in (secret.strip(), *lines):
        if len(text) >= LENGTH_MIN:
            yield from (text, quote(text, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1])


def _masked(value: Any, pattern: re.Pattern[str] | None) -> Any:  # noqa: ANN401 - JSON values
    if isinstance(value, dict):
        return {_masked(key, pattern): _masked(item, pattern) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, pattern) for item in value]
    if not isinstance(value, str):
        return value
    text = pattern.sub(MASK, value) if pattern else value
    for shape in SHAPES:
        text = shape.sub(MASK, text)
    return CONTROL.sub(" ", text)
