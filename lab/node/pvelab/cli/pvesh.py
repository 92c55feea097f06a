"""`pvesh`: any API method from the command line, as root@pam."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from pvelab.access import permissions
from pvelab.api import dispatch, peers, remote
from pvelab.apischema import schema
from pvelab.cli import options, table
from pvelab.cli.tool import FAILED, report, write
from pvelab.errors import PveError
from pvelab.tasks import ForegroundRunner

if TYPE_CHECKING:
    from collections.abc import Sequence

_METHODS = {"get": "GET", "ls": "GET", "create": "POST", "set": "PUT", "delete": "DELETE"}
_VIEW = {"output-format": False, "noproxy": True, "nooutput": True, "quiet": True, "human-readable": True}
_VIEW |= {"noborder": True, "noheader": True}
TASK_TIMEOUT_S = 3600.0


def _known(target: dispatch.ApiPath, method: str) -> dict[str, bool]:
    info = target.methods.get(method) or {}
    found: dict[str, bool] = {}
    for name, facts in (info.get("parameters") or {}).get("properties", {}).items():
        names = [f"{name[:-3]}{index}" for index in range(32)] if name.endswith("[n]") else [name]
        found |= dict.fromkeys(names, facts.get("type") == "boolean")
    return {name: flag for name, flag in found.items() if name not in target.variables}


def _elsewhere(node: str, method: str, path: str, params: dict[str, str]) -> Any:  # noqa: ANN401 - any JSON
    """Call another member, and wait for the task that it may start."""
    answer = remote.call(node, method, path, params)
    if method != "GET" and isinstance(answer, str) and answer.startswith("UPID:"):
        remote.wait(node, answer, TASK_TIMEOUT_S)
    return answer


def _call(method: str, path: str, params: dict[str, str]) -> tuple[Any, bool]:
    """The answer, and whether the task it may have started ended well."""
    node = dispatch.find(path).variables.get("node")
    if node is not None and peers.is_elsewhere(node):
        return _elsewhere(node, method, path, params), True
    runner = ForegroundRunner()
    answer = dispatch.call(method, path, params, permissions.ROOT, runner)
    return answer, runner.last_end == "OK"


def _show(answer: Any, view: dict[str, str]) -> None:  # noqa: ANN401 - any JSON
    wanted = view.get("output-format", "text")
    if answer is None and wanted != "json":
        return
    if wanted == "json":
        write(json.dumps(answer, separators=(",", ":"), sort_keys=True))
    elif wanted in ("json-pretty", "yaml"):
        write(json.dumps(answer, indent=3, sort_keys=True))
    else:
        table.show(answer, {})


def _listing(path: str) -> int:
    """`pvesh ls`: what lies below a path."""
    for child in schema.load().children(dispatch.find(path).template):
        write(f"Dr---        {child}")
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run one call; the exit code."""
    usage = "pvesh <get|ls|create|set|delete> <api_path> [OPTIONS]"
    leading = [argument for argument in arguments if argument in ("--nooutput", "-nooutput")]
    words = [argument for argument in arguments if argument not in leading]
    if len(words) < len(("command", "path")) or words[0] not in _METHODS:
        sys.stderr.write(f"400 not enough arguments\n{usage}\n")
        return FAILED
    method, path = _METHODS[words[0]], "/" + words[1].strip("/")
    try:
        target = dispatch.find(path)
        if words[0] == "ls":
            return _listing(path)
        given = options.parse(words[2:], (), {**_known(target, method), **_VIEW})
        view = {name: given.pop(name) for name in list(given) if name in _VIEW}
        answer, ended_well = _call(method, path, given)
    except options.OptionError as error:
        sys.stderr.write(f"{error}\n{usage}\n")
        return FAILED
    except PveError as error:
        return report(error, usage)
    if ended_well and not leading and "nooutput" not in view and "quiet" not in view:
        _show(answer, view)
    return 0 if ended_well else FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
