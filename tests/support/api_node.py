"""A node's API as a process of its own: its root is a directory of the test, its address on the loopback network."""

from __future__ import annotations

import ctypes
import os
import random
import socket
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests
import urllib3

if TYPE_CHECKING:
    from collections.abc import Iterator

STAND_INS = Path(__file__).resolve().parents[2] / "lab" / "node"
PASSWORD = "correct horse"
START_LIMIT_S = 30.0
TASK_LIMIT_S = 30.0
INTERFACES = """\
auto lo
iface lo inet loopback

iface eth0 inet manual

auto vmbr0
iface vmbr0 inet static
\taddress 192.0.2.180/24
\tgateway 192.0.2.1
\tbridge-ports eth0
\tbridge-stp off
\tbridge-fd 0

source /etc/network/interfaces.d/*
"""
STORAGES = """\
dir: local
\tpath /var/lib/vz
\tcontent iso,vztmpl,backup,import,snippets

lvmthin: local-lvm
\tthinpool data
\tvgname pve
\tcontent rootdir,images

dir: shared
\tpath /srv/shared
\tcontent images,rootdir
\tshared 1
"""


@dataclass
class Answer:
    """What the API said."""

    status: int
    reason: str
    data: Any
    message: str
    errors: dict[str, str]


@dataclass
class ApiNode:
    """A running API server and the directory that it takes for "/"."""

    root: Path
    name: str
    address: str
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def endpoint(self) -> str:
        return f"https://{self.address}:8006"

    @property
    def pve(self) -> Path:
        return self.root / "etc/pve"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.root / 'test-bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(STAND_INS),
            "PVE_LAB_ROOT": str(self.root),
            "PVE_LAB_NODE": self.name,
            "PVE_LAB_LISTEN": self.address,
        }

    def request(self, method: str, path: str, session: requests.Session | None = None, /, **params: object) -> Answer:
        """One call; parameters with "__" for "-"."""
        given = {key.replace("__", "-"): value for key, value in params.items()}
        place: dict[str, Any] = {"params" if method in ("GET", "DELETE") else "data": given}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
            reply = (session or self.session).request(
                method, f"{self.endpoint}/api2/json{path}", timeout=60, verify=False, **place
            )
        body = reply.json()
        message = str(body.get("message", "")).strip()
        return Answer(reply.status_code, reply.reason, body.get("data"), message, body.get("errors") or {})

    def get(self, path: str, /, **params: object) -> Any:  # noqa: ANN401 - any JSON
        """The data of a read that must succeed."""
        answer = self.request("GET", path, **params)
        assert answer.status == 200, answer
        return answer.data

    def do(self, method: str, path: str, /, **params: object) -> Any:  # noqa: ANN401 - any JSON
        """The data of a change that must succeed, its task included."""
        answer = self.request(method, path, **params)
        assert answer.status == 200, answer
        if isinstance(answer.data, str) and answer.data.startswith("UPID:"):
            assert self.task(answer.data)[0] == "OK", self.task(answer.data)
        return answer.data

    def fail(self, method: str, path: str, /, **params: object) -> str:
        """How a change fails: at once, or in its task."""
        answer = self.request(method, path, **params)
        if answer.status != 200:
            return answer.message
        end, _ = self.task(answer.data)
        assert end != "OK", answer
        return end

    def task(self, upid: str) -> tuple[str, list[str]]:
        """How a task ended and what it said."""
        deadline = time.monotonic() + TASK_LIMIT_S
        while True:
            status = self.get(f"/nodes/{self.name}/tasks/{upid}/status")
            if status["status"] == "stopped":
                log = self.get(f"/nodes/{self.name}/tasks/{upid}/log", limit=500)
                return status["exitstatus"], [line["t"] for line in log]
            assert time.monotonic() < deadline, f"{upid} still runs"
            time.sleep(0.02)

    def login(self, user: str = "root@pam", password: str = PASSWORD) -> requests.Session:
        """A session with a fresh ticket."""
        session = requests.Session()
        answer = self.request("POST", "/access/ticket", session, username=user, password=password)
        assert answer.status == 200, answer
        session.cookies.set("PVEAuthCookie", quote(answer.data["ticket"]))
        session.headers["CSRFPreventionToken"] = answer.data["CSRFPreventionToken"]
        return session

    def tool(self, name: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command-line tool of the node."""
        return subprocess.run(
            [sys.executable, "-m", f"pvelab.cli.{name}", *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def stub(self, name: str, script: str) -> None:
        """Put a program of that name before all others."""
        file = self.root / "test-bin" / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def config(self, vmid: int, kind: str = "qemu") -> dict[str, Any]:
        """A guest's options, without the digest."""
        found: dict[str, Any] = self.get(f"/nodes/{self.name}/{kind}/{vmid}/config")
        del found["digest"]
        return found


def hashed(password: str) -> str:
    """The password as /etc/shadow keeps it."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return str(library.crypt(password.encode(), b"$6$saltsalt$").decode())


def furnish(root: Path, name: str) -> None:
    """Write what an installed node has."""
    for directory in ("etc/network", "usr/share/ifupdown2", "srv/shared", "dev", "test-bin"):
        (root / directory).mkdir(parents=True)
    for directory in ("qemu-server", "lxc"):
        (root / "etc/pve/nodes" / name / directory).mkdir(parents=True)
    (root / "etc/pve/local").symlink_to(f"nodes/{name}")
    (root / "etc/pve/storage.cfg").write_text(STORAGES)
    (root / "etc/pve/.rrd").write_text(f"pve-node-9.0/{name}:\n")
    (root / "etc/shadow").write_text(f"root:{hashed(PASSWORD)}:20000:0:99999:7:::\n")
    (root / "etc/network/interfaces").write_text(INTERFACES)
    for device in ("lo", "eth0", "vmbr0"):
        (root / "sys/class/net" / device).mkdir(parents=True)
        (root / "sys/class/net" / device / "flags").write_text("0x1003\n")
    (root / "run/pve-lab").mkdir(parents=True)
    (root / "run/pve-lab/machine.json").write_text('{"kind": "existing", "time_scale": 0.01, "memory_mib": 4096}')


@contextmanager
def running(root: Path, name: str = "pve1") -> Iterator[ApiNode]:
    """Serve a furnished root; the session is logged in as root@pam."""
    random_address = f"127.{random.randint(16, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"  # noqa: S311
    node = ApiNode(root, name, random_address)
    node.stub("ifreload", "exit 0")
    with (root / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pvelab.api.server"], env=node.environment, stdout=log, stderr=log
        )
    try:
        _wait_listening(node, process)
        node.session = node.login()
        yield node
    finally:
        stop_guests(root)
        process.terminate()
        process.wait(START_LIMIT_S)


def stop_guests(root: Path) -> None:
    """End the processes of the guests that a test left running."""
    for file in root.glob("run/*/*.pid"):
        shown = Path(f"/proc/{file.read_text().strip()}/cmdline")
        if shown.exists() and b"infinity" in shown.read_bytes():
            os.kill(int(file.read_text()), 9)


def _wait_listening(node: ApiNode, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            socket.create_connection((node.address, 8006), timeout=5).close()
        except ConnectionRefusedError:
            said = (node.root / "server.log").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        else:
            return
