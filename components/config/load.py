"""Reading the configuration that the engine hands to the program."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from components.config import checks, schema
from components.config.errors import ConfigError, Problem
from components.config.model import Config

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

NAMESPACE = "nested-pve-ha"
CREDENTIALS_KEY = "credentials"
_UNION_NAMES = ("literal[", "lax-or-strict[")  # how the library names the arms of an untagged union
_UNION_ARMS = {"nested", "existing", "vm", "container", "nfs", "external"}


def load(settings: Mapping[str, str]) -> Config:
    """Build the configuration from the engine's flat map of texts, keys as in the stack file.

    Raises:
        ConfigError: with every problem that was found.
    """
    own = {
        key.removeprefix(f"{NAMESPACE}:"): value for key, value in settings.items() if key.startswith(f"{NAMESPACE}:")
    }
    own.pop(CREDENTIALS_KEY, None)
    return validate({key: _value(text) for key, text in own.items()})


def validate(document: Mapping[str, Any]) -> Config:
    """Check a configuration given as plain values.

    Raises:
        ConfigError: with every problem that was found.
    """
    try:
        config = Config.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise ConfigError(structural_problems(error.errors())) from None
    if found := checks.problems(config):
        raise ConfigError(found)
    return config


def _value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text)
    except ValueError:
        return text


def structural_problems(errors: Iterable[ErrorDetails]) -> list[Problem]:
    """The library's errors in this program's words."""
    found: dict[str, Problem] = {}
    for error in errors:
        if error["type"] == "too_short" and error.get("input"):
            continue  # only an echo of the list's own bad items
        path = _path(error["loc"])
        found.setdefault(path, Problem(path, *_explain(error)))
    return list(found.values())


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for position, part in enumerate(location):
        inside_union = position > 0 and isinstance(location[position - 1], int)
        if isinstance(part, int):
            path += f"[{part}]"
        elif not (inside_union and part in _UNION_ARMS) and not part.startswith(_UNION_NAMES):
            path += f".{part}" if path else part
    return path.removesuffix(".[key]")


def _explain(error: ErrorDetails) -> tuple[str, str]:
    key = str(error["loc"][-1]) if error["loc"] else ""
    match error["type"]:
        case "missing":
            return "is missing", f"add {key}"
        case "extra_forbidden":
            return "is not a known key", _spelling(key)
        case "union_tag_not_found":
            return "has no kind", f"add kind: {error['ctx']['discriminator']}, as docs/config.md lists them"
        case _:
            message = error["msg"].removeprefix("Value error, ")
            found = f" (found {_shown(error['input'])})" if "input" in error else ""
            return f"{message}{found}", "correct the value; docs/config.md describes it"


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - one line of a terminal


def _spelling(key: str) -> str:
    near = difflib.get_close_matches(key, schema.known_keys(), n=1)
    return f"did you mean {near[0]}? Otherwise remove it" if near else "remove it; docs/config.md lists the keys"
