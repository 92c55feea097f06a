"""What the first look at a node reads of its cluster: straight from the files, by a shell of its own."""

from __future__ import annotations

import asyncio
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cluster.steps import identity

if TYPE_CHECKING:
    from pathlib import Path

    from onnode.contract.membership import Membership

CONF = """totem {
  cluster_name: old
  config_version: 7
  transport: udpu
}
nodelist {
  node {
    name: pve1
    nodeid: 1
    ring0_addr: localhost
    ring1_addr: 10.20.1.101
  }
}
"""


def look(conf: Path) -> Membership:
    script = identity._READ.replace("/etc/pve/corosync.conf", str(conf)).replace("hostname", "echo pve1.example.com", 1)

    async def run(_command: str, **_options: Any) -> Any:  # noqa: ANN401 - what Connection.run gives
        return await asyncio.to_thread(subprocess.run, ["sh", "-c", script], capture_output=True, text=True, check=True)

    connection: Any = SimpleNamespace(run=run)
    return asyncio.run(identity._look(connection))


def test_names_are_told_as_the_node_resolves_them(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text(CONF)
    seen = look(tmp_path / "conf")
    assert (seen.cluster, seen.config_version, seen.transport) == ("old", 7, "udpu")
    assert seen.node == "pve1"  # as Proxmox VE names it
    assert seen.nodes[0].links == {0: "127.0.0.1", 1: "10.20.1.101"}


def test_a_node_in_no_cluster(tmp_path: Path) -> None:
    seen = look(tmp_path / "none")
    assert (seen.state, seen.cluster, seen.nodes) == ("absent", None, [])
