"""A build is there whole or not at all, is made once, and names what stopped it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from toolchain import build, golang
from toolchain.errors import ToolchainError
from toolchain.golang import Go, find_go, named_failure
from toolchain.parts import COMMAND, PARTS, Part

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
HELLO = 'package main\n\nfunc main() { println("hello") }\n'

# Builds the part in the directory given as argument, with whatever go is on PATH.
BUILD = """
import sys
from pathlib import Path
from toolchain import build, golang, parts
part = parts.Part("hello", "1.0.0", "hello", Path(sys.argv[1]), ".")
class Silent:
    stage = line = lambda *_: None
print(build.ensure_built(part, golang.find_go(part.sources), Silent()))
"""

# Like go, but slow: it says that it began, leaves half a binary, and never ends.
ENDLESS_GO = """#!/bin/sh
case "$1" in
env) printf 'go1.26.0\\nlinux\\namd64\\n' ;;
list) echo hello ;;
build)
    while [ "$1" != -o ]; do shift; done
    printf half >"$2"
    chmod +x "$2"
    echo $$ >"$STARTED"
    exec sleep 600
    ;;
esac
"""


class Silent:
    def stage(self, part: Part, stage: str, packages: int) -> None:
        pass

    def line(self, line: str) -> None:
        pass


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NESTED_PVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "toolchain"


@pytest.fixture
def part(tmp_path: Path) -> Part:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "go.mod").write_text("module example.org/hello\n\ngo 1.26\n")
    (sources / "main.go").write_text(HELLO)
    return Part(name="hello", version="1.0.0", binary="hello", sources=sources, package=".")


@pytest.fixture
def go(part: Part) -> Go:
    return find_go(part.sources)


def fake_go(directory: Path, script: str) -> Path:
    directory.mkdir(exist_ok=True)
    executable = directory / "go"
    executable.write_text(script)
    executable.chmod(0o755)
    return executable


def start_build(part: Part, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(part.sources)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def killed_build(tmp_path: Path, part: Part) -> Iterator[None]:
    """A build that was killed after the compiler wrote half of the binary."""
    tools = fake_go(tmp_path / "tools", ENDLESS_GO).parent
    started = tmp_path / "started"
    process = start_build(part, PATH=f"{tools}{os.pathsep}{os.environ['PATH']}", STARTED=str(started))
    compiler = int(content(started))
    process.kill()
    process.communicate()
    yield
    os.kill(compiler, signal.SIGKILL)


@retry(retry=retry_if_result(lambda text: not text), wait=wait_fixed(0.05), stop=stop_after_delay(60))
def content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def run(binary: Path) -> str:
    return subprocess.run([binary], check=True, capture_output=True, text=True).stderr.strip()


def names(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name != build.LOCK)


def test_a_build_is_kept_under_its_key(part: Part, go: Go, cache: Path) -> None:
    built = build.ensure_built(part, go, Silent())

    assert run(built / "hello") == "hello"
    assert built == cache / build.key(part, go)
    assert names(cache) == [built.name]


@pytest.mark.usefixtures("killed_build")
def test_a_killed_build_leaves_nothing_that_is_taken_for_a_build(part: Part, go: Go, cache: Path) -> None:
    leftovers = names(cache)
    assert leftovers
    assert not (cache / build.key(part, go)).exists()
    assert all(name.startswith(build.UNFINISHED) for name in leftovers)


@pytest.mark.usefixtures("killed_build")
def test_the_next_build_after_a_killed_one_is_whole_and_clears_up(part: Part, go: Go, cache: Path) -> None:
    built = build.ensure_built(part, go, Silent())

    assert run(built / "hello") == "hello"
    assert names(cache) == [built.name]


def test_a_failed_build_leaves_the_cache_as_it_was(part: Part, go: Go, cache: Path) -> None:
    (part.sources / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")

    with pytest.raises(ToolchainError, match="build-failed") as failure:
        build.ensure_built(part, go, Silent())

    assert "undefined: undefined" in failure.value.observed
    assert names(cache) == []


def test_the_second_build_does_nothing(part: Part, go: Go) -> None:
    first = build.ensure_built(part, go, Silent())
    before = (first / "hello").stat()
    without_compiler = replace(go, executable="/nonexistent/go")

    second = build.ensure_built(part, without_compiler, Silent())

    assert second == first
    assert (second / "hello").stat() == before
    (part.sources / "main.go").write_text(HELLO + "\n")
    with pytest.raises(FileNotFoundError):
        build.ensure_built(part, without_compiler, Silent())


def test_two_builds_at_once_compile_once(part: Part, tmp_path: Path, go: Go) -> None:
    log = tmp_path / "log"
    counting = fake_go(tmp_path / "tools", f'#!/bin/sh\necho "$1" >>{log}\nexec {go.executable} "$@"\n')
    slow = replace(go, executable=str(counting))

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda _: build.ensure_built(part, slow, Silent()), range(3)))

    assert len(set(results)) == 1
    assert log.read_text().split().count("build") == 1


@pytest.mark.usefixtures("killed_build")
def test_removing_all_leaves_no_build(part: Part, go: Go, cache: Path) -> None:
    build.ensure_built(part, go, Silent())
    assert names(cache)

    build.remove_all()

    assert not cache.exists()


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go", "sub/other.go"])
def test_the_key_follows_the_pins_and_the_sources(part: Part, go: Go, file: str) -> None:
    before = build.key(part, go)
    (part.sources / "sub").mkdir()
    assert build.key(part, go) == before

    with (part.sources / file).open("a") as changed:
        changed.write("// changed\n")

    assert build.key(part, go) != before


def test_the_key_follows_the_compiler_and_the_recipe(part: Part, go: Go) -> None:
    keys = {
        build.key(part, go),
        build.key(part, replace(go, platform="go1.99.0 linux amd64")),
        build.key(replace(part, linker_flags="-X main.version=2"), go),
        build.key(replace(part, package="./other"), go),
    }
    assert len(keys) == 4


def test_the_key_ignores_what_the_generator_writes(part: Part, go: Go) -> None:
    generating = replace(part, generated="generated")
    before = build.key(generating, go)
    (part.sources / "generated").mkdir()
    (part.sources / "generated" / "schema.json").write_text("{}")

    assert build.key(generating, go) == before
    assert build.key(part, go) != before


def test_the_key_ignores_tests(part: Part, go: Go) -> None:
    before = build.key(part, go)
    (part.sources / "main_test.go").write_text("package main\n")

    assert build.key(part, go) == before


def test_parts_have_pins_of_their_own(go: Go) -> None:
    assert len({build.key(part, go) for part in PARTS}) == len(PARTS)
    assert all((part.sources / "go.sum").is_file() for part in PARTS)


def test_an_empty_home_and_foreign_go_settings_do_not_matter(
    part: Part, go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "home"
    empty.mkdir()
    for name in ("GOCACHE", "GOMODCACHE", "GOPATH", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(empty))
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    monkeypatch.setenv("GOWORK", str(tmp_path / "go.work"))
    monkeypatch.setenv("GOOS", "plan9")

    assert run(build.ensure_built(part, go, Silent()) / "hello") == "hello"


def test_a_missing_compiler_is_named(part: Part, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ToolchainError, match=r"error\[go-missing\]"):
        find_go(part.sources)


def test_an_old_compiler_is_named(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOTOOLCHAIN", "local")
    (part.sources / "go.mod").write_text("module example.org/hello\n\ngo 1.999\n")

    with pytest.raises(ToolchainError, match=r"error\[go-too-old\]") as failure:
        build.ensure_built(part, find_go(part.sources), Silent())

    assert "go.mod requires go >= 1.999" in failure.value.observed


def test_an_unreachable_registry_is_named(go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    command = replace(COMMAND, sources=Path(shutil.copytree(COMMAND.sources, tmp_path / "command")))

    with pytest.raises(ToolchainError, match=r"error\[registry-unreachable\]") as failure:
        build.ensure_built(command, go, Silent())

    assert "127.0.0.1:1" in failure.value.observed
    assert "GOPROXY" in failure.value.remedy


# As Go prints them.
@pytest.mark.parametrize(
    ("output", "code"),
    [
        ("go: writing stat cache: write /root/go/pkg/mod/x.info: no space left on device\n", "disk-full"),
        ("compile: writing output: write $WORK/b012/_pkg_.a: no space left on device\n", "disk-full"),
        (
            "verifying github.com/x/y@v1.0.0: checksum mismatch\n\tdownloaded: h1:a\n\tgo.sum: h1:b\n",
            "module-checksum-mismatch",
        ),
        ("github.com/x/y@v1: reading https://proxy.example/y/@v/list: 403 Forbidden\n", "registry-unreachable"),
        ("go: download go1.26 for linux/amd64: toolchain not available\n", "go-too-old"),
        ("main.go:3:15: undefined: undefined\n", "build-failed"),
    ],
)
def test_known_failures_have_names(output: str, code: str) -> None:
    assert named_failure(output).code == code


def test_the_required_go_is_the_one_that_the_modules_ask_for() -> None:
    lines = [line for part in PARTS for line in (part.sources / "go.mod").read_text().splitlines()]
    releases = {line.split()[1] for line in lines if line.startswith("go ")}

    assert {".".join(release.split(".")[:2]) for release in releases} == {golang.REQUIRED_GO}
