"""Keys and passwords that have changed since something was made: with the real engine, provider and sshd."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli.state import logins
from cluster.contract import SECRETS_VARIABLE
from config.credentials import Credentials, HostCredentials
from tests.support.pve import PASSWORD, StatefulPve
from tests.support.sshd import free_port, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sshd import Sshd
    from tests.support.workspace import Run, Workspace

PROGRAM = """
import pulumi_proxmoxve as proxmoxve
from pulumi_command import local, remote

provider = proxmoxve.Provider(
    "virtual-api", endpoint=cfg("endpoint"), username="root@pam", password=pulumi.Output.secret(cfg("password"))
)
proxmoxve.PoolLegacy("pool", pool_id="guests", opts=pulumi.ResourceOptions(provider=provider))
if cfg("all"):
    remote.Command("virtual-journal", connection=cfg("connection"), create="true", delete=cfg("on_machine"))
    secrets = {"NESTED_PVE_SECRETS": pulumi.Output.secret(cfg("secrets"))}
    local.Command("virtual-claim", create="true", delete=cfg("here"), environment=secrets)
"""
GOES = ("virtual-claim", "virtual-journal")


class Site:
    """A machine and an API, of which keys and passwords can change."""

    def __init__(self, workspace: Workspace, pve: StatefulPve, sshd: Sshd, directory: Path) -> None:
        self.workspace, self.pve, self.sshd, self.directory = workspace, pve, sshd, directory

    @property
    def secrets(self) -> str:
        """What a step on the control machine is given."""
        return json.dumps({"ssh_private_key": self.sshd.private_key})

    @property
    def today(self) -> logins.Logins:
        key, host_key, password = self.sshd.private_key, self.sshd.host_key, self.pve.password
        hosts = {"virtual": HostCredentials.model_validate({"hostKey": host_key, "password": password})}
        given = {"sshPrivateKey": key, "rootPassword": "root-of-nodes", "apiPassword": "of-the-cluster"}
        found = Credentials.model_validate({**given, "outerHosts": hosts})
        return logins.Logins(found, {"virtual": "root@pam"}, {"virtual": self.pve.url}, {"127.0.0.1": host_key})

    def describe(self, *, all_of_it: bool) -> None:
        """Write the program with the logins of today."""
        values = {
            "endpoint": self.pve.url,
            "password": self.pve.password,
            "connection": {**self.sshd.connection, "dial_error_limit": 1, "per_dial_timeout": 5},
            "secrets": self.secrets,
            "on_machine": f"touch {self.directory}/on-machine",
            "here": f'printf %s "${SECRETS_VARIABLE}" > {self.directory}/here',
            "all": all_of_it,
        }
        self.workspace.write_program(PROGRAM, values)

    def run(self, operation: str, *arguments: str) -> Run:
        return self.workspace.finish(self.workspace.start(operation, *arguments))

    def changed(self, operation: str) -> Run:
        return self.run(operation, "--yes", "--skip-preview", "--refresh", "--run-program")

    def removed(self) -> set[str]:
        """What removals have left behind."""
        return {each.name for each in self.directory.iterdir()} & {"on-machine", "here"}

    def record(self, urns: set[str]) -> None:
        stored, shown = self.workspace.export(in_clear=False), self.workspace.export()
        self.workspace.import_state(logins.renewed(stored, shown, self.today, urns))


@pytest.fixture
def site(workspace: Workspace, pve: StatefulPve, tmp_path: Path) -> Iterator[Site]:
    """All made; and then another key of the administrator's, of the machine, and another password."""
    port = free_port()
    with running_sshd(tmp_path / "before", port=port) as sshd:
        found = Site(workspace, pve, sshd, tmp_path)
        found.describe(all_of_it=True)
        made = found.run("up", "--yes", "--skip-preview")
        assert made.code == 0, made.output
    assert not logins.outdated(workspace.export(), found.today)
    with running_sshd(tmp_path / "after", port=port) as sshd:
        found.sshd = sshd
        pve.password = f"{PASSWORD}-of-today"
        yield found


def named(urns: set[str]) -> set[str]:
    return {urn.rpartition("::")[2] for urn in urns}


def test_all_is_removed_with_the_logins_of_today(site: Site) -> None:
    site.describe(all_of_it=True)
    assert site.changed("destroy").code != 0, "where this fails, the engine has learnt to take today's"
    old = logins.outdated(site.workspace.export(), site.today)
    assert named(old) == {"virtual-api", *GOES}
    site.record(old)
    assert not logins.outdated(site.workspace.export(), site.today)
    destroyed = site.changed("destroy")
    assert destroyed.code == 0, destroyed.output
    assert not site.workspace.resources()
    assert (site.directory / "here").read_text() == site.secrets
    assert site.removed() == {"here", "on-machine"}


def test_what_a_plan_leaves_out_is_removed_with_the_logins_of_today(site: Site) -> None:
    site.describe(all_of_it=False)
    refused = site.changed("up")
    assert refused.code != 0, refused.output
    assert "virtual-journal" in site.workspace.resources()
    goes = logins.going(site.run("preview").events) & logins.outdated(site.workspace.export(), site.today)
    assert "virtual-journal" in named(goes)
    assert named(goes) <= set(GOES)
    site.record(goes)
    done = site.changed("up")
    assert done.code == 0, done.output
    assert not set(GOES) & set(site.workspace.resources())
    assert "on-machine" in site.removed()
    again = site.run("preview")
    assert {op for ops in again.steps().values() for op in ops} == {"same"}
