"""`make test` fails when any tier does, says what ran, and `.ci/run` ends as it does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.processes import eventually
from tools import tiers

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 20
# Stands for the project's Python: pytest leaves its counts, and fails, or does not end, where it is told to.
PYTHON = """\
#!/bin/sh
case "$*" in
    "-I -S tools/attended.py "*) exec python3 "$@" ;;
    "-m tools.tiers "*) exec {python} "$@" ;;
esac
code=0
case "$* " in *"$FAILS"*) code=1 ;; esac
case "$* " in *"$HANGS"*) echo $$ > busy; exec sleep 60 ;; esac
for word; do
    case $word in --junit-xml=*)
        echo '<testsuites><testsuite tests="7" failures="'$code'" errors="0" skipped="2" time="65.4"/></testsuites>' > "${{word#*=}}"
    esac
done
exit $code
"""
ALL = [goal for lanes in tiers.ROUNDS for lane in lanes for goal in lane]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile and what it calls for `make test`, where all but make, attended.py and tiers.py only says that it ran."""
    for name in ("Makefile", "tools/__init__.py", "tools/attended.py", "tools/tiers.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    programs = ("bin/go", "bin/shellcheck", ".venv/bin/zizmor", "tools/debian-packages")
    for directory in ("toolchain/command", "toolchain/proxmoxve", "bin", ".venv/bin"):
        (tmp_path / directory).mkdir(parents=True)
    for program in (*programs, ".venv/bin/python"):
        text = PYTHON.format(python=sys.executable) if program.endswith("python") else "#!/bin/sh\n"
        (tmp_path / program).write_text(text)
        (tmp_path / program).chmod(0o755)
    for file in ("requirements.txt", "requirements-dev.txt", ".venv/.complete", ".venv/.dev"):
        (tmp_path / file).touch()
    return tmp_path


def start(checkout: Path, *, fails: str = "nothing", hangs: str = "nothing") -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment |= {"FAILS": fails, "HANGS": hangs, "PATH": f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.Popen(
        ["make", "SUDO=", "test"],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def table(said: str) -> list[list[str]]:
    """The rows of the table, which comes last but for what make says of a failure."""
    lines = said.partition(" min:s")[2].splitlines()
    return [line.split() for line in lines if line.strip().startswith("make ")]


@pytest.mark.parametrize(
    ("fails", "failed", "reached"),
    [
        ("nothing", None, len(ALL)),
        ("-m mypy", "lint", 1),
        (" tests/unit ", "unit", 3),
        (" tests/lab/changes ", "test-changes", len(ALL)),
    ],
)
def test_the_first_tier_that_fails_is_the_last_and_make_fails(
    checkout: Path, fails: str, failed: str | None, reached: int
) -> None:
    with start(checkout, fails=fails) as making:
        said, _ = making.communicate(timeout=120)
    assert making.returncode == (2 if failed else 0), said
    rows = table(said)
    assert [row[1] for row in rows] == ALL
    ended = ["failed" if goal == failed else "passed" for goal in ALL[:reached]]
    assert [" ".join(row[2:-4]) for row in rows] == [*ended, *["did not run"] * (len(ALL) - reached)]
    for row in rows[:reached]:
        counts = (
            ["-"] * 3 if row[1] in ("lint", "go-test") else ["4", "1", "2"] if row[1] == failed else ["5", "0", "2"]
        )
        assert row[-4:-1] == counts
        assert row[1] in ("lint", "go-test") or row[-1] == "1:05"
    for number, goal in enumerate(ALL, 1):
        assert (f"tier {number} of {len(ALL)}: make {goal}, about " in said) == (number <= reached)


@pytest.mark.parametrize(
    ("fails", "failed", "before", "after"),
    [
        (" tests/lab/bad_worlds ", "test-worlds", [], ["test-toolchain"]),
        (" tests/lab/job ", "test-job", ["test-standins"], ["test-changes"]),
    ],
)
def test_after_a_tier_that_fails_its_lane_ends(
    checkout: Path, fails: str, failed: str, before: list[str], after: list[str]
) -> None:
    with start(checkout, fails=fails) as making:
        said, _ = making.communicate(timeout=120)
    assert making.returncode == 2, said
    ended = {row[1]: " ".join(row[2:-4]) for row in table(said)}
    assert ended[failed] == "failed"
    assert {ended[goal] for goal in before} <= {"passed"}
    assert {ended[goal] for goal in after} == {"did not run"}
    # What ran in the other lane had time to end, or none to begin.
    assert {state for goal, state in ended.items() if goal != failed} <= {"passed", "did not run"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_asks_make_to_end_asks_the_tier_that_runs(checkout: Path, number: signal.Signals) -> None:
    busy = checkout / "busy"
    with start(checkout, hangs=" tests/lab/job ") as making:
        assert eventually(lambda: busy.exists() and bool(busy.read_text()), LIMIT_S)
        making.send_signal(number)
        said, _ = making.communicate(timeout=LIMIT_S)
    assert making.returncode != 0
    assert not Path(f"/proc/{busy.read_text().strip()}").exists()
    assert ["make", "test-job", "failed", "-", "-", "-"] in [row[:-1] for row in table(said)], said
    assert ["make", "test-changes", "did", "not", "run", "-", "-", "-", "-"] in table(said), said
    assert ["make", "test-standins", "passed", "5", "0", "2"] in [row[:-1] for row in table(said)], said


def test_a_tier_that_counted_no_failure_and_did_not_end_well_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "JUNIT", tmp_path)
    suite = ET.Element("testsuite", tests="3", failures="0", errors="0", skipped="0", time="1.5")
    suites = ET.Element("testsuites")
    suites.append(suite)
    for name in ("ended", "interrupted"):
        ET.ElementTree(suites).write(tmp_path / f"{name}.xml")
    assert [row.ended for row in tiers.rows_of(({"interrupted": 1},), 0, 2.0)] == ["passed"]
    assert [row.ended for row in tiers.rows_of(({"interrupted": 1},), 2, 2.0)] == ["failed"]
    # Side by side, what has ended well is not to blame, and neither is what never began.
    for name in ("ended.started", "ended.passed", "interrupted.started", "killed.started"):
        (tmp_path / name).touch()
    both = ({"ended": 1, "interrupted": 1, "waits": 1}, {"killed": 1})
    assert [row.ended for row in tiers.rows_of(both, 2, 2.0)] == ["passed", "failed", "did not run", "failed"]
    suite.set("errors", "1")
    ET.ElementTree(suites).write(tmp_path / "interrupted.xml")
    (row,) = tiers.rows_of(({"interrupted": 1},), 2, 2.0)
    assert (row.ended, row.counted) == ("failed", tiers.Counted(passed=2, failed=1, skipped=0, seconds=1.5))


def test_each_tier_is_a_goal_and_leaves_what_it_counts() -> None:
    text = (ROOT / "Makefile").read_text()
    for goal in ALL:
        assert f"\n{goal}:" in text
    assert text.count("-m pytest") == 1, "each runs it through PYTEST, which has the option"


@pytest.mark.parametrize("code", [0, 1, 2, 7])
def test_continuous_integration_ends_as_make_test_does(tmp_path: Path, code: int) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    make = tmp_path / "bin" / "make"
    make.write_text(f'#!/bin/sh\necho "$PWD" "$@" "$PYTEST_ADDOPTS"\nexit {code}\n')
    make.chmod(0o755)
    environment = {**os.environ, "PATH": f"{make.parent}{os.pathsep}{os.environ['PATH']}", "PYTEST_ADDOPTS": "-x"}
    done = subprocess.run([tmp_path / ".ci" / "run"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith(f"{tmp_path} test -x --randomly-seed=")
