"""A PostgreSQL server of the test, on the loopback of the control machine."""

from __future__ import annotations

import shutil
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.lab_project import LabProject

USER = "postgres"  # the server refuses to run as root; Debian's package brings this user


@contextmanager
def serving(project: LabProject) -> Iterator[str]:
    """A fresh database; yields the URL of a state kept in it."""
    directory = Path(tempfile.mkdtemp(prefix="nested-pve-postgres-"))
    shutil.chown(directory, USER)
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    port = _free_port()

    def run(program: str, *arguments: str) -> None:
        done = project.run(project.command("runuser", "-u", USER, "--", str(programs / program), *arguments))
        assert done.code == 0, done.output

    data, log = str(directory / "data"), str(directory / "log")
    options = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={directory} -c fsync=off"
    try:
        run("initdb", "--pgdata", data, "--auth", "trust", "--no-sync")
        run("pg_ctl", "--pgdata", data, "--log", log, "--wait", "--options", options, "start")
        try:
            yield f"postgres://{USER}@127.0.0.1:{port}/postgres?sslmode=disable"
        finally:
            run("pg_ctl", "--pgdata", data, "--wait", "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(directory)


def query(project: LabProject, url: str, text: str) -> str:
    """What the database answers."""
    done = project.run(project.command("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", text, url))
    assert done.code == 0, done.output
    return done.output.strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
