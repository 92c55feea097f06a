"""No call of the product waits for ever: for a program, a machine, a server or a lock. Read in the source itself."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("config", "components", "cluster", "cli", "lab", "onnode", "policy", "toolchain", "tools")
STAND_INS = ROOT / "lab" / "node"  # they wait where the real programs do
# What lasts as long as what it serves, with the reason.
UNBOUNDED = {
    ("cli/engine/supervisor.py", "_watch"): "lives as long as the engine, and no longer than who started it",
    ("lab/world/daemon.py", "reap"): "the first process of the lab: lives as long as the lab",
    ("lab/world/daemon.py", "hold"): "the lab itself: lives until it is ended",
    ("lab/machine/container.py", "wait"): "the life of a machine, until it is switched off",
    ("lab/machine/computer.py", "_run_once"): "the life of a machine, until it is switched off",
    ("lab/machine/computer.py", "_live"): "a machine that finds nothing to boot stands there, until it is switched off",
    (
        "lab/machine/hypervisor.py",
        "_run_installer",
    ): "an installer that nobody answers stands there, as the real one does",
}

WAITS = {"run", "call", "check_call", "check_output"}  # of subprocess
TAKE_A_TIMEOUT = {"urlopen", "HTTPConnection", "HTTPSConnection", "create_connection", "communicate"}
SESSIONS = {"requests", "self._session"}
REQUESTS = {"request", "get", "post", "put", "delete"}
# What waits unless it is told not to, by one of these words.
ONLY_WITH: dict[tuple[str, str], tuple[str, ...]] = {
    ("fcntl", "flock"): ("LOCK_NB", "LOCK_UN"),
    ("fcntl", "lockf"): ("LOCK_NB", "LOCK_UN"),
    ("os", "wait"): (),
    ("os", "waitpid"): ("WNOHANG",),
    ("signal", "sigwait"): (),
}
LIMITS = {"timeout", "timeout_at", "wait_for"}


@dataclass(frozen=True)
class Found:
    """A call that has no bound."""

    place: str
    function: str
    line: int
    text: str


def unbounded(source: str, place: str) -> Iterator[Found]:
    """The calls in a module that may wait for ever."""
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _waits(node, parents) and not _is_limited(node, parents):
            yield Found(place, _function(node, parents), node.lineno, ast.unparse(node))


def _waits(call: ast.Call, parents: dict[ast.AST, ast.AST]) -> bool:
    name, of = _name(call.func)
    words = {keyword.arg for keyword in call.keywords}
    text = ast.unparse(call)
    if of == "subprocess" and name in WAITS:
        return "timeout" not in words
    if name in TAKE_A_TIMEOUT or (of in SESSIONS and name in REQUESTS):
        return "timeout" not in words
    if name == "wait" and of != "os":  # of a process, an event, a condition
        return not call.args and "timeout" not in words
    if (of, name) == ("socket", "socket"):
        return "settimeout" not in ast.unparse(_around(call, parents))
    return (of, name) in ONLY_WITH and not any(word in text for word in ONLY_WITH[of, name])


def _is_limited(call: ast.Call, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether it is an argument of `wait_for`, or in a block with `asyncio.timeout`."""
    node: ast.AST = call
    while not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
        node = parents[node]
        calls = [item.context_expr for item in node.items] if isinstance(node, ast.AsyncWith) else [node]
        if any(isinstance(each, ast.Call) and _name(each.func)[0] in LIMITS for each in calls):
            return True
    return False


def _name(function: ast.expr) -> tuple[str, str]:
    if isinstance(function, ast.Attribute):
        return function.attr, ast.unparse(function.value)
    return (function.id, "") if isinstance(function, ast.Name) else ("", "")


def _around(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> ast.AST:
    while not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
        node = parents[node]
    return node


def _function(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> str:
    around = _around(node, parents)
    return getattr(around, "name", "")


def sources() -> list[Path]:
    parts = [file for part in PARTS for file in (ROOT / part).rglob("*.py") if not file.is_relative_to(STAND_INS)]
    return sorted([*parts, ROOT / "__main__.py"])


def test_no_call_waits_for_ever() -> None:
    found = [each for file in sources() for each in unbounded(file.read_text(), str(file.relative_to(ROOT)))]
    excused = {(each.place, each.function) for each in found} & UNBOUNDED.keys()
    told = [f"{each.place}:{each.line}: {each.text}" for each in found if (each.place, each.function) not in excused]
    assert not told, "\n".join(told)
    assert excused == UNBOUNDED.keys(), "an exception that is none any more"


@pytest.mark.parametrize(
    "call",
    [
        "subprocess.run(['a'], check=False)",
        "subprocess.check_output('a')",
        "process.communicate(b'a')",
        "process.wait()",
        "urllib.request.urlopen(url)",
        "http.client.HTTPSConnection('a', 8006)",
        "socket.create_connection(('a', 1))",
        "socket.socket(socket.AF_INET)",
        "requests.get('a')",
        "fcntl.flock(lock, fcntl.LOCK_EX)",
        "os.waitpid(pid, 0)",
    ],
)
def test_such_a_call_is_found(call: str) -> None:
    """Else the test above would show nothing."""
    assert [each.text for each in unbounded(f"def f():\n    {call}\n", "a.py")] == [call]


@pytest.mark.parametrize(
    "call",
    [
        "subprocess.run(['a'], timeout=1)",
        "process.wait(5)",
        "await asyncio.wait_for(process.communicate(), 5)",
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "os.waitpid(pid, os.WNOHANG)",
        "socket.socket(); s.settimeout(5)",
    ],
)
def test_a_bounded_one_is_not(call: str) -> None:
    assert not list(unbounded(f"async def f():\n    {call}\n", "a.py"))
    limited = "async def f():\n    async with asyncio.timeout(5):\n        await process.communicate()\n"
    assert not list(unbounded(limited, "a.py"))
