"""`make preview` by the real engine and plugins, in a network of its own in which every packet to anywhere is counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli.state import adoption
from tests.support.workspace import read_events
from tests.toolchain.test_stacks import RUN_LIMIT, Project

if TYPE_CHECKING:
    from pathlib import Path

# All but loopback leads into a cable that nobody listens at; the other end of it has to be up.
COUNTED = """\
set -e
ip link set lo up
ip link add out type veth peer name away
for end in out away; do echo 1 > /proc/sys/net/ipv6/conf/$end/disable_ipv6; ip link set $end arp off; ip link set $end up; done
ip address add 198.51.100.1/24 dev out
ip route add default dev out
sent() { awk '$1 == "out:" { print $11 }' /proc/net/dev; }
before=$(sent); code=0; "$@" || code=$?
echo "packets: $(($(sent) - before))"
exit $code
"""


@pytest.fixture
def project(tmp_path: Path, toolchain: dict[str, str], tracked: Path) -> Project:
    made = Project(tmp_path / "project", toolchain, tracked)
    shutil.copy(tracked / "cluster/__main__.py", made.directory / "cluster/__main__.py")
    for part in ("toolchain", "tools"):
        shutil.copytree(tracked / part, made.directory / part)
    made.take("dev")
    return made


def preview(project: Project, *arguments: str) -> tuple[int, str]:
    """How many packets left, and what was said."""
    own = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    words = [sys.executable, "-m", "cli", "preview", "--stack", "dev", *arguments]
    done = subprocess.run(
        [*own, "bash", "-c", COUNTED, "counted", *words],
        cwd=project.directory,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_LIMIT,
        check=False,
    )
    said, _, packets = done.stdout.rpartition("packets: ")
    return int(packets), said


def record(project: Project) -> None:
    """What the provider would make, as if it were made."""
    log = project.directory / "events.json"
    assert project.pulumi("preview", "--stack", "dev", "--event-log", str(log)).returncode == 0
    creates = adoption.planned(read_events(log))
    made: list[Any] = [
        SimpleNamespace(type=new["type"], logical=urn.rpartition("::")[2])
        for urn, new in creates.items()
        if new["type"].startswith("proxmoxve:index/")
    ]
    state = json.loads(project.pulumi("stack", "export", "--stack", "dev", "--show-secrets").stdout)
    found, urns = adoption.adopt(state, creates, made, lambda _provider: "secret")
    assert urns
    file = project.directory / "state.json"
    file.write_text(json.dumps(found))
    done = project.pulumi("stack", "import", "--stack", "dev", "--file", str(file))
    assert done.returncode == 0, done.stderr


def test_a_preview_sends_nothing_to_anybody_and_one_that_looks_does(project: Project) -> None:
    packets, said = preview(project)
    assert "planned: " in said, said
    assert packets == 0
    packets, said = preview(project, "--look")
    assert packets > 0, said
    record(project)
    packets, said = preview(project)
    assert "planned: " in said, said
    assert packets == 0
