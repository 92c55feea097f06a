"""Which server the provider sends a password to: with the real engine and plugin, and a server that notes what it gets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.engine import failures
from cli.engine.engine import Run as EngineRun
from tests.support.pve import PASSWORD, StatefulPve
from tests.support.tls import Authority, Capture, capturing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.workspace import Run, Workspace

# As the program does it: a step makes known what is to be trusted, then the provider is configured, without an endpoint.
PROGRAM = """
import pulumi_proxmoxve as pve
from pulumi_command import local

trusted = local.Command("trusted", create=cfg("create"))
provider = pve.Provider("api", username="root@pam", password=cfg("password"), opts=pulumi.ResourceOptions(depends_on=[trusted]))
pve.storage.Directory("storage", resource_id="here", path="/srv", contents=["iso"], opts=pulumi.ResourceOptions(provider=provider))
"""
SECRET = "never-to-be-seen"


@pytest.fixture
def foreigner(tmp_path: Path) -> Iterator[Capture]:
    """Somebody with a certificate for the right name, by an authority of his own."""
    with capturing(tmp_path / "foreign", [Authority("foreign").issue()]) as server:
        yield server


def code_of(run: Run) -> str:
    return failures.explain(EngineRun(run.code, run.output, errors=[("", run.output)]), "log")[0].code


def test_an_authority_that_becomes_known_in_mid_run_is_trusted_and_no_input_names_a_member(
    workspace: Workspace, pve: StatefulPve, tmp_path: Path
) -> None:
    known = Path(workspace.environment["SSL_CERT_FILE"]).read_text()
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(Authority().pem)
    (tmp_path / "known.pem").write_text(known)
    workspace.environment |= {"SSL_CERT_FILE": str(bundle), "PROXMOX_VE_ENDPOINT": f"https://127.0.0.1:{pve.port}"}
    step = f"cp {tmp_path}/known.pem {bundle}"
    made = workspace.up(PROGRAM, create=step, password=PASSWORD)
    assert made.code == 0, made.output
    # Another member answers now: nothing of the program changes.
    workspace.environment["PROXMOX_VE_ENDPOINT"] = f"https://localhost:{pve.port}"
    again = workspace.up(PROGRAM, create=step, password=PASSWORD)
    assert again.code == 0, again.output
    assert {op for ops in again.steps().values() for op in ops} == {"same"}


def test_a_foreign_server_gets_no_byte_in_any_kind_of_run(
    workspace: Workspace, pve: StatefulPve, foreigner: Capture
) -> None:
    workspace.environment["PROXMOX_VE_ENDPOINT"] = f"https://127.0.0.1:{pve.port}"
    made = workspace.up(PROGRAM, create="true", password=PASSWORD)
    assert made.code == 0, made.output
    workspace.environment["PROXMOX_VE_ENDPOINT"] = foreigner.endpoint
    for operation, options in (
        ("up", ("--yes", "--skip-preview", "--refresh", "--run-program")),
        ("preview", ("--refresh",)),
        ("refresh", ("--yes", "--skip-preview")),
        ("destroy", ("--yes", "--skip-preview", "--refresh", "--run-program")),
    ):
        before = foreigner.handshakes
        run = workspace.finish(workspace.start(operation, *options))
        assert run.code != 0, (operation, run.output)
        assert foreigner.handshakes > before, operation
        assert foreigner.captured == [], operation
        assert code_of(run) == "api-certificate", run.output


def test_the_capture_would_have_seen_a_password(workspace: Workspace, foreigner: Capture) -> None:
    workspace.environment["PROXMOX_VE_ENDPOINT"] = foreigner.endpoint
    run = workspace.up(PROGRAM.replace('"root@pam"', '"root@pam", insecure=True'), create="true", password=SECRET)
    assert run.code != 0
    assert SECRET.encode() in b"".join(foreigner.captured)
