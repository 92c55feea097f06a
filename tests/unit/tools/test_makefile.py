"""What others give to `make`, or to the workflow that deploys, is text: a name that is none ends it before anything runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    Deploy = Callable[[str, dict[str, Any]], tuple[str, str]]

ROOT = Path(__file__).resolve().parents[3]
# Each would make the file `touched` in make or in a shell, or name another stack than it seems to.
NO_NAMES = {
    "nothing": "",
    "a command after it": "home;touch touched",
    "the rest as a comment": "home;touch touched #",
    "a substitution of the shell": "home$(touch touched)",
    "one of make": "home$(shell touch touched)",
    "make's own variable": "$(PY)",
    "back-quotes": "home`touch touched`",
    "another line": "home\ntouch touched",
    "two names": "dev twonode",
    "a space after it": "home ",
    "a pattern": "%",
    "a path": "../home",
    "an option": "--help",
    "an underscore first": "_home",
    "a letter beyond ASCII": "höme",
    "a parenthesis and a comma": "a),b",
}


def make(directory: Path, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    variables = ("STACK", "BASE", "OUTPUT", "YES", "DO", "NODE", "ENDPOINT", "FINGERPRINT", "GUESTS")
    environment = {name: value for name, value in os.environ.items() if name not in variables}
    environment = {name: value for name, value in environment.items() if not name.startswith("MAKE")} | given
    command = ["make", "--file", str(ROOT / "Makefile"), *arguments]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory in which the project's Python only tells its arguments, one on a line."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n[ "$1" = -I ] && exec python3 "$@"\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "attended.py").symlink_to(ROOT / "tools" / "attended.py")
    # As new as a file can be: nothing has to be made first.
    for file in ("requirements.txt", "requirements-dev.txt", ".venv/.complete", ".venv/.dev"):
        (tmp_path / file).touch()
    return tmp_path


@pytest.mark.parametrize("name", NO_NAMES.values(), ids=NO_NAMES)
@pytest.mark.parametrize("where", ["argument", "environment"])
def test_what_is_no_stack_name_is_refused_before_anything_runs(checkout: Path, where: str, name: str) -> None:
    before = sorted(checkout.iterdir())
    given = {"STACK": name} if where == "environment" else {}
    arguments = [] if given else [f"STACK={name}"]
    for target in (["status"], ["--dry-run", "up", "YES=1"]):
        done = make(checkout, *target, *arguments, **given)
        assert done.returncode == 2
        assert f"error: STACK={name} is no stack name" in done.stderr
        assert not done.stdout
    assert sorted(checkout.iterdir()) == before


def test_the_callers_own_pulumi_is_not_hidden_by_sudo(checkout: Path) -> None:
    done = make(checkout, "status", PULUMI_HOME="/a home", PATH=f"/my own/bin:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()
    after = words[words.index("env") :]
    assert after[1].startswith("PATH=/my own/bin:")
    assert after[2:5] == ["PULUMI_HOME=/a home", ".venv/bin/python", "-m"]


@pytest.mark.parametrize("name", ["home", "Home-2", "a", "4_nodes", "azAZ09-_"])
def test_a_stack_name_reaches_the_command(checkout: Path, name: str) -> None:
    done = make(checkout, "--dry-run", "up", f"STACK={name}", "YES=1")
    assert done.returncode == 0, done.stderr
    assert f"-m cli up --stack {name} --yes\n" in done.stdout
    assert make(checkout, "status", f"STACK={name}").stdout.split() == ["-m", "cli", "status", "--stack", name]


@pytest.mark.parametrize(
    ("target", "given", "words"),
    [
        ("drain", ["NODE=pve1"], ["--node", "pve1"]),
        ("undrain", ["NODE=pve1; touch touched"], ["--node", "pve1; touch touched"]),
        ("drain", [], ["--node", ""]),
        ("reboot", ["NODE=$(shell touch touched)", "YES=1"], ["--node", "$(shell touch touched)", "--yes"]),
        ("reboot", [], []),
        ("upgrade", ["YES=1"], ["--yes"]),
        ("drill", [], []),
        ("drill", ["NODE=pve1; touch touched", "YES=1"], ["--node", "pve1; touch touched", "--yes"]),
        ("repair", [], []),
        ("repair", ["LOST=pve2 $(shell touch touched)", "YES=1"], ["--lost", "pve2 $(shell touch touched)", "--yes"]),
        ("repair", ["ONLY=services`touch touched`"], ["--only", "services`touch touched`"]),
    ],
)
def test_a_node_reaches_the_command_as_it_is_written(
    checkout: Path, target: str, given: list[str], words: list[str]
) -> None:
    done = make(checkout, target, "STACK=home", *given)
    assert done.stdout.splitlines() == ["-m", "cli", target, "--stack", "home", *words], done.stderr
    assert not (checkout / "touched").exists()


@pytest.mark.parametrize("stack", ["home", "dev"])
def test_a_cluster_that_nobody_has_described_is_looked_at_without_engine_and_lab(checkout: Path, stack: str) -> None:
    given = ["ENDPOINT=https://$(shell touch touched)", "FINGERPRINT=SHA256:a`touch touched`", "GUESTS=1"]
    done = make(checkout, "adopt", f"STACK={stack}", *given)
    words = ["--endpoint", "https://$(shell touch touched)", "--fingerprint", "SHA256:a`touch touched`", "--guests"]
    assert done.stdout.splitlines() == ["-m", "cli", "adopt", "--stack", stack, *words], done.stderr
    assert not (checkout / "touched").exists()


def test_without_an_endpoint_it_is_a_lost_state_that_is_recorded_again(checkout: Path) -> None:
    done = make(checkout, "--dry-run", "adopt", "STACK=home", "YES=1")
    assert "-m cli adopt --stack home --yes\n" in done.stdout
    assert "toolchain install" in done.stdout


def test_what_is_for_eval_is_alone_on_standard_output(checkout: Path) -> None:
    (checkout / "Makefile").symlink_to(ROOT / "Makefile")
    done = make(checkout, "env", "STACK=home")
    assert done.stdout.split() == ["-m", "cli", "environment", "--stack", "home"], done.stderr
    assert "Pulumi engine and plugins" in done.stderr


@pytest.mark.parametrize("stack", ["dev", "home"])
def test_what_is_called_in_the_shell_is_alone_on_standard_output(checkout: Path, stack: str) -> None:
    (checkout / "requirements.txt").touch()
    (checkout / ".venv" / ".complete").unlink()  # all that can come before it
    (checkout / ".venv" / ".dev").unlink()
    (checkout / "tools" / "python-environment").write_text("#!/bin/sh\necho made\n")
    (checkout / "tools" / "python-environment").chmod(0o755)
    done = make(checkout, "shell", f"STACK={stack}")
    words = done.stdout.split()
    assert (words[:3], words[-4:]) == (
        ["-m", "lab", "run"] if stack == "dev" else ["-m", "cli", "shell"],
        ["cli", "shell", "--stack", stack],
    ), done.stderr
    of_the_lab = ["Packages of the lab, tests and linters", "Lab"] if stack == "dev" else []
    before = ["Python environment (.venv)", "Pulumi engine and plugins", *of_the_lab]
    assert [line[2:] for line in done.stderr.splitlines() if line.startswith("▸")] == before


def test_a_shell_that_fails_fails_make_and_its_code_is_told(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -I ] && exec python3 "$@"\n[ "$3" = install ] || exit 3\n')
    done = make(checkout, "shell", "STACK=home")
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith("shell] Error 3")


def test_the_labs_addresses_are_not_given_to_a_shell_outside(checkout: Path) -> None:
    done = make(checkout, "env", "STACK=twonode")
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: stack twonode is in the lab: make shell STACK=twonode\n" in done.stderr


def test_without_a_name_it_is_the_labs(checkout: Path) -> None:
    assert "-m cli up --stack dev --yes\n" in make(checkout, "--dry-run", "up").stdout
    assert "make up" in make(checkout, "help").stdout


@pytest.mark.parametrize(
    "text", ["a b", "$(shell touch touched)", '"; touch touched; "', "'$(touch touched)`touch touched`"]
)
def test_a_base_and_an_output_are_passed_on_as_written(checkout: Path, text: str) -> None:
    before = sorted(checkout.iterdir())
    done = make(checkout, "pr-report", "STACK=home", f"BASE={text}", f"OUTPUT={text}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"report\n--stack\nhome\n--base\n{text}\n--output\n{text}\n")
    assert sorted(checkout.iterdir()) == before


def test_the_labs_commands_are_given_to_root_and_to_others_alike(checkout: Path) -> None:
    programs = checkout / "programs"
    programs.mkdir()
    (programs / "id").write_text("#!/bin/sh\necho ${WHO}\n")
    (programs / "sudo").write_text('#!/bin/sh\necho asked sudo\nshift\nexec "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    root, other = (make(checkout, "in-lab", "DO=link cut * 0", PATH=path, WHO=uid) for uid in ("0", "1000"))
    words = "-m\nlab\nlink\ncut\n*\n0\n"
    assert (root.returncode, root.stdout) == (0, words), root.stderr
    assert (other.returncode, other.stdout) == (0, f"asked sudo\n{words}"), other.stderr


@pytest.mark.parametrize("given", [[], ["DO="], ["DO= "]])
def test_without_a_command_the_labs_commands_are_listed_by_anybody(checkout: Path, given: list[str]) -> None:
    programs = checkout / "programs"
    programs.mkdir()
    (programs / "id").write_text("#!/bin/sh\necho 1000\n")
    (programs / "sudo").write_text("#!/bin/sh\necho asked sudo\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    done = make(checkout, "in-lab", *given, PATH=f"{programs}{os.pathsep}{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (0, "-m\nlab\n"), done.stderr


@pytest.mark.parametrize("text", ["$(shell touch touched)", "a;touch touched", "`touch touched`"])
def test_a_command_of_the_lab_is_words_only(checkout: Path, text: str) -> None:
    before = sorted(checkout.iterdir())
    done = make(checkout, "in-lab", f"DO={text}")
    assert done.stdout.split()[-2:] == text.split()[-2:], done.stderr
    assert sorted(checkout.iterdir()) == before


UP = yaml.safe_load((ROOT / ".github" / "workflows" / "up.yml").read_text())["jobs"]
# What the forge answers for an environment, as far as it matters.
REVIEWED = {"protection_rules": [{"type": "required_reviewers", "reviewers": [{"type": "User"}]}]}
GH = """\
#!/bin/sh
[ "$1 $2 $3" = "api repos/o/r/environments/home --jq" ] || exit 9
jq "$4" "$(dirname "$0")/environment.json"
"""


@pytest.fixture
def deploy(tmp_path: Path) -> Deploy:
    """Runs the step that checks a stack's name, for a repository with one stack; gives what it says and what it hands on."""
    repository, programs, output = tmp_path / "repository", tmp_path / "programs", tmp_path / "output"
    programs.mkdir()
    (programs / "gh").write_text(GH)
    (programs / "gh").chmod(0o755)
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    for stack in ("home", "untracked"):
        (repository / f"Pulumi.{stack}.yaml").touch()
    subprocess.run(["git", "add", "Pulumi.home.yaml"], cwd=repository, check=True)
    (step,) = [one for one in UP["stack"]["steps"] if one.get("id") == "named"]

    def run(stack: str, environment: dict[str, Any]) -> tuple[str, str]:
        output.write_text("")
        (programs / "environment.json").write_text(json.dumps(environment))
        variables = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "STACK": stack,
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_OUTPUT": str(output),
        }
        command = ["bash", "-e", "-c", step["run"]]
        done = subprocess.run(command, cwd=repository, env=variables, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (output.read_text() != ""), done.stderr
        assert not (repository / "touched").exists()
        return done.stdout, output.read_text()

    return run


def test_a_stack_that_somebody_must_approve_is_handed_on(deploy: Deploy) -> None:
    assert deploy("home", REVIEWED) == ("", "stack=home\n")


@pytest.mark.parametrize("name", [*NO_NAMES.values(), "other", "untracked", "home;true", "HOME"])
def test_the_workflow_refuses_what_is_no_stack(deploy: Deploy, name: str) -> None:
    said, handed_on = deploy(name, REVIEWED)
    assert said.startswith("error: there is no stack ")
    assert said.count("\n") == 1
    assert not handed_on


@pytest.mark.parametrize(
    "environment",
    [
        {"message": "Not Found"},
        {"protection_rules": []},
        {"protection_rules": [{"type": "branch_policy"}, {"type": "wait_timer", "wait_timer": 30}]},
        {"protection_rules": [{"type": "required_reviewers", "reviewers": []}]},
    ],
)
def test_the_workflow_refuses_an_environment_that_asks_nobody(deploy: Deploy, environment: dict[str, Any]) -> None:
    assert "the environment home has no required reviewers" in deploy("home", environment)[0]


def test_only_a_name_that_was_checked_is_used_as_an_environment() -> None:
    checked = "${{ needs.stack.outputs.stack }}"
    up = UP["up"]
    assert (up["needs"], up["environment"], "if" in up) == ("stack", checked, False)
    assert up["steps"][-1]["env"]["STACK"] == checked
    assert UP["stack"]["outputs"] == {"stack": "${{ steps.named.outputs.stack }}"}
    assert UP["stack"]["if"] == "github.ref == 'refs/heads/main'"
    assert "environment" not in UP["stack"]
    assert "secrets" not in json.dumps(UP["stack"])


@pytest.mark.parametrize("stack", ["dev", "home"])
def test_an_adoption_ends_with_what_comes_next_as_up_does(checkout: Path, stack: str) -> None:
    ends = []
    for goal in ("up", "adopt"):
        done = make(checkout, "-n", "-o", "toolchain", "-o", "lab", goal, STACK=stack)
        assert done.returncode == 0, done.stderr
        ends.append(done.stdout.splitlines()[-1])
    assert ends[0] == ends[1]
    assert "Next: make preview" in ends[0]
