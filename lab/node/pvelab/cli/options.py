"""Options as Proxmox' command-line tools read them: Perl's Getopt::Long, with one or two dashes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FLAG_VALUES = ("0", "1", "yes", "no", "on", "off", "true", "false")


class OptionError(Exception):
    """The command line does not parse; the text is what the tool prints before its usage."""


def parse(arguments: Sequence[str], positional: Sequence[str], options: Mapping[str, bool]) -> dict[str, str]:
    """Read a command's arguments into parameters.

    Args:
        arguments: what follows the command's name.
        positional: names of the required arguments, in order.
        options: known options; True marks those that may stand without a value.

    Raises:
        OptionError: an unknown option, a missing value, or too few or too many arguments.
    """
    found: dict[str, str] = {}
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            rest += waiting
            break
        if not argument.startswith("-") or argument == "-":
            rest.append(argument)
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        name = _full_name(name, options)
        found[name] = value if equals else _following_value(name, waiting, is_flag=options[name])
    if len(rest) < len(positional):
        raise OptionError("400 not enough arguments")
    if len(rest) > len(positional):
        raise OptionError("400 too many arguments")
    return found | dict(zip(positional, rest, strict=True))


def _full_name(given: str, options: Mapping[str, bool]) -> str:
    """Unambiguous beginnings of a name are enough."""
    if given in options:
        return given
    candidates = [name for name in options if given and name.startswith(given)]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise OptionError(f"Option {given} is ambiguous ({', '.join(sorted(candidates))})\n400 unable to parse option")
    raise OptionError(f"Unknown option: {given}\n400 unable to parse option")


def _following_value(name: str, waiting: list[str], *, is_flag: bool) -> str:
    if is_flag:
        return waiting.pop(0) if waiting and waiting[0].lower() in FLAG_VALUES else "1"
    if not waiting or (waiting[0].startswith("--") and len(waiting[0]) > len("--")):
        raise OptionError(f"Option {name} requires an argument\n400 unable to parse option")
    return waiting.pop(0)


def is_set(parameters: Mapping[str, str], name: str) -> bool:
    """Whether a flag is given and not switched off."""
    return parameters.get(name, "0").lower() in ("1", "yes", "on", "true")


def usage_failure(text: str, usage: str) -> NoReturn:
    """End as Proxmox' tools do on a command line that they do not understand.

    Raises:
        SystemExit: 255.
    """
    sys.stderr.write(f"{text}\n{usage}\n")
    raise SystemExit(255)
