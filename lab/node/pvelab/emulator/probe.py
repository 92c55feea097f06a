"""Between libvirt and a QEMU that it asks what it can: the answers are QEMU's own, but for KVM."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
from typing import TYPE_CHECKING, Any

from pvelab.emulator import command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ACCEPT_S = 60.0
CHUNK = 1 << 16
Json = dict[str, Any]


def with_kvm(_: Json) -> Json:
    """KVM is there: the machine's stand-in for its kernel says so."""
    return {"enabled": True, "present": True}


def without_virtualization(answer: Json) -> Json:
    """The processor that a model is, without what makes a host of it."""
    properties = answer["model"].get("props", {})
    for name in properties.keys() & command_line.VIRTUALIZATION:
        properties[name] = False
    return answer


CHANGES: dict[str, Callable[[Json], Json]] = {
    "query-kvm": with_kvm,
    "query-cpu-model-expansion": without_virtualization,
}


class Lines:
    """One side of the conversation: whole lines of what it says."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._rest = b""

    def read(self) -> list[bytes] | None:
        """The lines that have come; None when it has hung up."""
        try:
            chunk = self.connection.recv(CHUNK)
        except OSError:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines if chunk else None

    def write(self, line: bytes) -> None:
        """Say a line."""
        self.connection.sendall(line + b"\n")


class Conversation:
    """Hands on what both say; remembers which question an answer belongs to."""

    def __init__(self) -> None:
        self._asked: dict[object, str] = {}

    def question(self, line: bytes) -> bytes:
        """What libvirt asks, as it is."""
        request = json.loads(line)
        self._asked[request.get("id")] = str(request.get("execute"))
        return line

    def answer(self, line: bytes) -> bytes:
        """What QEMU says, changed where it is about KVM; libvirt waits for a carriage return, too."""
        reply = json.loads(line)
        if "return" not in reply:
            return line
        change = CHANGES.get(self._asked.pop(reply.get("id"), ""))
        if change is None:
            return line
        return json.dumps({**reply, "return": change(reply["return"])}).encode() + b"\r"


def relay(libvirt: Lines, qemu: Lines) -> None:
    """Until one of them hangs up."""
    talk = Conversation()
    with selectors.DefaultSelector() as selector:
        selector.register(libvirt.connection, selectors.EVENT_READ, (libvirt, qemu, talk.question))
        selector.register(qemu.connection, selectors.EVENT_READ, (qemu, libvirt, talk.answer))
        while True:
            for key, _ in selector.select():
                source, target, change = key.data
                lines = source.read()
                if lines is None:
                    return
                for line in lines:
                    if line.strip():
                        target.write(change(line))


def _socket_path(text: str) -> str:
    """The path in `unix:PATH,server=on,wait=off`."""
    return text.removeprefix("unix:").partition(",")[0]


def run(qemu: str, arguments: Sequence[str]) -> int:
    """Start QEMU, which goes into the background, and stay there between it and libvirt; QEMU's exit code."""
    asked = command_line.value(arguments, "-qmp") or ""
    place = _socket_path(asked)
    behind = f"{place}.qemu"
    started = [asked.replace(place, behind) if word == asked else word for word in command_line.without_kvm(arguments)]
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(place)
        door.listen(1)
        code = subprocess.run([qemu, *started], check=False).returncode
        if code or os.fork():
            return code
        _go_into_background()
        door.settimeout(ACCEPT_S)
        connection, _ = door.accept()
        with connection, socket.socket(socket.AF_UNIX) as other:
            other.connect(behind)
            relay(Lines(connection), Lines(other))
    return 0


def _go_into_background() -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
