"""A lab of its own, with things of somebody else's in it, and what is looked at from outside after each case."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.paths import OWN, ROOT
from tests.support import outer_host
from tests.support.lab_project import LabProject, Run
from tools.bench import machine
from tools.campaign import guests
from tools.campaign.changes import TEMPLATE_NODE
from tools.campaign.results import Failure, Guest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    File = Mapping[str, Any]

RUN_LIMIT_S = 1800
GIT_S = 60
SAID = 3000  # characters of a failure's output that are kept
ERROR = re.compile(r"error\[([a-z0-9-]+)\]")
NEXT = re.compile(r"^\s*(?:next|fix): \S", re.MULTILINE)
AGAIN = ("up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes", "--policy-pack", "policy")
FOREIGN_ON_HOST, FOREIGN_IN_CLUSTER = 990, 991
DIRECTORY = OWN / "campaign"
MARK = "left-by-a-campaign"
PREFIX = "nested-pve-campaign-"
TEMPORARY = re.compile(rf"/\S*{PREFIX}\w+")  # no page needs to know where that was


class BrokenLabError(Exception):
    """The lab itself failed, or what a campaign starts from could not be made."""


class World:
    """The lab with a stack in it."""

    def __init__(self, directory: Path) -> None:
        self.project = LabProject(directory / "project", directory / "lab")
        self.identity = self.project.identity
        self.as_found: list[str] = []
        self.tree = tree()

    def begin(self, file: File) -> None:
        """Start the lab, and build what the file describes.

        Raises:
            BrokenLabError: that did not work.
        """
        self.start()
        self.build(file)

    def start(self) -> None:
        """Start the lab; somebody else has a VM on its outer host.

        Raises:
            BrokenLabError: that did not work.
        """
        self._must(self.project.lab("up", "--shape", "witness"))
        self._host(f"qm create {FOREIGN_ON_HOST} --name foreign --memory 128")
        self.as_found = outer_host.look(self.project)

    def build(self, file: File) -> None:
        """Build what the file describes; somebody else gets a VM in the cluster.

        Raises:
            BrokenLabError: that did not work.
        """
        self.project.configure(dict(file))
        self._must(self.up())
        self.invite(file)

    def invite(self, file: File) -> None:
        """Somebody else makes a VM in the cluster.

        Raises:
            BrokenLabError: that did not work.
        """
        command = f"qm create {FOREIGN_IN_CLUSTER} --name foreign --memory 16"
        self._must(self.project.ssh(address(file, TEMPLATE_NODE), command))

    def withdraw(self, file: File) -> None:
        """Their VM in the cluster goes: it would hold up `make down`."""
        self.project.ssh(address(file, TEMPLATE_NODE), f"qm destroy {FOREIGN_IN_CLUSTER}")

    def _host(self, command: str) -> str:
        return self._must(self.project.ssh(outer_host.OUTER, command)).output

    @staticmethod
    def _must(run: Run) -> Run:
        if run.code != 0:
            raise BrokenLabError(run.output[-SAID:])
        return run

    def up(self) -> Run:
        """`make up`."""
        return self._run(self.project.admin_command("up"))

    def destroy(self, file: File, name: str) -> None:
        """Somebody destroys a node's VM on its host."""
        vmid = next(node["vmid"] for node in file["nodes"] if node["name"] == name)
        self._host(f"qm stop {vmid} && qm destroy {vmid} --purge 1")

    def down(self) -> Run:
        """`make down`."""
        return self._run(self.project.admin_command("down", "--yes"))

    def _run(self, command: list[str]) -> Run:
        """How a command ended; one that does not end is a failure, too."""
        try:
            done = self.project.run(command, RUN_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            said = error.output.decode(errors="replace") if isinstance(error.output, bytes) else str(error.output or "")
            return Run(1, f"{said}\nstill running after {RUN_LIMIT_S} s")
        return done

    def converge(self, runs: int, command: str = "up") -> tuple[int, list[Failure]]:
        """Run `make up` or `make down` until it works, so many times at most; how many it took, 0 where none did."""
        failures = list[Failure]()
        for number in range(1, runs + 1):
            done = self.up() if command == "up" else self.down()
            if done.code == 0:
                return number, failures
            failures.append(failure(command, done))
        return 0, failures

    def looks(self) -> list[Failure]:
        """The live status is green, and a further run would change nothing."""
        status = self.project.admin("status")
        again = self.project.pulumi(*AGAIN)
        return [failure(name, run) for name, run in (("status", status), ("up, a second time", again)) if run.code != 0]

    def foreign(self, file: File) -> list[str]:
        """What is somebody else's and was touched."""
        on_host = self.project.ssh(outer_host.OUTER, f"qm config {FOREIGN_ON_HOST}")
        inside = self.project.ssh(
            address(file, TEMPLATE_NODE), f"cat /etc/pve/nodes/{TEMPLATE_NODE}/qemu-server/{FOREIGN_IN_CLUSTER}.conf"
        )
        return [
            f"{name}: {run.output.strip()[-200:]}"
            for name, run in (("the foreign VM on the outer host", on_host), ("the foreign VM in the cluster", inside))
            if run.code != 0 or "name: foreign" not in run.output
        ]

    def difference(self) -> list[str]:
        """What is otherwise on the outer host than it was found."""
        return outer_host.difference(self.as_found, outer_host.look(self.project))


def address(file: File, name: str) -> str:
    """The management address of a node."""
    return next(str(node["address"]) for node in file["nodes"] if node["name"] == name)


def failure(command: str, run: Run) -> Failure:
    """A command that failed, with its names and whether it says what comes next; pure."""
    codes = list(dict.fromkeys(ERROR.findall(run.output)))
    said = TEMPORARY.sub("…", run.output[-SAID:])
    return Failure(command, codes, said, NEXT.search(run.output) is not None)


def seen(watch: guests.Watch, sids: Collection[str], lab: str) -> list[Guest]:
    """How the guests did that were to go on."""
    now = {sid for sid, _ in guests.running(lab)}
    return [Guest(sid, round(watch.silence(sid), 1), watch.restarted(sid), lost=sid not in now) for sid in sids]


def today() -> str:
    """The date."""
    return dt.datetime.now(tz=dt.UTC).date().isoformat()


def here() -> str:
    """This machine, in a line."""
    found = machine.described()
    return f"{found.cpu}, {found.cores} cores, {found.memory / (1 << 30):.0f} GiB, {found.system}"


def tree() -> str:
    """The commit whose files a new lab gets, whatever becomes of the pages and records in docs/; empty without git."""
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    return f"{commit}-dirty" if changed else commit


def _git(*words: str) -> str:
    command = ("git", "-C", str(ROOT), *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=False).stdout.strip()


@contextmanager
def fresh() -> Iterator[World]:
    """A lab that is not started yet; nothing of it is left. One that a killed campaign left goes first."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    note = DIRECTORY / MARK
    if note.exists() and (left := Path(note.read_text())).exists():
        _remove(left)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    note.write_text(str(directory))
    try:
        yield World(directory)
    finally:
        _remove(directory)
        note.unlink()


def _remove(directory: Path) -> None:
    environment = {**os.environ, "NESTED_PVE_LAB_STATE": str(directory / "lab")}
    subprocess.run([sys.executable, "-m", "lab", "down"], env=environment, timeout=RUN_LIMIT_S, check=False)
    shutil.rmtree(directory, ignore_errors=True)
