"""Talking to a cluster member's API while joining, with its certificate pinned by fingerprint."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import ssl
import urllib.parse
from typing import TYPE_CHECKING, Any

from pvelab.errors import PveError, die

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PORT = 8006
TIMEOUT_SECONDS = 60


class PeerApi:
    """A session with another node's API as root@pam."""

    def __init__(self, host: str, fingerprint: str | None, confirm: Callable[[str], bool]) -> None:
        """Describe the peer; nothing is sent yet.

        Args:
            host: name or address of the peer.
            fingerprint: the expected SHA-256 fingerprint of its certificate.
            confirm: asks a person about the fingerprint found, when none is expected.
        """
        self._host = host
        self._fingerprint = fingerprint.upper() if fingerprint else None
        self._confirm = confirm
        self._headers: dict[str, str] = {}

    def login(self, password: str) -> None:
        """Get a ticket.

        Raises:
            PveError: not reachable, another certificate, or refused; the message starts with the HTTP status.
        """
        try:
            ticket = self._call("POST", "/access/ticket", {"username": "root@pam", "password": password})
        except PveError as error:
            refused = error.status < http.client.INTERNAL_SERVER_ERROR
            raise PveError(error.status, f"{error.status} {error.message}" if refused else error.message) from error
        if ticket.get("NeedTFA"):
            raise die("TFA-enabled login currently works only with a TTY.")
        self._headers = {
            "Cookie": f"PVEAuthCookie={urllib.parse.quote(ticket['ticket'], safe='')}",
            "CSRFPreventionToken": ticket["CSRFPreventionToken"],
        }

    def get(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        """Read.

        Raises:
            PveError: the peer refuses.
        """
        return self._call("GET", path, {})

    def post(self, path: str, parameters: Mapping[str, object]) -> Any:  # noqa: ANN401 - any JSON
        """Create.

        Raises:
            PveError: the peer refuses; the message is the peer's.
        """
        return self._call("POST", path, parameters)

    def _call(self, method: str, path: str, parameters: Mapping[str, object]) -> Any:  # noqa: ANN401 - any JSON
        body = urllib.parse.urlencode(parameters) if parameters else None
        headers = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"} if body else self._headers
        with contextlib.closing(self._connect()) as connection:
            connection.request(method, f"/api2/json{path}", body, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        with contextlib.suppress(json.JSONDecodeError):
            document = json.loads(text)
            if answer.status == http.client.OK:
                return document["data"]
            raise PveError(answer.status, answer.reason, document.get("errors"))
        raise PveError(answer.status, answer.reason)

    def _connect(self) -> http.client.HTTPSConnection:
        """A connection to the pinned peer; every request looks again."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(self._host, PORT, timeout=TIMEOUT_SECONDS, context=context)
        try:
            connection.connect()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise die(f"500 Can't connect to {self._host}:{PORT} ({reason})") from error
        self._require_pinned(connection)
        return connection

    def _require_pinned(self, connection: http.client.HTTPSConnection) -> None:
        certificate = connection.sock.getpeercert(binary_form=True) or b""
        digest = hashlib.sha256(certificate).hexdigest().upper()
        found = ":".join(digest[index : index + 2] for index in range(0, len(digest), 2))
        if self._fingerprint is None and self._confirm(found):
            self._fingerprint = found
        if found != self._fingerprint:
            connection.close()
            raise die(f"fingerprint '{found}' not verified, abort!")
