"""Somebody else answers where an API was: no password reaches him, in no kind of run, and nothing is changed."""

from __future__ import annotations

import re
import shlex
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.lab.job.test_cluster import NODES, boot_ids
from tests.lab.job.test_growth import processes
from tests.support.bad_world import refusal, succeeded
from tests.support.tls import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.lab_project import LabProject

pytestmark = pytest.mark.looks
MACHINES = {"virtual": "192.168.0.180", "proxmox01": NODES["proxmox01"]}
PLACE = "/run/foreign"
# Notes each connection, and all that comes through TLS.
SERVER = f"""
import socketserver, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("{PLACE}/pair.pem")
def note(name, data):
    with open("{PLACE}/" + name, "ab") as file:
        file.write(data)
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        note("connections", b".")
        try:
            with context.wrap_socket(self.request, server_side=True) as stream:
                while sent := stream.recv(65536):
                    note("captured", sent)
        except OSError:
            pass
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", 8006), Handler).serve_forever()
"""
# A shell that was opened while all was well; then the foreigner comes, and the engine alone is left to notice.
IN_OPEN_SHELL = "touch opened; until [ -e arrived ]; do sleep 0.2; done; pulumi {} --non-interactive --color never"


@contextmanager
def foreigner(cluster: LabProject, name: str) -> Iterator[None]:
    """His certificate is for the right names, by an authority of his own."""
    address = MACHINES[name]
    pair = "".join(Authority("foreign").issue(address, name, f"{name}.lab.internal"))
    files = f"cat > {PLACE}/server.py <<'EOF'\n{SERVER}EOF\ncat > {PLACE}/pair.pem <<'EOF'\n{pair}EOF\n"
    start = f"systemctl stop pveproxy && systemd-run --quiet --unit=foreign --collect python3 {PLACE}/server.py"
    succeeded(cluster.ssh(address, f"rm -rf {PLACE} && mkdir {PLACE} && {files}{start}"))
    try:
        yield
    finally:
        succeeded(cluster.ssh(address, "systemctl stop foreign; systemctl start pveproxy"))


@contextmanager
def foreigners(cluster: LabProject) -> Iterator[None]:
    """One in place of each kind of endpoint: of an outer host, of a member."""
    with ExitStack() as stack:
        for name in MACHINES:
            stack.enter_context(foreigner(cluster, name))
        yield


def noted(cluster: LabProject, what: str) -> dict[str, str]:
    return {
        name: cluster.ssh(address, f"cat {PLACE}/{what} 2>/dev/null || true").output
        for name, address in MACHINES.items()
    }


def recorded(cluster: LabProject) -> list[str]:
    """What the state knows, by name: each run writes its secrets anew."""
    return re.findall(r'"urn": "(\S+)"', succeeded(cluster.pulumi("stack", "export")).output)


def plainly(cluster: LabProject, operation: str) -> tuple[int, str]:
    """Plain `pulumi` in a shell that was opened before the foreigners came; and whom they heard of."""
    for file in ("opened", "arrived"):
        (cluster.directory / file).unlink(missing_ok=True)
    words = ("--stack", cluster.stack, "--", "sh", "-c", IN_OPEN_SHELL.format(operation))
    command = cluster.command(".venv/bin/python", "-m", "cli", "exec", *words)
    with subprocess.Popen(
        command,
        cwd=cluster.directory,
        env=cluster.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as shell:
        try:
            assert cluster.eventually((cluster.directory / "opened").exists)
            with foreigners(cluster):
                (cluster.directory / "arrived").touch()
                output, _ = shell.communicate(timeout=240)
                assert all(noted(cluster, "connections").values()), operation
                assert not any(noted(cluster, "captured").values()), operation
        finally:
            shell.kill()
    return shell.returncode, output


def test_no_password_reaches_somebody_else_in_any_run(cluster: LabProject) -> None:
    before = recorded(cluster), boot_ids(cluster), processes(cluster)
    with foreigners(cluster):
        for name, *arguments in (("up",), ("preview", "--look"), ("down", "--yes")):
            refusal(cluster.admin(name, *arguments), "api-certificate")
        assert cluster.admin("status").code == 1
        succeeded(cluster.admin("report", "--output", "report.md"))
        refusal(cluster.pulumi("refresh", "--yes", "--skip-preview"), "api-certificate")
        assert all(noted(cluster, "connections").values())
        assert not any(noted(cluster, "captured").values())
        # The capture would have seen a password.
        for address in MACHINES.values():
            post = f"curl --insecure --silent --max-time 3 --data password=seen https://{address}:8006/ || true"
            succeeded(cluster.run(cluster.command("sh", "-c", post)))
        assert all("password=seen" in sent for sent in noted(cluster, "captured").values())
    code, said = plainly(cluster, f"refresh --yes --skip-preview --stack {shlex.quote(cluster.stack)}")
    assert code != 0, said
    assert "x509: certificate signed by unknown authority" in said
    assert cluster.eventually(lambda: cluster.admin("status").code == 0)
    assert (recorded(cluster), boot_ids(cluster), processes(cluster)) == before
