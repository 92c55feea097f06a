"""What is said while the Python environment is made, which takes a minute or two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[3] / "tools" / "python-environment"
# Stands for every Python that is called: the one that makes the environment, and the one in it, whose pip says what pip says.
PYTHON = """\
#!/bin/bash
[ "$1" = -c ] && exit 0
if [ "$2" = venv ]; then [ "$CODE" != venv ] || exit 1; mkdir -p .venv/bin && cp "$0" .venv/bin/python; exit; fi
for n in {1..25}; do
    echo "Collecting package$n==1 (from -r ${*: -1} (line $n))"
    echo "  Downloading package$n-1-py3-none-any.whl (1.0 MB)"
done
echo "Installing collected packages: package1, …"
echo $$ > pid
echo "WARNING: from pip" >&2
exit $CODE
"""


def locked(names: range) -> str:
    wanted = "".join(f"package{n}==1 \\\n    --hash=sha256:{n:064x}\n" for n in names)
    return f"# made by make lock\n{wanted}"


@pytest.mark.parametrize("code", [0, 7])
@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_it_says_what_it_does_and_how_far_it_is(tmp_path: Path, file: str, code: int) -> None:
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    # What the first of them has brought is not brought again.
    (tmp_path / "requirements.txt").write_text(locked(range(25)))
    (tmp_path / "requirements-dev.txt").write_text(locked(range(50)))
    environment = {**os.environ, "PYTHON": str(python), "CODE": str(code)}
    with subprocess.Popen(
        [PROGRAM, file], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        said, complaints = running.communicate(timeout=30)
    assert said.splitlines() == [
        f"  25 packages by their hashes in {file}: a minute or two",
        "  10 of 25 packages are here",
        "  20 of 25 packages are here",
        "  all are here; installing them",
    ]
    assert (running.returncode, complaints) == (code, "WARNING: from pip\n")
    assert int((tmp_path / "pid").read_text()) == running.pid, "what asks for its end asks pip"


@pytest.mark.parametrize(("file", "kept"), [("requirements.txt", False), ("requirements-dev.txt", True)])
def test_only_for_the_programs_own_packages_it_is_made_anew(tmp_path: Path, file: str, *, kept: bool) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    for program in (tmp_path / "python", python):
        program.write_text(PYTHON)
        program.chmod(0o755)
    earlier = tmp_path / ".venv" / "earlier"
    earlier.touch()
    (tmp_path / "requirements.txt").write_text(locked(range(25)))
    (tmp_path / "requirements-dev.txt").write_text(locked(range(50)))
    environment = {**os.environ, "PYTHON": str(tmp_path / "python"), "CODE": "0"}
    subprocess.run([PROGRAM, file], cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert earlier.exists() is kept


def test_an_environment_that_cannot_be_made_has_a_name_and_a_next_step(tmp_path: Path) -> None:
    """`make` ended with `Error 1` below it."""
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / "requirements.txt").write_text(locked(range(25)))
    environment = {**os.environ, "PYTHON": str(python), "CODE": "venv"}
    done = subprocess.run(
        [PROGRAM, "requirements.txt"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("\nerror[python-environment-failed]: ")
    assert "\n  next: give this machine a way to the package index (HTTPS_PROXY," in done.stderr


FAILS = "import sys; sys.exit(7)"
IS_INTERRUPTED = """\
import os, signal, sys
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    sys.exit("ERROR: Operation cancelled by user")
"""


@pytest.mark.parametrize(
    ("pip", "code", "said"),
    [
        ("print('done')", 0, ""),
        (FAILS, 7, "\nerror[name]: no environment\n  next: do something\n"),
        (IS_INTERRUPTED, 1, "ERROR: Operation cancelled by user\n"),
    ],
)
def test_when_pip_fails_the_message_comes_last_but_not_after_ctrl_c(
    tmp_path: Path, pip: str, code: int, said: str
) -> None:
    (tmp_path / "pip.py").write_text(f"import sys\nassert sys.argv[1:] == ['install', 'it']\n{pip}\n")
    message = "error[name]: no environment\n  next: do something"
    done = subprocess.run(
        [sys.executable, "-P", PROGRAM.with_name("installing.py"), message, "install", "it"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, said)


def test_packages_that_apt_cannot_install_are_named_with_a_next_step(tmp_path: Path) -> None:
    for program, does in (("apt-get", "exit 100"), ("sudo", 'exec "$@"')):
        (tmp_path / program).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / program).chmod(0o755)
    done = subprocess.run(
        [PROGRAM.with_name("debian-packages"), "no-such-program=its-package"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error[packages-missing]: these could not be installed: its-package\n"
        "  next: make `apt-get install its-package` work on this machine, then run the same command again\n"
    )
