"""What the command-line tools have in common: commands that call API methods of this node, as root@pam."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pvelab.access import permissions
from pvelab.api import dispatch
from pvelab.apischema import schema
from pvelab.cli import options
from pvelab.errors import PveError
from pvelab.machine import node_name
from pvelab.tasks import ForegroundRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BAD_REQUEST = 400
FAILED = 255
_OUTPUT = {"output-format": False, "human-readable": True, "noborder": True, "noheader": True, "quiet": True}


@dataclass(frozen=True)
class Command:
    """One command of a tool.

    Attributes:
        method: HTTP method of the API method behind it.
        template: that method's path.
        arguments: parameters that stand without a name.
        fixed: parameters that the tool gives itself.
        show: prints the answer.
        exits_with_task: the exit code follows the task; some of Proxmox's commands exit 0 whatever became of it.
    """

    method: str
    template: str
    arguments: tuple[str, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    show: Callable[[Any, Mapping[str, str]], None] | None = None
    exits_with_task: bool = True

    def parameters(self) -> dict[str, bool]:
        """The options that the API method knows; True marks those that may stand without a value."""
        info = schema.load().paths[self.template][self.method]
        found: dict[str, bool] = {}
        for name, facts in _properties(info.get("parameters") or {}).items():
            flag = facts.get("type") == "boolean"
            numbered = name.endswith("[n]")
            names = (
                [f"{name[:-3]}{index}" for index in range(256 if name == "unused[n]" else 32)] if numbered else [name]
            )
            found |= dict.fromkeys(names, flag)
        skip = ("node", *self.arguments, *self.fixed)
        return {name: flag for name, flag in found.items() if name not in skip}


def _properties(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of a schema, also of one that is put together from several."""
    found = dict(parameters.get("properties", {}))
    if "type-property" in parameters:
        found[parameters["type-property"]] = parameters["type-property-schema"]
    for part in (*parameters.get("allOf", ()), *parameters.get("oneOf", ())):
        found |= _properties(part)
    return found


def write(text: str) -> None:
    """A line of the tool's output."""
    sys.stdout.write(f"{text}\n")


def show_json(answer: Any, _options: Mapping[str, str]) -> None:  # noqa: ANN401 - any JSON
    """Print an answer as one line of JSON."""
    write(json.dumps(answer, separators=(",", ":"), sort_keys=True))


def find(commands: Mapping[str, Command], arguments: Sequence[str]) -> tuple[str, list[str]] | None:
    """The command that the arguments begin with, of one word or several, and the rest of the arguments."""
    for count in (3, 2, 1):
        name = " ".join(arguments[:count])
        if name in commands:
            return name, list(arguments[count:])
    return None


def _usage(tool: str, name: str, command: Command) -> str:
    needed = "".join(f" <{argument}>" for argument in command.arguments)
    return f"{tool} {name}{needed} [OPTIONS]"


def _fill(template: str, params: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The path, and the parameters that are not part of it."""
    rest = dict(params)
    segments = []
    for segment in template.split("/"):
        name = segment[1:-1] if segment.startswith("{") else None
        segments.append(segment if name is None else node_name() if name == "node" else rest.pop(name))
    return "/".join(segments), rest


def report(error: PveError, usage: str) -> int:
    """Print why a call was refused; the exit code."""
    if error.status == BAD_REQUEST:
        sys.stderr.write(f"400 {error.message}\n")
        for name, text in sorted((error.errors or {}).items()):
            sys.stderr.write(f"{name}: {text}\n")
        sys.stderr.write(f"{usage}\n")
    else:
        sys.stderr.write(f"{error.message}\n")
    return FAILED


def _call(command: Command, given: dict[str, str]) -> int:
    view = {name: given.pop(name) for name in list(given) if name in _OUTPUT}
    path, params = _fill(command.template, {**command.fixed, **given})
    runner = ForegroundRunner()
    answer = dispatch.call(command.method, path, params, permissions.ROOT, runner)
    if runner.last_end != "OK":
        return FAILED if command.exits_with_task else 0
    if view.get("output-format", "text").startswith("json"):
        show_json(answer, view)
    elif command.show is not None:
        command.show(answer, given)
    return 0


def main(tool: str, commands: Mapping[str, Command], arguments: Sequence[str]) -> int:
    """Run one command of a tool; the exit code."""
    found = find(commands, arguments)
    if found is None:
        first = " ".join(arguments[:1])
        text = f"ERROR: unknown command '{tool} {first}'" if first else "ERROR: no command specified"
        sys.stderr.write(f"{text}\nUSAGE: {tool} <COMMAND> [ARGS] [OPTIONS]\n")
        sys.stderr.writelines(f"       {_usage(tool, name, command)}\n" for name, command in commands.items())
        return FAILED
    name, rest = found
    command = commands[name]
    usage = _usage(tool, name, command)
    try:
        given = options.parse(rest, command.arguments, {**command.parameters(), **_OUTPUT})
    except options.OptionError as error:
        sys.stderr.write(f"{error}\n{usage}\n")
        return FAILED
    try:
        return _call(command, given)
    except PveError as error:
        return report(error, usage)
