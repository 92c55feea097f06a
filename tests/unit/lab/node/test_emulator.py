"""The emulator of a libvirt host: which command line QEMU gets, and which of its answers libvirt does."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest
from pvelab.emulator import command_line, firmware, paths, probe

UUID = "9b79f3fc-b308-45eb-a877-3225ffb0f90d"
PROBE = ["-S", "-machine", "none,accel=kvm:tcg", "-qmp", "unix:/x/qmp.monitor,server=on,wait=off", "-daemonize"]
DOMAIN = [
    "-name",
    "guest=n1",
    "-machine",
    "pc-q35-10.0,usb=off,kernel_irqchip=split,pflash0=libvirt-pflash0-format,acpi=on",
    "-accel",
    "kvm",
    "-cpu",
    "host,migratable=on",
    "-uuid",
    UUID,
]


def test_a_domain_of_type_kvm_is_emulated_on_any_processor() -> None:
    assert command_line.asks_for_kvm(DOMAIN)
    started = command_line.without_kvm(DOMAIN)
    assert not command_line.asks_for_kvm(started)
    assert command_line.value(started, "-accel") == "tcg"
    assert str(command_line.value(started, "-cpu")).startswith("max,svm=off,")
    assert command_line.value(started, "-name") == "guest=n1"


def test_a_domain_waits_and_has_a_monitor_for_the_lab() -> None:
    started = command_line.idle(command_line.without_kvm(DOMAIN))
    assert command_line.value(started, "-machine") == "pc-q35-10.0,usb=off,acpi=on"
    assert command_line.value(started, "-bios") == paths.FIRMWARE
    assert f"path={paths.MONITORS}/{UUID}," in str(command_line.value(started, "-chardev"))


def test_a_question_of_libvirt_is_told_from_a_domain() -> None:
    assert command_line.is_probe(PROBE)
    assert not command_line.is_probe(DOMAIN)
    assert command_line.asks_for_kvm(PROBE)
    assert command_line.value(command_line.without_kvm(PROBE), "-machine") == "none,accel=tcg"
    assert not command_line.asks_for_kvm(["-S", "-machine", "none,accel=tcg"])


def test_the_firmware_begins_at_the_processors_first_instruction() -> None:
    image = firmware.image()
    assert len(image) == firmware.SIZE
    assert image[firmware.RESET_VECTOR :][:5] == bytes.fromhex("ea 0000 00f0")  # jump to its own start
    assert image.startswith(firmware.STACK)
    assert image[firmware.KEYBOARD_HANDLER :].startswith(firmware.READ_KEY)


def qemu(connection: socket.socket, answers: list[dict[str, Any]]) -> None:
    """Say hello, then give these answers, one for each question."""
    with connection, connection.makefile("rw", newline="\r\n") as talk:
        talk.write(json.dumps({"QMP": {}}) + "\n")
        talk.flush()
        for answer in answers:
            asked = json.loads(talk.readline())
            talk.write(json.dumps({**answer, "id": asked["id"]}) + "\n")
            talk.flush()


@pytest.mark.parametrize(
    ("command", "answer", "heard"),
    [
        ("query-kvm", {"return": {"enabled": False, "present": True}}, {"return": {"enabled": True, "present": True}}),
        (
            "query-cpu-model-expansion",
            {"return": {"model": {"name": "base", "props": {"svm": True, "aes": True}}}},
            {"return": {"model": {"name": "base", "props": {"svm": False, "aes": True}}}},
        ),
        ("query-cpu-model-expansion", {"error": {"desc": "no"}}, {"error": {"desc": "no"}}),
        ("query-version", {"return": {"svm": True}}, {"return": {"svm": True}}),
    ],
)
def test_libvirt_hears_that_there_is_kvm(command: str, answer: dict[str, Any], heard: dict[str, Any]) -> None:
    libvirt, front = socket.socketpair()
    back, behind = socket.socketpair()
    threads = [
        threading.Thread(target=probe.relay, args=(probe.Lines(front), probe.Lines(back))),
        threading.Thread(target=qemu, args=(behind, [answer])),
    ]
    for thread in threads:
        thread.start()
    libvirt.settimeout(5)
    with libvirt, libvirt.makefile("rw", newline="") as talk:
        assert json.loads(talk.readline()) == {"QMP": {}}
        talk.write(json.dumps({"execute": command, "id": "libvirt-1"}) + "\r\n")
        talk.flush()
        line = talk.readline()
    for thread in threads:
        thread.join(5)
    front.close()
    back.close()
    assert line.endswith("\r\n")
    assert json.loads(line) == {**heard, "id": "libvirt-1"}
