"""Takes secrets out of all that is written. Pure.

Outputs of the engine come masked. This is for the other texts: errors of programs and servers quote what they were given.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from components.policed import SECRET_NAME
from onnode.errors import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

MASK = "[secret]"
LENGTH_MIN = 4  # a shorter one would be found in every other word, and its places would tell it
LINE_MIN = 16  # of a key's lines, each of which counts
COLON = r"(?::|%3[Aa])"
# What is no secret of the stack's, and one all the same.
SHAPES = (
    re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    # User and password in a URL. A password may hold a slash; digits before it are a port, and the rest a path.
    re.compile(r"(?<=://)(?:[^/\s:@]+:(?!\d{1,5}/)\S+|[^/\s]+)(?=@)"),
    # A ticket of Proxmox VE's API, and how it stands in a cookie; and the token that goes with it.
    re.compile(rf"\bPVE[A-Z]*{COLON}[^\s:]+?{COLON}[0-9A-F]{{8}}{COLON}{COLON}(?:[A-Za-z0-9+/=]|%[0-9A-Fa-f]{{2}})+"),
    re.compile(r"(?<=CSRFPreventionToken: )[^\s'\"]+"),
    re.compile(r"(?<=PVEAPIToken=)[^\s'\"]+"),
    re.compile(r"(?<=Bearer )[^\s'\"]+"),
    # A password's hash, as in /etc/shadow (crypt(5)).
    re.compile(r"\$(?:1|2[abxy]?|5|6|7|y|gy|md5|sha1|argon2\w*)\$[A-Za-z0-9./$=,+-]{8,}"),
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
    """JSON values in which no text holds a secret, in whatever form programs quote it, or a control character.

    Those go first: a colour in the middle of a secret would hide it.
    """
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, forms))) if forms else None
    return _masked(value, pattern)


def _forms(secret: str) -> Iterator[str]:
    lines = [line.strip() for line in secret.splitlines() if len(line.strip()) >= LINE_MIN]
    for text in (secret.strip(), *lines):
        if len(plain(text)) >= LENGTH_MIN:
            yield from (plain(text), quote(text, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1])


def _masked(value: Any, pattern: re.Pattern[str] | None) -> Any:  # noqa: ANN401 - JSON values
    if isinstance(value, dict):
        return {_masked(key, pattern): _masked(item, pattern) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, pattern) for item in value]
    if not isinstance(value, str):
        return value
    text = plain(value)
    text = pattern.sub(MASK, text) if pattern else text
    for shape in SHAPES:
        text = shape.sub(MASK, text)
    return text
