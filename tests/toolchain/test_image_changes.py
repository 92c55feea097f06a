"""The installer's image is another one than before, under the same name: real engine, provider, and the lab's API."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from cli.engine import failures
from cli.engine.engine import Run as EngineRun
from tests.support.api_node import PASSWORD, ApiNode, furnish, running
from tests.support.web import serving
from tests.support.workspace import diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.workspace import Run, Workspace

OLD, NEW = b"an installer " * 1000, b"its next release " * 1000
# As components/outer_host/proxmox_ve.py makes it; a step that builds installation CDs from it, and a bridge, follow.
PROGRAM = """
import pulumi_command
import pulumi_proxmoxve as pve

provider = pve.Provider("pve", endpoint=cfg("endpoint"), username="root@pam", password=cfg("password"), insecure=True)
iso = pve.download.File(
    "virtual-installer", node_name="pve1", datastore_id="local", content_type="iso", url=cfg("url"),
    file_name="stack-test-virtual-installer.iso", checksum=cfg("checksum"), checksum_algorithm="sha256",
    overwrite=False, overwrite_unmanaged=True,
    opts=pulumi.ResourceOptions(provider=provider, delete_before_replace=cfg("first_away")),
)
cd = pulumi_command.local.Command("cd", create="echo built >> built", opts=pulumi.ResourceOptions(depends_on=[iso]))
pve.network.linux.Bridge(
    "vmbr1", node_name="pve1", name="vmbr1", opts=pulumi.ResourceOptions(provider=provider, depends_on=[iso, cd])
)
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ApiNode]:
    root = tmp_path / "pve1"
    furnish(root, "pve1")
    with running(root) as found:
        yield found


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "web").mkdir()
    with serving(tmp_path / "web") as web:
        yield f"{web}/installer.iso"


def codes(run: Run) -> set[str]:
    said = [(urn, text) for urn, text in diagnostics(run.events) if urn.endswith("::virtual-installer")]
    return {failure.code for failure in failures.explain(EngineRun(1, "", errors=said), "up.log")}


def test_the_image_is_downloaded_anew_and_never_lost(
    tmp_path: Path, workspace: Workspace, node: ApiNode, url: str
) -> None:
    place = tmp_path / "pve1/var/lib/vz/template/iso/stack-test-virtual-installer.iso"

    def up(image: bytes, from_: str = url, *, first_away: bool = True) -> Run:
        given = {"endpoint": node.endpoint, "password": PASSWORD, "url": from_, "first_away": first_away}
        return workspace.up(PROGRAM, **given, checksum=hashlib.sha256(image).hexdigest())

    served = tmp_path / "web/installer.iso"
    served.write_bytes(OLD)
    first = up(OLD)
    assert first.code == 0, first.output
    assert place.read_bytes() == OLD

    served.write_bytes(NEW)
    refused = up(NEW, first_away=False)
    assert (refused.code != 0, place.read_bytes()) == (True, OLD), "why the old one goes first"
    assert codes(refused) == {"iso-checksum"}

    second = up(NEW)
    assert second.code == 0, second.output
    assert place.read_bytes() == NEW
    assert {name for name, ops in second.steps().items() if set(ops) - {"same"}} == {"virtual-installer"}
    assert (workspace.directory / "built").read_text() == "built\n"

    # Proxmox VE takes what is there for downloaded; the old one, deleted after that, would be the same file.
    mirrored = up(NEW, f"{url}?mirror=2")
    assert mirrored.code == 0, mirrored.output
    assert "create-replacement" in mirrored.steps()["virtual-installer"]
    assert place.read_bytes() == NEW
