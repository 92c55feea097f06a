"""The project's own stacks, previewed by the real engine with the real plugins and the policy pack; no host is touched."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cli.drift import forthcoming
from tests.support.program import ROOT, change, credentials
from tests.support.workspace import diagnostics, read_events

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STACKS = ("dev", "libvirt", "twonode", "physical")
PROGRAM = ("Pulumi.yaml", "__main__.py", "config", "components", "cluster", "cli", "onnode", "policy")
RAN = "error[test]"
RUN_LIMIT = 600


@dataclass(frozen=True)
class Preview:
    """One finished preview.

    Attributes:
        code: exit code.
        output: what a user saw.
        messages: what was logged, with the URN of its resource.
        operations: planned operations by resource name.
    """

    code: int
    output: str
    messages: list[tuple[str, str]]
    operations: dict[str, str]


class Project:
    """A copy of the program in a directory of its own, so that stack files can be changed."""

    def __init__(self, directory: Path, environment: Mapping[str, str], tracked: Path) -> None:
        self.directory = directory
        directory.mkdir()
        for name in PROGRAM:
            source = tracked / name
            if source.is_dir():
                shutil.copytree(source, directory / name)
            else:
                shutil.copy(source, directory / name)
        (directory / ".venv").symlink_to(environment["VIRTUAL_ENV"])
        # A step that ran in spite of all would look for the lab's addresses on this machine's own network.
        (directory / "cluster" / "__main__.py").write_text(f"raise SystemExit('{RAN}: no step may run here')\n")
        path = directory / "credentials.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(credentials()))
        self.environment = {
            **environment,
            "NESTED_PVE_CREDENTIALS": str(path),
            "PULUMI_BACKEND_URL": f"file://{directory}",
            "PULUMI_CONFIG_PASSPHRASE": "lab-only",
            "PULUMI_DEBUG_COMMANDS": "true",  # adds --event-log
            "PROXMOX_VE_ENDPOINT": "https://192.0.2.1:8006",  # as `make shell` gives it
        }

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        return subprocess.run(
            command,
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT,
            check=False,
        )

    def take(self, stack: str, changes: Mapping[str, Any] | None = None) -> None:
        """Use a stack file of the project, with changed values by path."""
        document = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
        plain = {key.removeprefix("nested-pve-ha:"): value for key, value in document["config"].items()}
        document["config"] = {
            f"nested-pve-ha:{key}": value for key, value in change(plain, dict(changes or {})).items()
        }
        (self.directory / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(document))
        self.pulumi("stack", "init", stack, "--no-select")

    def preview(self, stack: str, *arguments: str) -> Preview:
        log = self.directory / "events.json"
        log.unlink(missing_ok=True)
        done = self.pulumi("preview", "--stack", stack, "--policy-pack", "policy", "--event-log", str(log), *arguments)
        events = read_events(log)
        planned = [event["resourcePreEvent"]["metadata"] for event in events if "resourcePreEvent" in event]
        operations = {step["urn"].rsplit("::", 1)[1]: step["op"] for step in planned}
        violations = [event["policyEvent"] for event in events if "policyEvent" in event]
        messages = diagnostics(events) + [(found.get("resourceUrn", ""), found["message"]) for found in violations]
        return Preview(done.returncode, done.stdout + done.stderr, messages, operations)


@pytest.fixture
def project(tmp_path: Path, toolchain: dict[str, str], tracked: Path) -> Project:
    return Project(tmp_path / "project", toolchain, tracked)


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_previews_without_a_host_and_without_secrets_and_passes_the_policies(
    stack: str, project: Project
) -> None:
    original = (ROOT / f"Pulumi.{stack}.yaml").read_text()
    (project.directory / f"Pulumi.{stack}.yaml").write_text(original)
    assert project.pulumi("stack", "init", stack, "--no-select").returncode == 0
    preview = project.preview(stack, "--diff")
    assert preview.code == 0, preview.output[-3000:]
    # What a preview that looks asks of the steps that are planned: the engine knows what they are given.
    steps = [step["inputs"] for step in forthcoming.planned(read_events(project.directory / "events.json"))]
    telling = {
        inputs["create"]: inputs["stdin"] for inputs in steps if inputs["create"].endswith(forthcoming.PREDICTABLE)
    }
    assert len(telling) > 1
    assert None not in telling.values()
    golden = (ROOT / f"tests/unit/program/golden/{stack}.txt").read_text().splitlines()
    names = {line.rsplit("::", 1)[1] for line in golden}
    assert {name for name, operation in preview.operations.items() if operation == "create"} >= names
    assert not [text for _, text in preview.messages if "nested-pve-ha@" in text]
    # The engine rewrites a file that has no salt, or numbers where it keeps texts: `git status` would show it.
    assert (project.directory / f"Pulumi.{stack}.yaml").read_text() == original
    secrets = credentials()
    for secret in (secrets["rootPassword"], secrets["apiPassword"], secrets["sshPrivateKey"].splitlines()[1]):
        assert secret not in preview.output
    if stack == "dev":
        assert "10.20.1.187" in preview.output, "the wanted facts are shown"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"outerHosts.0.nested": False}, "outer host virtual has nested: false"),
    ({"nodes.1.cpuType": "kvm64"}, "nested node proxmox02 has CPU type kvm64"),
    (
        {
            "cluster.links": [{"subnet": "10.10.1.0/24"}],
            **{f"nodes.{n}.links": [f"10.10.1.{185 + n}"] for n in range(3)},
        },
        "cluster proxmox has 1 Corosync link",
    ),
]


def test_an_unsafe_design_is_refused_for_each_of_its_flaws(project: Project) -> None:
    """That each is refused on its own, too, is seen in its report: test_report.py."""
    project.take("dev", {path: value for changes, _ in BAD for path, value in changes.items()})
    preview = project.preview("dev")
    assert preview.code != 0
    told = [text for urn, text in preview.messages if urn.endswith("::design")]
    for _, message in BAD:
        assert [text for text in told if message in text], (message, preview.output)


def test_an_unsafe_design_is_refused_before_anything_is_touched(project: Project) -> None:
    up = ("up", "--stack", "dev", "--policy-pack", "policy", "--yes", "--skip-preview")
    project.take("dev", BAD[0][0])
    done = project.pulumi(*up)
    assert done.returncode != 0
    assert BAD[0][1] in done.stdout + done.stderr
    assert RAN not in done.stdout + done.stderr
    state = json.loads(project.pulumi("stack", "export", "--stack", "dev").stdout)["deployment"]
    # Components are names for groups, and may be recorded before the engine hears of the refusal.
    made = [resource["type"] for resource in state.get("resources", []) if resource.get("custom")]
    assert not [type_ for type_ in made if not type_.startswith("pulumi:providers:")], made
    project.take("dev")
    assert RAN in project.pulumi(*up).stdout, "with a sound design the first step runs, and is seen"


def test_a_mistake_in_the_configuration_is_told_without_a_traceback(project: Project) -> None:
    project.take("dev", {"cluster.seed": "nobody", "nodes.0.vmid": 102})
    preview = project.preview("dev")
    assert preview.code != 0
    assert "error[config-invalid]: 2 problems in the configuration" in preview.output
    assert "cluster.seed: there is no node nobody" in preview.output
    assert "fix: choose a free vmid" in preview.output
    assert "Traceback" not in preview.output
