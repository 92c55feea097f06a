"""The API client against a TLS server on the loopback that answers as pveproxy does."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
import threading
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cluster.contract import ApiAccess, Machine, Secrets
from cluster.errors import AdminError
from cluster.transport import certificates, cluster_api, pins, ssh
from onnode.cluster.membership import fingerprint
from tests.support.tls import capturing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

PASSWORD = "right"
MOVED = 302
REFUSALS: dict[str, tuple[Any, ...]] = {
    "/refused": ({"data": None, "errors": {"memory": "value too small\n"}}, 400, "Parameter verification failed."),
    "/forbidden": ({"data": None}, 403, "Permission check failed (/vms/200, VM.Config.Disk)"),
    "/moved": ({"data": None}, MOVED, "Moved"),
    "/locked": ({"data": None}, 500, "VM is locked (migrate)"),
    "/offline": ({"data": None}, 500, "storage 'shared' is not online"),
    "/dead": ({"data": None}, 595, "No route to host"),
}


PATIENT_S = 30.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "OLD_WORKERS_S", 0.3)


def certificate() -> tuple[str, str]:
    """A self-signed certificate and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "proxmox01")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return made.public_bytes(serialization.Encoding.PEM).decode(), pem.decode()


class Handler(BaseHTTPRequestHandler):
    """A few paths of the API; what was asked is kept."""

    asked: list[tuple[str, str, str | None]]
    quorate = 1

    def log_message(self, *_arguments: Any) -> None:  # noqa: ANN401
        """Not on the tests' output."""

    def _answer(self, data: Any, status: int = 200, reason: str | None = None) -> None:  # noqa: ANN401 - JSON
        body = json.dumps(data).encode()
        self.send_response(status, reason)
        self.send_header("Content-Length", str(len(body)))
        if status == MOVED:
            self.send_header("Location", "/api2/json/version")
        self.end_headers()
        self.wfile.write(body)

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        path = self.path.removeprefix("/api2/json").partition("?")[0]
        self.asked.append((self.command, path, self.headers.get("CSRFPreventionToken")))
        if path == "/access/ticket":
            return self._ticket(body)
        if "PVEAuthCookie=t" not in (self.headers.get("Cookie") or ""):
            return self._answer({"data": None}, 401, "No ticket")
        if path == "/cluster/status":
            return self._answer({"data": [{"type": "cluster", "quorate": self.quorate}]})
        if path.endswith("/status"):
            outcome = "OK" if "UPID:ok:" in path else "command 'x' failed: exit code 1"
            outcome = "CT is locked (backup)" if "UPID:locked:" in path else outcome
            outcome = "storage 'shared' is not online" if "UPID:offline:" in path else outcome
            running = "UPID:runs:" in path
            return self._answer(
                {"data": {"status": "running"} if running else {"status": "stopped", "exitstatus": outcome}}
            )
        return self._answer(*REFUSALS.get(path, ({"data": {"path": path}},)))

    def _ticket(self, body: str) -> None:
        if f"password={PASSWORD}" not in body:
            return self._answer({"data": None}, 401, "authentication failure")
        # With a second factor, the first one alone gives half a ticket (pve-access-control).
        half = {"ticket": "PVE:!tfa!%7B%22totp%22%3Atrue%7D:6A1B2C3D::x", "NeedTFA": 1}
        return self._answer({"data": {"CSRFPreventionToken": "c", **(half if "factors" in body else {"ticket": "t"})}})

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - the library's names


class Server:
    """Where it listens, what it presents, and what it was asked."""

    def __init__(self, host: str, port: int, pem: str, asked: list[tuple[str, str, str | None]]) -> None:
        self.base = f"https://{host}:{port}"
        self.port = port
        self.fingerprint = fingerprint(pem) or ""
        self.asked = asked


@contextmanager
def serving(directory: Path, *, host: str = "127.0.0.1", port: int = 0, quorate: int = 1) -> Iterator[Server]:
    pem, key = certificate()
    (directory / "both.pem").write_text(pem + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "both.pem")
    asked: list[tuple[str, str, str | None]] = []
    handler = type("Bound", (Handler,), {"asked": asked, "quorate": quorate})
    server = ThreadingHTTPServer((host, port), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Server(host, server.server_address[1], pem, asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as running:
        yield running


def session(server: Server) -> cluster_api.Api:
    made = cluster_api.Api(server.base, server.fingerprint)
    made.login("pulumi@pve", PASSWORD)
    return made


def test_a_ticket_opens_the_api_and_changes_carry_the_token(server: Server) -> None:
    made = session(server)
    assert made.get("/version") == {"path": "/version"}
    made.post("/nodes/a/qemu", vmid=1)
    made.put("/nodes/a/qemu/1/config", memory=1)
    made.delete("/nodes/a/qemu/1")
    assert [entry[0] for entry in server.asked] == ["POST", "GET", "POST", "PUT", "DELETE"]
    assert all(token == "c" for method, _, token in server.asked[2:])


def test_another_certificate_gets_no_password(server: Server) -> None:
    foreign = fingerprint(certificate()[0])
    with pytest.raises(AdminError) as caught:
        cluster_api.Api(server.base, foreign).login("pulumi@pve", PASSWORD)
    assert caught.value.code == "api-certificate"
    assert server.asked == []


def test_a_certificate_that_no_authority_knows_is_refused_when_it_is_not_pinned(server: Server) -> None:
    with pytest.raises(AdminError) as caught:
        cluster_api.Api(server.base, None).login("pulumi@pve", PASSWORD)
    assert caught.value.code == "api-certificate"
    assert server.asked == []


def test_a_wrong_password_is_named(server: Server) -> None:
    with pytest.raises(AdminError) as caught:
        cluster_api.Api(server.base, server.fingerprint).login("pulumi@pve", "wrong")
    assert caught.value.code == "api-login-failed"
    assert "pulumi@pve" in caught.value.what
    assert "wrong" not in caught.value.render().split()


def test_a_second_factor_is_named(server: Server) -> None:
    with pytest.raises(AdminError) as caught:
        cluster_api.Api(server.base, server.fingerprint).login("factors@pve", PASSWORD)
    assert caught.value.code == "api-two-factors"
    assert "asks factors@pve for a second factor" in caught.value.what
    assert len(server.asked) == 1, "nothing is asked with half a ticket"


def test_a_privilege_that_lacks_is_named(server: Server) -> None:
    with pytest.raises(AdminError) as caught:
        session(server).post("/forbidden")
    assert caught.value.code == "api-forbidden"
    assert "/vms/200, VM.Config.Disk" in caught.value.observed
    assert "cluster.api.role" in caught.value.fix


def test_nobody_there_is_named(server: Server) -> None:
    lost = cluster_api.Api("https://127.0.0.1:1", server.fingerprint)
    with pytest.raises(AdminError) as caught:
        lost.get("/version")
    assert caught.value.code == "api-unreachable"


def test_a_refusal_tells_the_reason_and_the_parameters(server: Server) -> None:
    with pytest.raises(cluster_api.ApiError) as caught:
        session(server).post("/refused", memory=1)
    assert caught.value.observed == "400 Parameter verification failed.; memory: value too small"


def test_a_node_that_the_api_cannot_reach_is_told_by_its_status(server: Server) -> None:
    with pytest.raises(cluster_api.ApiError) as caught:
        session(server).get("/dead")
    assert caught.value.status == cluster_api.NO_NODE


def test_a_task_that_ends_well_is_waited_for_and_one_that_fails_is_named(server: Server) -> None:
    made = session(server)
    made.wait("UPID:ok:1:2:3:qmcreate:1:root@pam:", 10)
    with pytest.raises(AdminError) as caught:
        made.wait("UPID:bad:1:2:3:qmcreate:1:root@pam:", 10)
    assert caught.value.code == "task-failed"
    assert "exit code 1" in caught.value.observed


def test_a_task_that_does_not_end_is_given_up(server: Server) -> None:
    with pytest.raises(AdminError) as caught:
        session(server).wait("UPID:runs:1:2:3:qmcreate:1:root@pam:", 0)
    assert (caught.value.code, caught.value.observed) == ("task-timeout", "UPID:runs:1:2:3:qmcreate:1:root@pam:")


def test_a_guest_that_a_task_has_locked_is_named_and_how_it_is_unlocked(server: Server) -> None:
    made = session(server)
    for refused in (
        lambda: made.put("/locked", memory=1),
        lambda: made.wait("UPID:locked:1:2:3:vzdestroy:1:r@pam:", 10),
    ):
        with pytest.raises(AdminError) as caught:
            refused()
        assert caught.value.code == "guest-locked"
        assert "is locked (" in caught.value.observed
        assert "`qm unlock VMID`" in caught.value.render()


def test_a_storage_that_is_not_online_sends_to_where_it_is_shown(server: Server) -> None:
    """A removal ended in `resolve the error that it reports`."""
    made = session(server)
    for refused in (
        lambda: made.delete("/offline"),
        lambda: made.wait("UPID:offline:1:2:3:vzdestroy:1:r@pam:", 10),
    ):
        with pytest.raises(AdminError) as caught:
            refused()
        assert caught.value.code == "storage-offline"
        assert "storage 'shared' is not online" in caught.value.observed
        assert "`make status` shows on which node" in caught.value.fix


def test_what_is_presented_is_told_by_its_fingerprint(server: Server) -> None:
    assert asyncio.run(certificates.presented("127.0.0.1", server.port)) == server.fingerprint
    assert asyncio.run(certificates.presented("127.0.0.1", 1)) is None


def test_the_old_workers_of_a_reloaded_pveproxy_are_outlived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They answer by turns with the new ones, and the client sends nothing to them."""
    monkeypatch.setattr(certificates, "OLD_WORKERS_S", PATIENT_S)
    old, new = certificate(), certificate()
    with capturing(tmp_path / "turns", [old, new]) as turns:
        found = asyncio.run(certificates.presented_as(fingerprint(new[0]), "127.0.0.1", turns.port))
        assert found == fingerprint(new[0])
        with pytest.raises(AdminError) as caught:
            cluster_api.Api(turns.endpoint, fingerprint(new[0])).login("pulumi@pve", PASSWORD)
        assert caught.value.code == "api-login-failed"  # it came through to the one that holds the new certificate
        assert PASSWORD.encode() in b"".join(turns.captured)


def test_a_redirection_is_no_answer(server: Server) -> None:
    with pytest.raises(cluster_api.ApiError) as caught:
        session(server).get("/moved")
    assert caught.value.status == MOVED
    assert [path for _, path, _ in server.asked].count("/version") == 0


class Looks:
    """Looks over SSH at the certificate that a member holds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.count = 0
        self.holds: str | None = None
        monkeypatch.setattr(pins, "FILE", directory / "own" / "certificates.json")
        monkeypatch.setattr(ssh, "connect", self.connect)
        monkeypatch.setattr(certificates, "held", self.held)

    @asynccontextmanager
    async def connect(self, *_arguments: object, **_options: object) -> AsyncIterator[None]:
        self.count += 1
        yield

    async def held(self, _connection: object) -> str | None:
        return self.holds


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Looks:
    return Looks(monkeypatch, tmp_path)


def connected(server: Server, host_key: str = "ssh-ed25519 AAAA") -> None:
    member = Machine("proxmox01", "127.0.0.1", host_key)
    described = ApiAccess(f"https://pve.lab.internal:{server.port}", "pulumi@pve", "pinned")
    asyncio.run(cluster_api.connect([member], described, Secrets(ssh_private_key="", api_password=PASSWORD)))


def test_a_certificate_is_compared_over_ssh_once(server: Server, looks: Looks) -> None:
    looks.holds = server.fingerprint
    connected(server)
    connected(server)
    assert looks.count == 1


def test_another_certificate_than_the_remembered_one_is_compared_again(
    server: Server, looks: Looks, tmp_path: Path
) -> None:
    looks.holds = server.fingerprint
    connected(server)
    (tmp_path / "renewed").mkdir()
    with serving(tmp_path / "renewed") as renewed:
        with pytest.raises(AdminError) as caught:
            connected(renewed)
        assert caught.value.code == "api-certificate"
        assert renewed.asked == []
        looks.holds = renewed.fingerprint
        connected(renewed)
        connected(renewed)
    assert looks.count == 3


def test_a_machine_with_another_host_key_is_another_machine(server: Server, looks: Looks) -> None:
    looks.holds = server.fingerprint
    connected(server)
    connected(server, "ssh-ed25519 BBBB")
    assert looks.count == 2


def test_a_machine_that_holds_no_certificate_is_not_asked(server: Server, looks: Looks) -> None:
    looks.holds = None
    with pytest.raises(AdminError) as caught:
        connected(server)
    assert caught.value.code == "api-unreachable"
    assert caught.value.observed == f"https://127.0.0.1:{server.port}: proxmox01 holds no certificate"
    assert server.asked == []
