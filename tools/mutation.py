"""Whether the quick tiers notice broken code: mutants of the product, and how many of them the tests kill.

    uv run --no-project --with-requirements requirements-dev.txt --with mutmut==3.8.1 python -m tools.mutation

mutmut makes the mutants. A random sample is tried, the same one for the same seed and code, and each mutant meets the tests
that run its line. Not sampled is what changes types, or words for people only. Nothing is written into the checkout, but
broken code runs in tests: do this where it can do no harm, and not as root. It takes an hour or so on two cores, and neither
`make test` nor CI runs it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import gc
import importlib
import json
import math
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import libcst as cst
import pytest
from coverage import CoverageData
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("onnode", "cluster", "policy")
PRODUCT = (*PACKAGES, "config", "components", "cli")
LAYERS = ("onnode", "config", "cluster", "components", "cli", "policy")  # none uses a later one
TESTS = ("tests/unit", "tests/policy")
# They judge the text of sources and pages, not what the code does; or the lab, which uses nothing of the product.
NOT_TESTS = (
    "tests/unit/tools",
    "tests/unit/lab",
    "tests/unit/test_layers.py",
    "tests/unit/test_bounds.py",
    "tests/unit/cli/test_layers.py",
    "tests/unit/cli/test_recovery_page.py",
    "tests/unit/cli/engine/test_engine_end.py",  # sends signals, and waits for processes to end
    "tests/unit/cli/test_quick_refusal.py",
    "tests/policy/test_docs.py::test_the_page_is_current",
)
PYTEST = ("-q", "-p", "no:randomly", "--hypothesis-seed=0")
NOT_MUTATED = ("policy/pve_policies/docs.py",)  # it writes a page
# Libraries that take long to import: each run of tests is a fork of a process that has them.
HEAVY = ("asyncssh", "hypothesis", "pulumi", "pulumi_command", "pulumi_policy", "pulumi_proxmoxve", "pydantic", "requests", "rich", "typer", "yaml")  # fmt: skip
SIZES = {"onnode": 300, "cluster": 220, "policy": 180}
NOTICED = ("killed", "timeout")
TESTS_S = 40.0  # a mutant's tests, by their times in the first run; longer selections are cut
# What takes longer than its tests did in the first run, so many times and seconds more, runs in circles or waits for nothing.
LONGER, MORE_S = 3.0, 60.0


# -- what is mutated ---------------------------------------------------------------------------------------------------

ERROR = re.compile(r"_?(Step|Admin|Value|Type|Connection|Broken|Assertion)Error")
SPOKEN_ARGUMENTS = {
    "demands",
    "description",
    "expected",
    "fix",
    "help",
    "meaning",
    "observed",
    "protects",
    "source",
    "what",
}
SPEAKERS = {"Code", "print"}
# Looked for in what programs print, or given to one.
READERS = re.compile(
    r"re|match|search|fullmatch|compile|findall|finditer|sub|split|startswith|endswith|removeprefix|removesuffix|get|run|replace|encode|write"
)
FOR_PROGRAMS = re.compile(
    r"^(auto|iface|address|gateway|deb|options|Types|-\w|--|/\w+/\w+ |#)|[\\^$\n|*]|\(\?|/dev/null|[^=]=[\w.]+$"
)
BETWEEN_WORDS = {", ", "; ", " and ", " or "}


def text(node: cst.CSTNode) -> str | None:
    """The text of a string, also of a formatted or a joined one, with X for what is filled in."""
    if isinstance(node, cst.SimpleString):
        return str(node.evaluated_value)
    if isinstance(node, cst.FormattedString):
        return "".join(part.value if isinstance(part, cst.FormattedStringText) else "X" for part in node.parts)
    if isinstance(node, cst.ConcatenatedString):
        return f"{text(node.left)}{text(node.right)}"
    return None


def spoken(node: cst.CSTNode) -> bool:
    """Whether this is said to people: several words, and nothing that a program reads."""
    words = text(node)
    return words is not None and (words in BETWEEN_WORDS or " " in words.strip()) and not FOR_PROGRAMS.search(words)


def said(call: cst.Call, arg: cst.Arg) -> bool:
    """Whether this argument is something said to people."""
    name = str(call.func.attr.value if isinstance(call.func, cst.Attribute) else getattr(call.func, "value", ""))
    speaks = name in SPEAKERS or (ERROR.fullmatch(name) and arg is not call.args[0])
    keyword = arg.keyword.value if arg.keyword else ""
    if READERS.fullmatch(name):
        return False
    return text(arg.value) is not None and (bool(speaks) or keyword in SPOKEN_ARGUMENTS or spoken(arg.value))


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        number: among those of its file.
        lines: first and last of what has to run, so that a test can notice it.
        names: what is defined outside of function bodies there; who uses it runs it.
        function: the function whose body has it, by its qualified name.
    """

    file: str
    number: int
    lines: tuple[int, int]
    names: tuple[str, ...]
    function: str
    node: cst.CSTNode
    mutated: cst.CSTNode

    @property
    def key(self) -> str:
        """Names it in reports."""
        return f"{self.file}:{self.lines[0]}:{self.number}"


class Finder(MutationVisitor):  # type: ignore[misc] # mutmut is in no lock, and mypy does not see it
    """mutmut's visitor, but also in functions with decorators and outside of functions, as nothing is wrapped here."""

    METADATA_DEPENDENCIES = (PositionProvider, *MutationVisitor.METADATA_DEPENDENCIES)

    def __init__(self, file: str) -> None:
        super().__init__(mutation_operators, IgnoredCode(set(), set(), set()))
        self.file = file
        self.path: list[cst.CSTNode] = []
        self.found: list[Mutant] = []
        self.words: list[str] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Mutate it, unless it is a type."""
        self.path.append(node)
        if isinstance(node, cst.FunctionDef):
            return True
        is_type = isinstance(node, cst.Subscript) and isinstance(node.value, cst.Name) and node.value.value[0].isupper()
        return not is_type and bool(super().on_visit(node))

    def on_leave(self, original_node: cst.CSTNode) -> None:
        """Go up again."""
        super().on_leave(original_node)
        self.path.pop()

    def _create_mutations(self, node: cst.CSTNode) -> None:
        if isinstance(node, cst.SimpleString) and self._only_said(node):
            self.words.append(f"{self.file}: {text(node)!r}")
            return
        for kind, operator in mutation_operators:
            for mutated in operator(node) if isinstance(node, kind) else ():
                if not self._only_words_go(node, mutated):
                    place = (self._lines(node), self._names(), self._function())
                    self.found.append(Mutant(self.file, len(self.found), *place, node, mutated))

    def _only_said(self, node: cst.SimpleString) -> bool:
        """Whether this string, or the whole that it is a part of, is said to people; or it is a type in quotes."""
        parts = [part for part in self.path if isinstance(part, cst.ConcatenatedString)]
        whole = parts[0] if parts else node
        holder = self.path[self.path.index(whole) - 1]
        if isinstance(holder, cst.ComparisonTarget | cst.Comparison):
            return False
        call = next((part for part in reversed(self.path) if isinstance(part, cst.Call)), None)
        if isinstance(holder, cst.Arg) and call is not None:
            is_type = getattr(call.func, "value", "") in ("cast", "TypeVar") and holder is call.args[0]
            return is_type or said(call, holder)
        described = isinstance(holder, cst.DictElement) and text(holder.key) == "description" and holder.value is whole
        return described or spoken(whole)

    def _only_words_go(self, node: cst.CSTNode, mutated: cst.CSTNode) -> bool:
        """Whether only something said, or a type, is taken away."""
        if isinstance(node, cst.Call) and isinstance(mutated, cst.Call) and node.func is mutated.func:
            kept = {id(arg) for arg in mutated.args}
            is_type = getattr(node.func, "value", "") in ("cast", "TypeVar")
            return is_type or any(said(node, arg) for arg in node.args if id(arg) not in kept)
        if isinstance(node, cst.Assign):
            alias = isinstance(node.value, cst.Subscript) and not self._inside(cst.FunctionDef)
            return alias or spoken(node.value)
        return False

    def _inside(self, kind: type[cst.CSTNode]) -> cst.CSTNode | None:
        return next((part for part in self.path if isinstance(part, kind)), None)

    def _function(self) -> str:
        function = self._inside(cst.FunctionDef)
        if not isinstance(function, cst.FunctionDef) or function.body not in self.path:
            return ""
        outer = self.path[: self.path.index(function) + 1]
        return ".".join(part.name.value for part in outer if isinstance(part, cst.ClassDef | cst.FunctionDef))

    def _lines(self, node: cst.CSTNode) -> tuple[int, int]:
        statements = (cst.BaseSmallStatement, cst.BaseCompoundStatement, cst.ExceptHandler, cst.Module)
        statement = next(part for part in reversed(self.path) if isinstance(part, statements))
        first = self.get_metadata(PositionProvider, statement).start.line
        position = self.get_metadata(PositionProvider, node, None)
        return first, max(first, position.end.line if position else first)

    def _names(self) -> tuple[str, ...]:
        function = self._inside(cst.FunctionDef)
        if isinstance(function, cst.FunctionDef):
            return () if function.body in self.path else (function.name.value,)
        names = []
        for part in self.path:
            if isinstance(part, cst.ClassDef):
                names.append(part.name.value)
            targets = (
                part.targets if isinstance(part, cst.Assign) else [part] if isinstance(part, cst.AnnAssign) else []
            )
            names += [target.target.value for target in targets if isinstance(target.target, cst.Name)]
        return tuple(names)


def find(root: Path, file: str) -> tuple[cst.Module, Finder]:
    """All mutants of a file that count."""
    wrapper = MetadataWrapper(cst.parse_module((root / file).read_text()))
    finder = Finder(file)
    wrapper.visit(finder)
    return wrapper.module, finder


# -- which tests it meets ----------------------------------------------------------------------------------------------


class Times:
    """A plugin of pytest: how long each test took."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One part of a test is over."""
        self.seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """All are over."""
        if not hasattr(session.config, "workerinput"):
            self.file.write_text(json.dumps(self.seconds))


class Chart:
    """Which tests run a line, from a run of all of them.

    Args:
        root: the sources that were measured.
        data: what coverage recorded, with a context for each test.
        seconds: how long each test took.
    """

    def __init__(self, root: Path, data: CoverageData, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.tests: dict[tuple[str, int], set[str]] = {}
        self.imports: set[tuple[str, int]] = set()
        for file in data.measured_files():
            name = str(Path(file).relative_to(root))
            for line, contexts in data.contexts_by_lineno(file).items():
                self.tests[name, line] = {context.rpartition("|")[0] for context in contexts if context}
                self.imports |= {(name, line)} if "" in contexts else set()
        self.uses: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self.defines: dict[tuple[str, int], set[str]] = defaultdict(set)
        for part in (*PRODUCT, *TESTS):
            for path in sorted((root / part).rglob("*.py")):
                self._index(str(path.relative_to(root)), ast.parse(path.read_text()))

    def _index(self, file: str, tree: ast.Module) -> None:
        for statement in tree.body:
            targets = (
                statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", statement)]
            )
            names = {str(getattr(target, "id", getattr(target, "name", ""))) for target in targets} - {""}
            for node in ast.walk(statement):
                used = getattr(node, "id", getattr(node, "attr", getattr(node, "arg", None)))
                if isinstance(used, str) and hasattr(node, "lineno"):
                    self.uses[used].add((file, node.lineno))
                    self.defines[file, node.lineno] |= names

    def at_import(self, mutant: Mutant) -> bool:
        """Whether the change has its effect when the file is imported: outside of functions, or in one that is called then."""
        return not mutant.function or not self.imports.isdisjoint(self._lines(mutant))

    def selected(self, mutant: Mutant) -> list[str]:
        """The tests that may notice this change, the quickest first."""
        tests = self._of(self._lines(mutant))
        if self.at_import(mutant):
            tests |= self._users({*mutant.names, *mutant.function.split(".")[-1:]} - {""}) or self._of_file(mutant.file)
            package = mutant.file.partition("/")[0]
            near = {test for test in tests if test.startswith((f"tests/{package}/", f"tests/unit/{package}/"))}
            tests = near or tests
        chosen: list[str] = []
        spent = 0.0
        for test in sorted(tests, key=lambda test: (self.seconds.get(test, 0.0), test)):
            spent += self.seconds.get(test, 0.0)
            chosen += [test] if spent <= TESTS_S or not chosen else []
        return chosen

    def _lines(self, mutant: Mutant) -> set[tuple[str, int]]:
        return {(mutant.file, line) for line in range(mutant.lines[0], mutant.lines[1] + 1)}

    def _of(self, lines: set[tuple[str, int]]) -> set[str]:
        return set().union(*(self.tests.get(line, set()) for line in lines))

    def _users(self, names: set[str]) -> set[str]:
        """The tests that use what runs at import: by its name, or by the name of what is made of it."""
        known: set[str] = set()
        lines: set[tuple[str, int]] = set()
        while names:
            known |= names
            lines |= set().union(*(self.uses[name] for name in names))
            names = set().union(*(self.defines[line] for line in lines)) - known
        files = {file for file, _ in lines if file.startswith("tests/")}
        return self._of(lines) | {test for test in self.seconds if test.partition("::")[0] in files}

    def _of_file(self, file: str) -> set[str]:
        return set().union(*(tests for (name, _), tests in self.tests.items() if name == file))


# -- trying ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """A mutant as it is tried.

    Attributes:
        code: the text of its file.
        difference: from the text as it is.
        function: whose code is exchanged in a process that has everything; if empty, the file is loaded anew.
        seconds: how long the tests took without it.
    """

    file: str
    key: str
    code: str
    difference: str
    function: str
    tests: list[str]
    seconds: float

    @property
    def wall_s(self) -> float:
        """How long to wait for its tests."""
        return MORE_S + LONGER * self.seconds


@dataclass(frozen=True)
class Tried:
    """How it went with a mutant: `killed`, `timeout`, `survived` or `error`; and which test failed, if that is known."""

    key: str
    how: str
    by: str


def forked(do: Callable[[], int], wall_s: float, log: Path | None = None) -> int | None:
    """The exit code of a fork of this process that does it; None when it was stopped."""
    child = os.fork()
    if child == 0:
        os.setsid()
        cpu_s = math.ceil(wall_s) if math.isfinite(wall_s) else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
        if log:
            for number in (1, 2):
                os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        code = 3
        with contextlib.suppress(BaseException):
            code = do()
        os._exit(code)
    end, stopped = time.monotonic() + wall_s, False
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return None if stopped or code < 0 else code
        if time.monotonic() > end and not stopped:
            os.killpg(child, signal.SIGKILL)
            stopped = True
        time.sleep(0.02)


def functions_of(code: CodeType) -> Iterator[CodeType]:
    """All code inside of a module's."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from functions_of(constant)


class Exchanged:
    """A plugin of pytest: all tests are collected once; each mutant's function gets its code in a fork, and meets its tests."""

    def __init__(self, trials: Sequence[Trial], results: Results) -> None:
        self.trials = trials
        self.results = results

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of one run of all tests."""
        items = {item.nodeid: item for item in session.items}
        functions: dict[tuple[str, str], list[FunctionType]] = defaultdict(list)
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType):
                functions[thing.__code__.co_filename, thing.__code__.co_qualname].append(thing)
        gc.freeze()  # forks share what no collection touches
        for trial in self.trials:
            chosen = [items[test] for test in trial.tests if test in items]
            targets = functions[str(ROOT / trial.file), trial.function]
            self.results.add(trial, forked(partial(self._meet, session, trial, targets, chosen), trial.wall_s))
        return True

    def _meet(
        self, session: pytest.Session, trial: Trial, targets: Sequence[FunctionType], chosen: Sequence[pytest.Item]
    ) -> int:
        compiled = compile(trial.code, str(ROOT / trial.file), "exec", dont_inherit=True)
        (code,) = (code for code in functions_of(compiled) if code.co_qualname == trial.function)
        for target in targets:
            target.__code__ = code
        if not targets or not chosen:
            return 3
        for item, following in zip(chosen, [*chosen[1:], None], strict=True):
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                self.results.note(item.nodeid)
                return 1
        return 0


class BrokenFile(SourceFileLoader):
    """Loads one file with another text."""

    def __init__(self, trial: Trial) -> None:
        self.file = str(ROOT / trial.file)
        self.text = trial.code

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:  # noqa: ANN401
        """As one of `sys.meta_path`."""
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin != self.file:
            return None
        super().__init__(name, self.file)
        spec.loader = self
        return spec

    def get_code(self, fullname: str) -> CodeType:
        """Without bytecode of the file as it is."""
        del fullname
        return compile(self.text, self.file, "exec", dont_inherit=True)


def loaded_anew(trial: Trial, log: Path) -> int | None:
    """Run its tests in a process that has not loaded the file yet."""

    def run(tests: Sequence[str]) -> int:
        sys.meta_path.insert(0, BrokenFile(trial))
        return pytest.main([*PYTEST, "-x", *tests])

    log.unlink(missing_ok=True)
    code = forked(partial(run, trial.tests), trial.wall_s, log)
    if code == pytest.ExitCode.USAGE_ERROR:  # the change renames tests
        code = forked(partial(run, sorted({test.partition("::")[0] for test in trial.tests})), trial.wall_s, log)
    return code


def load_and_try(package: str, trials: Sequence[Trial], results: Results, log: Path) -> int:
    """Load what uses nothing of the package, once for all; then try each mutant."""
    for part in LAYERS[: LAYERS.index(package)]:
        for file in sorted((ROOT / part).rglob("*.py")):
            if file.stem != "__main__":
                importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    for trial in trials:
        results.add(trial, loaded_anew(trial, log))
    return 0


class Results:
    """What was tried, in a file: one line of JSON for each."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.killer = file.with_suffix(".killer")

    def note(self, test: str) -> None:
        """The test that failed."""
        self.killer.write_text(test)

    def add(self, trial: Trial, code: int | None) -> None:
        """How it went, by the exit code of pytest."""
        how = {0: "survived", 1: "killed", 2: "killed", None: "timeout"}.get(code, "error")
        by = self.killer.read_text() if self.killer.exists() else ""
        self.killer.unlink(missing_ok=True)
        with self.file.open("a") as file:
            file.write(json.dumps(asdict(Tried(trial.key, how, by))) + "\n")

    def read(self) -> list[Tried]:
        """All of them."""
        return [Tried(**json.loads(line)) for line in self.file.read_text().splitlines()] if self.file.exists() else []


def attempt(trials: Sequence[Trial], results: Results) -> None:
    """Try them one after the other."""
    untested = [trial for trial in trials if not trial.tests]
    quick = [trial for trial in trials if trial.tests and trial.function]
    log = results.file.with_suffix(".log")
    for trial in untested:
        results.add(trial, 0)
    files = sorted({test.partition("::")[0] for trial in quick for test in trial.tests})
    if quick:
        forked(lambda: int(pytest.main([*PYTEST, *files], plugins=[Exchanged(quick, results)])), math.inf, log)
    for package in PACKAGES:
        anew = [trial for trial in trials if trial.tests and not trial.function and trial.file.startswith(package)]
        if anew:
            forked(partial(load_and_try, package, anew, results, log), math.inf)


# -- the whole ---------------------------------------------------------------------------------------------------------


def measured(directory: Path, processes: int) -> Chart:
    """Run all tests once, and chart them."""
    settings, data, seconds, log = (
        directory / name for name in ("coverage.rc", "coverage", "seconds.json", "first.log")
    )
    settings.write_text(f"[run]\nsource = {','.join(PRODUCT)}\ndata_file = {data}\n")
    arguments = [
        *PYTEST,
        *(f"--deselect={name}" if "::" in name else f"--ignore={name}" for name in NOT_TESTS),
        *("--cov", f"--cov-config={settings}", "--cov-context=test", "--cov-report="),
        *(f"--numprocesses={processes}", "--dist=loadfile"),
        *TESTS,
    ]
    if forked(lambda: int(pytest.main(arguments, plugins=[Times(seconds)])), math.inf, log) != 0:
        sys.exit(log.read_text()[-2000:] + "\nThe tests fail without mutants.")
    recorded = CoverageData(str(data))
    recorded.read()
    return Chart(ROOT, recorded, json.loads(seconds.read_text()))


def sampled(sizes: dict[str, int], seed: str, chart: Chart) -> list[Trial]:
    """Some mutants of each package, ready to be tried; a larger sample begins with a smaller one."""
    trials: list[tuple[float, Trial]] = []
    for package, size in sizes.items():
        files = [str(path.relative_to(ROOT)) for path in sorted((ROOT / package).rglob("*.py"))]
        found = {file: find(ROOT, file) for file in files if file not in NOT_MUTATED}
        mutants = [mutant for _, finder in found.values() for mutant in finder.found]
        random.Random(f"{seed} {package}").shuffle(mutants)  # noqa: S311 - a sample, and no secret
        for number, mutant in enumerate(mutants[:size]):
            trials.append((number / size, _trial(found[mutant.file][0], mutant, chart)))
    return [trial for _, trial in sorted(trials, key=lambda pair: (pair[0], pair[1].key))]


def _trial(module: cst.Module, mutant: Mutant, chart: Chart) -> Trial:
    changed = module.deep_replace(mutant.node, mutant.mutated)
    assert isinstance(changed, cst.Module)  # noqa: S101 - for mypy: a part of it is replaced
    texts = (module.code.splitlines(), changed.code.splitlines())
    difference = "\n".join(list(difflib.unified_diff(*texts, lineterm="", n=0))[3:])
    tests = chart.selected(mutant)
    seconds = sum(chart.seconds.get(test, 0.0) for test in tests)
    function = "" if chart.at_import(mutant) else mutant.function
    return Trial(mutant.file, mutant.key, changed.code, difference, function, tests, seconds)


def reported(trials: Sequence[Trial], tried: Sequence[Tried]) -> str:
    """A table of packages with Wilson's intervals of 95 %, and below it each mutant that no test noticed."""
    how = {one.key: one.how for one in tried}
    lines = [f"{'package':10}{'tried':>7}{'killed':>8}   score  between"]
    for package in (*PACKAGES, ""):
        ended = [how[trial.key] for trial in trials if trial.key in how and trial.file.startswith(package)]
        killed, z = sum(one in NOTICED for one in ended), 1.96
        if ended:
            share, each = killed / len(ended), z * z / len(ended)
            middle, spread = share + each / 2, z * math.sqrt(share * (1 - share) / len(ended) + each / len(ended) / 4)
            low, high = (middle - spread) / (1 + each), (middle + spread) / (1 + each)
            lines.append(f"{package or 'together':10}{len(ended):7}{killed:8}  {share:6.1%}  {low:.1%} and {high:.1%}")
    unnoticed = [trial for trial in trials if how.get(trial.key, "killed") not in NOTICED]
    return "\n".join([*lines, *(f"\n{trial.key}: {how[trial.key]}\n{trial.difference}" for trial in unnoticed)])


def main() -> None:
    """Sample, try, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for package, size in SIZES.items():
        parser.add_argument(f"--{package}", type=int, default=size, help=f"how many mutants of it (default: {size})")
    parser.add_argument("--seed", default="11", help="another one takes another sample (default: 11)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    sys.setrecursionlimit(10_000)  # for deep expressions in libcst
    os.chdir(ROOT)
    for name in HEAVY:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="mutation-") as place:
        chart = measured(Path(place), given.processes)
        trials = sampled({package: getattr(given, package) for package in PACKAGES}, given.seed, chart)
        shares = [Results(Path(place) / f"{number}.jsonl") for number in range(given.processes)]
        workers = [
            multiprocessing.get_context("fork").Process(target=attempt, args=(trials[number :: len(shares)], share))
            for number, share in enumerate(shares)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        sys.stdout.write(reported(trials, [one for share in shares for one in share.read()]) + "\n")


if __name__ == "__main__":
    main()
