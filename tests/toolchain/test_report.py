"""The report for a pull request where the runner has neither state nor secrets, by the real engine; compared to the letter."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pulumi_policy import EnforcementLevel

from policy.pve_policies import RULES
from tests.support.fourth_node import NODE4, ROOM
from tests.support.golden import compare
from tests.support.program import ROOT, change

if TYPE_CHECKING:
    from collections.abc import Mapping

GOLDEN = Path(__file__).parent / "golden" / "reports"
LIMIT_S = 600
PREFIX = "nested-pve-ha:"
AUTHOR = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}

# What is changed, and what `up` would do.
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "nothing": ("dev", {}, 0),
    "add-a-node": ("dev", {"nodes.+": NODE4, **ROOM}, 0),
    "change-a-ring-address": ("dev", {"nodes.1.links.1": "10.20.1.196"}, 0),
    "raise-memory": ("dev", {"nodes.1.memoryMib": 3072, "guests.1.memoryMib": 1024}, 0),
    "break-rules": (
        "dev",
        {
            "outerHosts.0.nested": False,
            "outerHosts.0.repository": "enterprise",
            "nodes.1.cpuType": "kvm64",
            "cluster.links.1.priority": 20,
            "cluster.options.migrationNetwork": "10.10.1.0/24",
            "guests.0.ha": {"strict": True, "nodes": {"proxmox01": 1}},
            "guests.1.memoryMib": 1600,
            "nodes.0.votes": 3,
        },
        1,
    ),
    "break-the-configuration": (
        "dev",
        {
            "cluster.seed": "nobody",
            "cluster.links.1.subnet": "10.10.0.0/16",
            "cluster.api.user": "root@pam",
            "nodes.0.vmid": 102,
            "nodes.2.address": "192.168.0.1",
            "nodes.2.votes": 0,
            "outerHosts.0.bridges.0.dhcp.end": "10.10.1.200",
            "outerHosts.0.memoryMib": 4096,
            "guests.0.storage": "local-lvm",
            "guests.1.ha.nodes": {"proxmox04": 1},
        },
        1,
    ),
    "existing-nodes": ("physical", {"guests.0.memoryMib": 1024}, 0),
}


# A flaw for each mandatory rule that a stack file can break; the configuration's own checks refuse the other mistakes. Those that
# do not get in each other's way, or in that of "break-rules", share a report.
FLAWS = yaml.safe_load((ROOT / "tests/cases/break_it.yaml").read_text())
MANDATORY = {rule.id for rule in RULES if rule.level is EnforcementLevel.MANDATORY}
BROKEN = {flaw["refused"]: flaw["change"] for flaw in reversed(FLAWS) if flaw["refused"] in MANDATORY}
TOGETHER = {
    "break-rules-of-the-host": (
        "storage-outside-the-cluster",
        "corosync-links-independent",
        "dhcp-clear-of-static-addresses",
        "outer-host-not-overcommitted",
        "watchdog-present",
    ),
    "break-rules-of-ha": ("corosync-two-links", "ha-three-votes", "ha-guest-storage-shared"),
    "break-the-rule-of-the-witness": ("qdevice-independent",),
}
CASES |= {
    case: ("dev", {key: value for rule in rules for key, value in BROKEN[rule].items()}, 1)
    for case, rules in TOGETHER.items()
}


Told = tuple[int, str, str]  # exit code, the Markdown, what was said beside it


@dataclass(frozen=True)
class Checkout:
    """A repository with one commit, on which stack files are changed."""

    directory: Path
    environment: Mapping[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.directory,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def write(self, stack: str, config: Mapping[str, Any]) -> None:
        file = self.directory / f"Pulumi.{stack}.yaml"
        document = yaml.safe_load(file.read_text())
        document["config"] = {f"{PREFIX}{key}": value for key, value in config.items()}
        file.write_text(yaml.safe_dump(document))

    def set(self, stack: str, key: str, value: Any) -> None:  # noqa: ANN401 - any YAML value
        file = self.directory / f"Pulumi.{stack}.yaml"
        document = yaml.safe_load(file.read_text())
        document["config"][key] = value
        file.write_text(yaml.safe_dump(document))

    def config(self, stack: str) -> dict[str, Any]:
        document = yaml.safe_load((self.directory / f"Pulumi.{stack}.yaml").read_text())["config"]
        return {key.removeprefix(PREFIX): value for key, value in document.items()}

    def report(self, stack: str, *arguments: str) -> Told:
        """Exit code, the Markdown, and what was said beside it."""
        output = self.directory / "report.md"
        output.unlink(missing_ok=True)
        command = (".venv/bin/python", "-m", "cli", "report", "--stack", stack, "--output", str(output), *arguments)
        done = self.run(*command)
        return done.returncode, output.read_text() if output.exists() else "", done.stdout + done.stderr


def committed(directory: Path, toolchain: Mapping[str, str], tracked: Path) -> Checkout:
    shutil.copytree(tracked, directory, symlinks=True)
    # As on a runner for a fork: nothing that opens a state or a host.
    hidden = (
        "PULUMI_CONFIG_PASSPHRASE",
        "PULUMI_CONFIG_PASSPHRASE_FILE",
        "PULUMI_BACKEND_URL",
        "NESTED_PVE_CREDENTIALS",
    )
    environment = {name: value for name, value in {**os.environ, **toolchain}.items() if name not in hidden}
    made = Checkout(directory, {**environment, **AUTHOR})
    for command in (("git", "init", "-q"), ("git", "add", "-A"), ("git", "commit", "-qm", "base")):
        assert made.run(*command).returncode == 0
    return made


@pytest.fixture
def checkout(tmp_path: Path, toolchain: dict[str, str], tracked: Path) -> Checkout:
    return committed(tmp_path / "checkout", toolchain, tracked)


@pytest.fixture(scope="session")
def reported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, toolchain: dict[str, str], tracked: Path
) -> dict[str, Told]:
    """The reports of all cases that are asked for; side by side, since each is mostly one process after another."""
    base = tmp_path_factory.mktemp("reported")  # before the threads: pytest's own is not made for them

    def report(case: str) -> Told:
        stack, changed, _ = CASES[case]
        checkout = committed(base / case / "checkout", toolchain, tracked)
        checkout.write(stack, change(checkout.config(stack), changed))
        return checkout.report(stack, "--base", "HEAD")

    asked = [name for name in CASES if any(item.name.endswith(f"[{name}]") for item in request.session.items)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(asked, pool.map(report, asked), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_the_report_reads_as_kept(case: str, reported: dict[str, Told]) -> None:
    found, text, said = reported[case]
    assert found == CASES[case][2], said
    compare(text, GOLDEN / f"{case}.md")


def test_each_mandatory_rule_is_in_one_of_the_reports() -> None:
    kept = "".join((GOLDEN / f"{case}.md").read_text() for case in CASES)
    assert {rule for rule in BROKEN if f"| ⛔ refused | `{rule}` |" not in kept} == set()


def test_what_becomes_of_a_removed_node_is_shown(checkout: Checkout) -> None:
    config = checkout.config("dev")
    del config["nodes"][2]
    del config["guests"]  # two votes carry no HA
    checkout.write("dev", config)
    code, text, said = checkout.report("dev", "--base", "HEAD")
    assert code == 0, said
    compare(text, GOLDEN / "remove-a-node.md")


def test_a_plain_secret_is_refused_and_not_repeated(checkout: Checkout) -> None:
    checkout.set("dev", "proxmoxve:apiToken", "ci@pve!up=0e6b7a9c")
    code, text, said = checkout.report("dev", "--base", "HEAD")
    assert code == 1, said
    assert "0e6b7a9c" not in text + said
    compare(text, GOLDEN / "rule-no-plain-secrets.md")


def test_a_new_stack_has_no_base_and_is_told_as_a_whole(checkout: Checkout) -> None:
    code, text, said = checkout.report("twonode")
    assert code == 0, said
    compare(text, GOLDEN / "new-stack.md")


def test_credentials_in_the_stack_file_are_refused_and_not_repeated(checkout: Checkout) -> None:
    checkout.set("dev", "nested-pve-ha:credentials", {"rootPassword": "hunter22-hunter22"})
    code, text, said = checkout.report("dev", "--base", "HEAD")
    assert code == 1, said
    assert "credentials: is stored in the stack file without encryption" in text
    assert "hunter22" not in text + said


def test_what_is_encrypted_in_the_stack_file_is_no_plain_secret_and_nothing_is_left_behind(checkout: Checkout) -> None:
    checkout.set("dev", "proxmoxve:apiToken", {"secure": "v1:eF2p:AAAA"})
    code, text, said = checkout.report("dev", "--base", "HEAD")
    assert code == 0, said
    assert "no-plain-secrets" not in text
    assert checkout.run("git", "status", "--short").stdout.splitlines() == [" M Pulumi.dev.yaml", "?? report.md"]
    assert not list((checkout.directory / ".nested-pve").glob("state/.pulumi/stacks/*/*"))


def test_a_program_that_ends_without_a_word_is_a_failed_preview(checkout: Checkout) -> None:
    program = checkout.directory / "__main__.py"
    program.write_text("import sys\n\nsys.exit(3)\n")
    code, text, said = checkout.report("dev", "--base", "HEAD")
    assert code == 1, said
    assert "`make up` would refuse this**: the preview failed." in text
    assert "The program changed, too" in text


def test_a_stack_file_that_goes_is_told(checkout: Checkout) -> None:
    (checkout.directory / "Pulumi.dev.yaml").unlink()
    code, text, said = checkout.report("dev", "--base", "HEAD")
    assert code == 0, said
    assert "**The stack file is deleted.**" in text
    assert checkout.run("git", "commit", "-qam", "gone").returncode == 0
    listed = checkout.run(".venv/bin/python", "-m", "cli", "changed-stacks", "--base", "HEAD~1")
    assert (listed.returncode, listed.stdout) == (0, '["dev"]\n')


def test_a_rule_that_is_turned_off_is_told_first(checkout: Checkout) -> None:
    (checkout.directory / "Pulumi.dev.policy.json").write_text('{"all": "disabled"}')
    code, text, said = checkout.report("dev", "--base", "HEAD")
    assert code == 0, said
    assert "- **policies** changes what is refused: rule all: as shipped → disabled" in text
    assert "Rules with other settings than shipped: `all`: disabled." in text
    (checkout.directory / "Pulumi.dev.policy.json").write_text('{"guests-taged": "disabled"}')
    code, text, said = checkout.report("dev", "--base", "HEAD")
    assert code == 1, said
    assert "there is no rule guests-taged" in text


def test_a_stack_file_that_is_none_is_reported_and_refused(checkout: Checkout) -> None:
    (checkout.directory / "Pulumi.dev.yaml").write_text("config: [\n")
    code, text, said = checkout.report("dev", "--base", "HEAD")
    assert code == 1, said
    assert "Traceback" not in said
    assert "`make up` would refuse this**: the configuration is not right" in text
    assert "Pulumi.dev.yaml, line 2, column 1: is not valid YAML" in text


def test_a_base_whose_stack_file_is_none_is_not_compared(checkout: Checkout) -> None:
    file = checkout.directory / "Pulumi.dev.yaml"
    sound = file.read_text()
    file.write_text("config: [\n")
    assert checkout.run("git", "commit", "-qam", "broken").returncode == 0
    file.write_text(sound)
    code, text, said = checkout.report("dev", "--base", "HEAD")
    assert code == 0, said
    assert "the stack file of `HEAD` is not right, so that nothing could be compared" in text
    assert "to create" not in text


def test_a_base_that_is_not_there_is_named(checkout: Checkout) -> None:
    code, text, said = checkout.report("dev", "--base", "nowhere")
    assert (code, text) == (1, "")
    assert "error[base-unknown]" in said
    assert "Traceback" not in said
