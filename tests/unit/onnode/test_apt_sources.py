"""Our source beside others of the same place: the real apt must read them all afterwards, or nothing is changed."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from onnode.contract.node import Repository
from onnode.errors import StepError
from onnode.system import repository
from onnode.system.machine import Result
from tests.support.onnode_worlds import Apt, run, twice

if TYPE_CHECKING:
    from tests.support.fake_machine import FakeMachine

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="the real apt is the judge")

URI = "http://download.proxmox.com/debian/pve"
WANTED = Repository("no-subscription", URI, [])
LIST, EARLY, LATE = "/etc/apt/sources.list", "/etc/apt/sources.list.d/a.list", "/etc/apt/sources.list.d/z.list"
EARLY_822, LATE_822 = "/etc/apt/sources.list.d/a.sources", "/etc/apt/sources.list.d/z.sources"
STANZA = f"Types: deb\nURIs: {URI}/\nSuites: trixie\nComponents: pvetest\n"
KEY = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBGZ\n -----END PGP PUBLIC KEY BLOCK-----\n"


@pytest.fixture(autouse=True)
def world(machine: FakeMachine) -> Apt:
    world = Apt(machine, available=[])

    def apt(arguments: list[str], stdin: str) -> str | Result:
        if "indextargets" not in arguments:
            return world.apt(arguments, stdin)
        return real_apt(arguments)

    machine.programs["apt-get"] = apt
    return world


def real_apt(arguments: list[str]) -> Result:
    done = subprocess.run(["apt-get", *arguments], capture_output=True, text=True, check=False)
    return Result(("apt-get",), done.returncode, "", done.stderr)


def reads(machine: FakeMachine) -> str:
    """What the real apt says of the machine's source lists; nothing if it can read them."""
    lists = ["-o", f"Dir::Etc::SourceList={machine.path(LIST)}"]
    parts = ["-o", f"Dir::Etc::SourceParts={machine.path('/etc/apt/sources.list.d')}"]
    return "".join(line for line in real_apt([*lists, *parts, "indextargets"]).err.splitlines() if line[:2] == "E:")


def sources(machine: FakeMachine) -> dict[str, str]:
    names = [LIST, *(f"/etc/apt/sources.list.d/{name}" for name in machine.names("/etc/apt/sources.list.d"))]
    return {name: text for name in names if (text := machine.read(name)) is not None}


@pytest.mark.parametrize(
    "line",
    [
        f"deb {URI} trixie pvetest",
        f"deb {URI}/ trixie pvetest",
        f"deb [signed-by=/usr/share/keyrings/other.gpg] {URI} trixie pvetest",
        f"deb [arch=amd64 signed-by=/k/a.gpg,/k/b.gpg] {URI}/ trixie pvetest",
        f"deb-src [signed-by=/k/a.gpg arch=amd64] {URI} trixie pvetest",
        f"deb [trusted=yes] {URI} trixie pvetest",
        f"deb [check-valid-until=no check-date=no] {URI} trixie pvetest",
        f"# deb [signed-by=/k/a.gpg] {URI} trixie pvetest",
        f"deb [signed-by=/k/a.gpg] {URI.replace('http', 'https')} trixie pvetest",
        f"deb [signed-by=/k/a.gpg] {URI} bookworm pvetest",
    ],
)
@pytest.mark.parametrize("place", [LIST, EARLY, LATE])
def test_beside_a_line(machine: FakeMachine, line: str, place: str) -> None:
    machine.write(place, f"# theirs\n{line}\n")
    before = sources(machine)
    twice(machine, repository.STEP, WANTED)
    assert reads(machine) == ""
    after = sources(machine)
    assert "pve-no-subscription" in after.pop(repository.OWN_FILE)
    assert after == before


@pytest.mark.parametrize(
    "stanza",
    [
        STANZA,
        f"{STANZA}{KEY}",
        f"{STANZA}Signed-By: /k/a.gpg /k/b.gpg\nArchitectures: amd64\n",
        f"{STANZA}Signed-By:\n  /k/a.gpg\n  /k/b.gpg\n",
        f"Enabled: no\n{STANZA}Signed-By: /k/a.gpg\n",
        f"{STANZA}Trusted: yes\nCheck-Valid-Until: no\n",
    ],
)
@pytest.mark.parametrize("place", [EARLY_822, LATE_822])
def test_beside_a_stanza(machine: FakeMachine, stanza: str, place: str) -> None:
    machine.write(place, f"# theirs\n{stanza}")
    machine.write(LIST, "deb http://mirror.lab.internal/debian trixie main\n")
    before = sources(machine)
    twice(machine, repository.STEP, WANTED)
    assert reads(machine) == ""
    after = sources(machine)
    assert "pve-no-subscription" in after.pop(repository.OWN_FILE)
    assert after == before


def test_a_conflict_that_came_later_is_resolved(machine: FakeMachine) -> None:
    run(machine, repository.STEP, WANTED)
    machine.write(LATE, f"deb [signed-by=/k/a.gpg] {URI} trixie pvetest\n")
    assert "Conflicting values" in reads(machine), "the positive control"
    twice(machine, repository.STEP, WANTED)
    assert reads(machine) == ""


def test_what_is_there_already_is_not_added(machine: FakeMachine) -> None:
    machine.write(
        EARLY, f"deb [signed-by=/k/a.gpg] {URI.replace('http', 'https')} trixie pve-no-subscription pvetest\n"
    )
    run(machine, repository.STEP, WANTED)
    assert machine.read(repository.OWN_FILE) is None
    secure = Repository("no-subscription", URI.replace("http", "https"), [])
    machine.write(EARLY, f"deb {URI} trixie pve-no-subscription\n")
    run(machine, repository.STEP, secure)
    assert "https://" in (machine.read(repository.OWN_FILE) or ""), "what is not over TLS is not what was asked for"


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (f"deb [signed-by=/k/a.gpg] {URI} trixie pvetest\ndeb [signed-by=/k/b.gpg] {URI} trixie main\n", "Conflicting values"),
        ("deb http://x\n", "Malformed"),
    ],
)  # fmt: skip
def test_sources_that_apt_cannot_read_are_named_and_left(machine: FakeMachine, theirs: str, said: str) -> None:
    machine.write(LATE, theirs)
    before = sources(machine)
    with pytest.raises(StepError) as refused:
        run(machine, repository.STEP, WANTED)
    assert refused.value.code == "sources-unreadable"
    assert said in refused.value.observed
    assert "even before a change" in refused.value.render()
    assert sources(machine) == before
    assert not machine.exists(repository.TRIAL)


def test_a_change_that_apt_could_not_read_is_not_made(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "onnode.system.sources.stanza", lambda *_: "# Made by nested-pve-ha.\nTypes: deb\nSuites: trixie\n"
    )
    machine.write(EARLY, "deb http://mirror.lab.internal/debian trixie main\n")
    before = sources(machine)
    with pytest.raises(StepError) as refused:
        run(machine, repository.STEP, WANTED)
    assert refused.value.code == "sources-unreadable"
    assert repository.OWN_FILE in refused.value.render()
    assert sources(machine) == before
