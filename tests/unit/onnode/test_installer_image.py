"""The installer's image is downloaded once, whole or not at all; from a real web server on the loopback network."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from onnode.contract.libvirt import InstallerImage
from onnode.errors import StepError
from onnode.host import installer_image, installer_image_remove
from tests.support.onnode_worlds import run, twice
from tests.support.web import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fake_machine import FakeMachine

CONTENT = bytes(range(256)) * 20_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PATH = "/srv/nested/pve.iso"


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstallerImage]:
    served = tmp_path_factory.mktemp("served")
    (served / "pve.iso").write_bytes(CONTENT)
    (served / "newer.iso").write_bytes(CONTENT + b"newer")
    with serving(served) as url:
        yield InstallerImage("dev", f"{url}/pve.iso", DIGEST, PATH)


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that sends these bytes to whoever asks, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join(10)


def refusal(machine: FakeMachine, wanted: InstallerImage) -> StepError:
    with pytest.raises(StepError) as refused:
        run(machine, installer_image.STEP, wanted)
    return refused.value


def test_downloaded_once_and_removed(machine: FakeMachine, wanted: InstallerImage) -> None:
    outcome = twice(machine, installer_image.STEP, wanted)
    assert outcome.facts == {"path": PATH, "bytes": len(CONTENT)}
    assert machine.path(PATH).read_bytes() == CONTENT
    assert machine.names("/srv/nested") == [".pve.iso.nested-pve-ha", "pve.iso"]
    assert "81 % of 4 MiB" in machine.notes
    twice(machine, installer_image_remove.STEP, wanted)
    assert machine.names("/srv/nested") == []


def test_another_file_takes_its_place_when_it_is_whole(machine: FakeMachine, wanted: InstallerImage) -> None:
    run(machine, installer_image.STEP, wanted)
    newer = dataclasses.replace(wanted, url=wanted.url.replace("pve", "newer"), checksum="0" * 64)
    assert refusal(machine, newer).code == "iso-checksum"
    assert machine.path(PATH).read_bytes() == CONTENT, "the present one stays until then"
    assert not run(machine, installer_image.STEP, wanted).changed
    digest = hashlib.sha256(CONTENT + b"newer").hexdigest()
    twice(machine, installer_image.STEP, dataclasses.replace(newer, checksum=digest))
    assert machine.path(PATH).read_bytes() == CONTENT + b"newer"


def test_a_wrong_checksum_leaves_nothing(machine: FakeMachine, wanted: InstallerImage) -> None:
    refused = refusal(machine, dataclasses.replace(wanted, checksum="0" * 64))
    assert refused.code == "iso-checksum"
    assert (DIGEST in refused.observed, "0" * 64 in refused.expected) == (True, True)
    assert machine.names("/srv/nested") == []


def test_what_is_not_there(machine: FakeMachine, wanted: InstallerImage) -> None:
    refused = refusal(machine, dataclasses.replace(wanted, url=f"{wanted.url}.txt"))
    assert refused.code == "iso-missing"
    assert "404" in refused.observed
    assert machine.names("/srv/nested") == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/pve.iso", "file:///etc/shadow", "pve.iso"])
def test_where_nothing_is(machine: FakeMachine, wanted: InstallerImage, url: str) -> None:
    refused = refusal(machine, dataclasses.replace(wanted, url=url))
    assert refused.code == "iso-missing"
    assert url in refused.observed
    assert machine.names("/srv/nested") == []


@pytest.mark.parametrize("answer", [b"HTTP/1.0 200 OK\r\nContent-Length: 5120000\r\n\r\nbegun", b"what?\r\n", b""])
def test_a_server_that_hangs_up(machine: FakeMachine, wanted: InstallerImage, answer: bytes) -> None:
    with answering(answer) as url:
        assert refusal(machine, dataclasses.replace(wanted, url=url)).code == "iso-missing"
    assert machine.names("/srv/nested") == []
    twice(machine, installer_image.STEP, wanted)


def test_it_takes_no_longer_than_an_hour(
    machine: FakeMachine, wanted: InstallerImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, *[installer_image.DOWNLOAD_S + 1] * 9])
    monkeypatch.setattr(machine, "monotonic", lambda: next(times))
    refused = refusal(machine, wanted)
    assert refused.code == "iso-missing"
    assert "after 3600 s" in refused.observed
    assert machine.names("/srv/nested") == []


def test_no_room(machine: FakeMachine, wanted: InstallerImage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(installer_image, "_copied", full)
    refused = refusal(machine, wanted)
    assert refused.code == "host-disk"
    assert refused.observed == f"{PATH}: No space left on device"
    assert machine.names("/srv/nested") == []


@pytest.mark.parametrize(
    "left",
    [
        {".pve.iso.nested-pve-ha": "# Made by nested-pve-ha for stack dev.\n", ".pve.iso.part": "half"},
        {".pve.iso.nested-pve-ha": "# Made by nested-pve-ha for stack dev.\n", "pve.iso": "whole, and not noted"},
        {".pve.iso.nested-pve-ha": "# Made by nested-pve-ha for stack dev.\n"},
    ],
)
def test_what_a_killed_run_left(machine: FakeMachine, wanted: InstallerImage, left: dict[str, str]) -> None:
    for name, text in left.items():
        machine.write(f"/srv/nested/{name}", text)
    twice(machine, installer_image.STEP, wanted)
    assert machine.path(PATH).read_bytes() == CONTENT
    assert machine.names("/srv/nested") == [".pve.iso.nested-pve-ha", "pve.iso"]
    for name, text in left.items():
        machine.write(f"/srv/nested/{name}", text)
    twice(machine, installer_image_remove.STEP, wanted)
    assert machine.names("/srv/nested") == []


def test_somebodys_file_is_refused_and_stays(machine: FakeMachine, wanted: InstallerImage) -> None:
    machine.write(PATH, "precious")
    assert refusal(machine, wanted).code == "foreign-file"
    assert not run(machine, installer_image_remove.STEP, wanted).changed
    assert machine.read(PATH) == "precious"
    assert machine.names("/srv/nested") == ["pve.iso"]
