"""The cluster's API, through the first member that answers and is quorate.

`pinned`: a member is asked at its own address, and its certificate is compared with the one it holds, read over SSH
(and remembered).
`verified`: the described endpoint is asked, and its certificate must be good by the system's authorities.
Not with proxmoxer: it logs in outside of its own session, where no certificate can be pinned.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from ssl import get_default_verify_paths
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from cluster.errors import AdminError
from cluster.transport import bundle, certificates, pins, ssh
from cluster.waiting import until
from onnode.system.pve import LOCKED, STORAGE_OFFLINE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from cluster.contract import ApiAccess, Machine, Secrets

REQUEST_S = 60.0  # Proxmox itself gives a request to another node 30 s
CONNECT_S = 5.0
PROBE_S = 3.0
POLL_S = 0.25
BAD_REQUEST = 400  # a parameter is none: a number that is taken, a storage that is not there
NO_NODE = 595  # pveproxy could not reach the node that the request is for
UNAUTHORIZED = 401
FORBIDDEN = 403
HALF_TICKET = "PVE:!tfa!"  # what a first factor alone gives
LEAST_ERROR = 300  # a redirection is no answer: where it leads was not checked


class ApiError(AdminError):
    """The API answered, and refused."""

    def __init__(self, method: str, path: str, status: int, message: str) -> None:
        super().__init__(
            _refusal(status, message),
            f"the API refused {method} {path}",
            observed=f"{status} {message}",
            expected="an accepted request",
        )
        self.status = status
        self.message = message


def _refusal(status: int, message: str) -> str:
    if LOCKED.search(message):
        return "guest-locked"
    if STORAGE_OFFLINE.search(message):
        return "storage-offline"
    return "api-forbidden" if status == FORBIDDEN else "api-refused"


class _PinnedAdapter(HTTPAdapter):
    """Accepts one certificate only."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - handed through
        super().init_poolmanager(*args, **kwargs, assert_fingerprint=self._fingerprint)


class Api:
    """A session with one member."""

    def __init__(self, base: str, fingerprint: str | None, *, answer_s: float = REQUEST_S) -> None:
        self._base = f"{base}/api2/json"
        self._timeouts = (min(CONNECT_S, answer_s), answer_s)
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the environment does not lead to a private network
        if fingerprint is not None:
            self._session.mount("https://", _PinnedAdapter(fingerprint))
            self._session.verify = False
        else:
            self._session.verify = os.environ.get(bundle.VARIABLE) or get_default_verify_paths().cafile or True

    def login(self, user: str, password: str) -> None:
        """Get a ticket.

        Raises:
            AdminError: api-login-failed, api-two-factors.
        """
        try:
            ticket = self.post("/access/ticket", username=user, password=password)
        except ApiError as error:
            if error.status != UNAUTHORIZED:
                raise
            raise AdminError(
                "api-login-failed",
                f"the API at {self._base} refused the login of {user}",
                observed=f"{error.status} {error.message}",
                expected=f"the configured password of {user} is right",
            ) from error
        if ticket.get("NeedTFA") or str(ticket["ticket"]).startswith(HALF_TICKET):
            raise AdminError(
                "api-two-factors",
                f"the API at {self._base} asks {user} for a second factor",
                observed=f"the password of {user} is right, but a second factor is required",
                expected="a user that logs in with its password alone",
            )
        self._session.cookies.set("PVEAuthCookie", ticket["ticket"])
        self._session.headers["CSRFPreventionToken"] = ticket["CSRFPreventionToken"]

    def get(self, path: str, **parameters: Any) -> Any:  # noqa: ANN401 - JSON
        """Read."""
        return self._request("GET", path, params=parameters)

    def post(self, path: str, **parameters: Any) -> Any:  # noqa: ANN401 - JSON
        """Create, or start a task."""
        return self._request("POST", path, data=parameters)

    def put(self, path: str, **parameters: Any) -> Any:  # noqa: ANN401 - JSON
        """Change."""
        return self._request("PUT", path, data=parameters)

    def delete(self, path: str, **parameters: Any) -> Any:  # noqa: ANN401 - JSON
        """Remove."""
        return self._request("DELETE", path, params=parameters)

    def _request(self, method: str, path: str, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        try:
            response = self._sent(method, path, arguments)
        except requests.exceptions.SSLError as error:
            raise AdminError(
                "api-certificate",
                f"the API at {self._base} presents a certificate that is not trusted",
                observed=str(error),
                expected="the certificate that its machine holds, or one that the system's authorities vouch for",
            ) from error
        except requests.RequestException as error:
            raise _unusable(self._base, f"{method} {path}: {type(error).__name__}") from error
        if response.status_code >= LEAST_ERROR:
            raise ApiError(method, path, response.status_code, _message(response))
        return response.json().get("data")

    def _sent(self, method: str, path: str, arguments: dict[str, Any]) -> requests.Response:
        """The answer. A handshake that failed has sent nothing, and old workers of a reloaded pveproxy answer for 5 s."""
        again = Retrying(
            retry=retry_if_exception_type(requests.exceptions.SSLError),
            stop=stop_after_delay(certificates.OLD_WORKERS_S),
            wait=wait_fixed(POLL_S),
            reraise=True,
        )
        return again(
            self._session.request, method, self._base + path, timeout=self._timeouts, allow_redirects=False, **arguments
        )

    def wait(self, upid: str, timeout_s: float) -> None:
        """Wait for a task to end well.

        Raises:
            AdminError: task-failed, task-timeout, guest-locked, storage-offline.
        """
        _, node, *_ = upid.split(":")
        status = until(
            lambda: self.get(f"/nodes/{node}/tasks/{upid}/status"),
            lambda seen: seen["status"] == "stopped",
            timeout_s=timeout_s,
            poll_s=POLL_S,
        )
        if status["status"] != "stopped":
            raise AdminError(
                "task-timeout",
                f"a task on {node} did not end in time",
                observed=upid,
                expected=f"an end within {timeout_s:g} s",
            )
        end = status["exitstatus"]
        if LOCKED.search(end):
            raise AdminError(
                "guest-locked",
                f"a task on {node} was refused",
                observed=f"{end} ({upid})",
                expected="an unlocked guest",
            )
        if STORAGE_OFFLINE.search(end):
            raise AdminError(
                "storage-offline",
                f"a task on {node} was refused",
                observed=f"{end} ({upid})",
                expected="a storage that is online there",
            )
        if end != "OK" and not end.startswith("WARNINGS"):
            raise AdminError("task-failed", f"a task on {node} failed", observed=f"{end} ({upid})", expected="OK")


def _message(response: requests.Response) -> str:
    """The text of the status line, in which Proxmox puts the error, and the errors of single parameters."""
    try:
        body = response.json()
        errors = body.get("errors") or {}
        message = body.get("message") or ""
    except (ValueError, AttributeError):
        errors, message = {}, ""
    details = [f"{name}: {str(text).strip()}" for name, text in errors.items()]
    return "; ".join([(response.reason or message or "no reason given").strip(), *details])


async def connect(members: Sequence[Machine], api: ApiAccess, secrets: Secrets) -> Api:
    """A session with the first member that answers and is quorate.

    Raises:
        AdminError: api-login-failed, api-certificate, api-unreachable when none is fit.
    """
    reasons: list[str] = []
    async with aclosing(_candidates(members, api)) as candidates:
        async for where, member in candidates:
            try:
                return await _session(where, member, api, secrets)
            except AdminError as error:
                if error.code not in ("api-unreachable", "host-unreachable"):
                    raise
                reasons.append(f"{where}: {error.observed}")
    described = ", ".join(f"{member.name} ({member.address})" for member in members)
    raise AdminError(
        "api-unreachable",
        "no member's API can be used",
        observed="; ".join(reasons) or f"nobody answers on port {_port(api)} of {described}",
        expected="a quorate member whose API answers",
    )


async def _candidates(members: Sequence[Machine], api: ApiAccess) -> AsyncGenerator[tuple[str, Machine | None], None]:
    """Whom to ask: the endpoint, or each member that takes a connection, the quickest first."""
    if api.tls == "verified":
        yield api.endpoint.rstrip("/"), None
        return
    port = _port(api)

    async def probe(member: Machine) -> Machine | None:
        try:
            async with asyncio.timeout(PROBE_S):
                _, writer = await asyncio.open_connection(member.address, port)
        except (OSError, TimeoutError):
            return None
        writer.close()
        return member

    probes = [asyncio.create_task(probe(member)) for member in members]
    try:
        for next_done in asyncio.as_completed(probes):
            if member := await next_done:
                yield f"https://{member.address}:{port}", member
    finally:
        for task in probes:
            task.cancel()


def _port(api: ApiAccess) -> int:
    return urlsplit(api.endpoint).port or 443


async def _session(where: str, member: Machine | None, api: ApiAccess, secrets: Secrets) -> Api:
    session = Api(where, await _certificate(where, member, _port(api), secrets) if member is not None else None)
    # In a thread: the probes of the other members must not run out of time meanwhile.
    if not await asyncio.to_thread(_is_quorate, session, api.user, secrets.api_password or ""):
        raise _unusable(where, "not quorate")
    return session


def _is_quorate(session: Api, user: str, password: str) -> bool:
    session.login(user, password)
    return any(entry.get("quorate") for entry in session.get("/cluster/status") if entry["type"] == "cluster")


async def _certificate(where: str, member: Machine, port: int, secrets: Secrets) -> str:
    """The fingerprint of the certificate that the member holds: a remembered one that is presented, or read over SSH."""
    fingerprint = pins.known(member)
    if fingerprint is not None and fingerprint == await certificates.presented(member.address, port):
        return fingerprint  # what follows is compared with it on its own connection
    async with ssh.connect(member, secrets.ssh_private_key, timeout_s=CONNECT_S) as connection:
        fingerprint = await certificates.held(connection)
    if fingerprint is None:
        raise _unusable(where, f"{member.name} holds no certificate")
    pins.remember(member, fingerprint)
    return fingerprint


def _unusable(where: str, reason: str) -> AdminError:
    return AdminError("api-unreachable", f"the API at {where} cannot be used", observed=reason)
