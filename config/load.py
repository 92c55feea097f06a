"""Reading the configuration that the engine hands to the program."""

from __future__ import annotations

import difflib
import json
import re
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from config import checks, schema, texts
from config.errors import ConfigError, Problem
from config.gaps import GAPS
from config.model import WORDS, Config
from config.stack_file import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic_core import ErrorDetails

CREDENTIALS_KEY = "credentials"
LONGEST_KEY = 40
QUOTES = "'"
_IPV6 = re.compile(r"[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f.:]*(/[0-9]+)?")
MOST_EXPLAINED = 1000  # of mistakes in the shape: more are not read by anybody
_OLD_BOOLEANS = ("yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "y", "Y", "n", "N")
_WANTED = {
    **dict.fromkeys(("tuple_type", "list_type"), ("a list", "write [a, b], or a line with - for each")),
    **dict.fromkeys(("model_type", "dict_type"), ("a map of keys and values", "write key: value lines below it")),
    **dict.fromkeys(
        ("int_type", "int_from_float", "int_parsing_size"),
        ("a whole number", "use digits only: no quotes, no point"),
    ),
    "float_type": ("a number", "use a number, without quotes"),
    "string_type": ("a text", "write one text"),
}
_UNION_NAMES = ("literal[", "lax-or-strict[", "function-before[")  # how the library names the arms of an untagged union
_UNION_ARMS = {"nested", "existing", "vm", "container", "nfs", "external", "proxmox-ve", "libvirt"}


def load(settings: Mapping[str, str]) -> Config:
    """Build the configuration from the engine's flat map of texts, keys as in the stack file.

    Raises:
        ConfigError: with every problem that was found.
    """
    own = {
        key.removeprefix(f"{NAMESPACE}:"): value for key, value in settings.items() if key.startswith(f"{NAMESPACE}:")
    }
    own.pop(CREDENTIALS_KEY, None)
    if meant := list(_misspelt_namespaces(settings)):
        raise ConfigError(meant)
    return validate(_values(own))


def _misspelt_namespaces(settings: Mapping[str, str]) -> Iterator[Problem]:
    """Other programs' settings are none of our business, unless they only look like it."""
    for written in settings:
        namespace, _, key = written.rpartition(":")
        near = difflib.get_close_matches(namespace[:LONGEST_KEY].lower(), [NAMESPACE], n=1, cutoff=0.8)
        if near and namespace != NAMESPACE and key in schema.keys_at(()):
            yield Problem(written, "is no setting of this program", f"did you mean {NAMESPACE}:{key}?")


def validate(document: Mapping[str, Any]) -> Config:
    """Check a configuration given as plain values.

    Raises:
        ConfigError: with every problem that was found.
    """
    try:
        config = Config.model_validate_json(json.dumps(document))
    except ValidationError as error:
        errors = error.errors(include_url=False)
        explained = [problem.named(document) for problem in structural_problems(errors[:MOST_EXPLAINED])]
        raise ConfigError(explained, len(errors[MOST_EXPLAINED:])) from None
    if found := checks.problems(config):
        raise ConfigError([problem.named(document) for problem in found])
    return config


def _values(texts_by_key: Mapping[str, str]) -> dict[str, Any]:
    found, problems = {}, []
    for key, text in texts_by_key.items():
        try:
            found[key] = texts.value(text)
        except texts.BadJsonError as error:
            problems.append(Problem(key, str(error), "correct the value; docs/config.md describes it"))
    if problems:
        raise ConfigError(problems)
    return found


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
        case "extra_forbidden" if key in GAPS:
            what, way = GAPS[key]
            return f"is not a known key: there is no support for {what}", way
        case "extra_forbidden":
            return "is not a known key", _spelling(key, schema.keys_at(error["loc"][:-1]))
        case "union_tag_not_found":
            return "has no kind", f"add {error['ctx']['discriminator'].strip(QUOTES)}, as docs/config.md lists them"
        case _:
            return _wrong_value(error)


def _wrong_value(error: ErrorDetails) -> tuple[str, str]:
    value = error.get("input")  # of credentials it is not there
    if own := _in_own_words(error, value):
        return own
    message = error["msg"].removeprefix("Value error, ")
    found = f" (found {_shown(value)})" if "input" in error else ""
    return f"{message}{found}", "correct the value; docs/config.md describes it"


def _in_own_words(error: ErrorDetails, value: object) -> tuple[str, str] | None:
    """The mistake in our own words, where the library has a programmer's."""
    found = f"{_shown(value)} " if value is not None else ""
    match error["type"]:
        case "string_pattern_mismatch":
            return f"{found}is not right", f"use {WORDS.get(error['ctx']['pattern'], error['msg'])}"
        case "union_tag_invalid":
            return _unknown_kind(error)
        case _ if _IPV6.fullmatch(str(value)) and "4" in error["msg"]:
            return f"{found}is no IPv4 address, and this program knows IPv4 only", "use an IPv4 address"
        case "bool_type" if value in _OLD_BOOLEANS:
            return f"{found}is a text in YAML 1.2", "write true or false"
        case "string_type" if isinstance(value, (int, float)):
            return f"{found}is no text", "put it in quotes"
    return (
        _no_address(error, value, found)
        or _misplaced(error, value, found)
        or _out_of_bounds(error, found)
        or _empty(value)
    )


def _no_address(error: ErrorDetails, text: object, found: str) -> tuple[str, str] | None:
    """Of the texts, only addresses and networks have a check of the library's own."""
    message = error["msg"]
    if error["type"] != "value_error" or not isinstance(text, str):
        return None
    if "with its prefix" in message:
        return f"{found}has no prefix", "write it with the network's, in digits: 192.168.0.0/24"
    if "Unexpected '/'" in message:
        return f"{found}has a prefix", "write the address alone"
    if "host bits" in message:
        return f"{found}is an address in a network", f"write the network: {IPv4Network(text, strict=False)}"
    return f"{found}is no IPv4 address", "use four numbers from 0 to 255 between dots, without leading zeros"


def _misplaced(error: ErrorDetails, value: object, found: str) -> tuple[str, str] | None:
    if value == "" or error["type"] not in _WANTED:
        return None
    wanted, fix = _WANTED[error["type"]]
    return f"must be {wanted}, not {found.strip() or 'empty'}", fix


def _out_of_bounds(error: ErrorDetails, found: str) -> tuple[str, str] | None:
    context = error.get("ctx", {})
    match error["type"]:
        case "less_than_equal":
            return f"{found}is too much", f"use at most {context['le']}"
        case "greater_than_equal":
            return f"{found}is too little", f"use at least {context['ge']}"
        case "too_long":
            return f"has {context['actual_length']} items", f"use at most {context['max_length']}"
        case "literal_error":
            return f"{found}is not known here", f"use one of {context['expected'].replace(QUOTES, '')}"
    return None


def _empty(value: object) -> tuple[str, str] | None:
    return ("has no value", "give it one, or remove the key") if value == "" else None


def _unknown_kind(error: ErrorDetails) -> tuple[str, str]:
    context = error["ctx"]
    more = ""
    if "external" in context["expected_tags"]:
        more = "; external is all that the cluster has already: ZFS, LVM, Ceph, iSCSI"
    message = f"there is no kind {_shown(context['tag'])}"
    return message, f"use one of {context['expected_tags'].replace(QUOTES, '')}{more}"


def _shown(value: object) -> str:
    if isinstance(value, (dict, list)):
        return "a list" if isinstance(value, list) else "keys with values"
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - one line of a terminal


def _spelling(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key[:LONGEST_KEY], known, n=1)
    if near:
        return f"did you mean {near[0]}? Otherwise remove it"
    return f"remove it; known here: {', '.join(known)}" if known else "remove it; docs/config.md lists the keys"
