"""Calling an API method of another member, as root@pam, by a ticket of the cluster."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import urllib.parse
from typing import Any

from pvelab import cfs
from pvelab.access import tickets
from pvelab.access.permissions import ROOT
from pvelab.api.peers import CONNECT_TIMEOUT_S, NOT_THE_MEMBER, PORT, fingerprint, unverified_tls
from pvelab.errors import PveError, die

POLL_S = 0.1


def _send(node: str, method: str, path: str, params: dict[str, Any]) -> tuple[int, str, dict[str, Any]]:
    ticket, csrf = tickets.issue(ROOT)
    headers = {
        "Cookie": f"PVEAuthCookie={urllib.parse.quote(ticket)}",
        "CSRFPreventionToken": csrf,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    text = urllib.parse.urlencode(params, doseq=True)
    url = f"/api2/json{urllib.parse.quote(path, safe='/:')}"
    in_url = method in ("GET", "DELETE")
    connection = http.client.HTTPSConnection(
        cfs.node_address(node), PORT, timeout=CONNECT_TIMEOUT_S, context=unverified_tls()
    )
    try:
        connection.connect()
        shown = connection.sock.getpeercert(binary_form=True)
        if hashlib.sha256(shown or b"").digest() != fingerprint(node):
            raise PveError(596, NOT_THE_MEMBER)
        connection.sock.settimeout(None)
        connection.request(method, f"{url}?{text}" if in_url and text else url, None if in_url else text, headers)
        answer = connection.getresponse()
        return answer.status, answer.reason, json.loads(answer.read() or b"{}")
    finally:
        connection.close()


def call(node: str, method: str, path: str, params: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - any JSON
    """Call a method of another member.

    Raises:
        PveError: the member refuses, with its own status, does not answer: 595, or is not who it should be: 596.
    """
    try:
        status, reason, body = _send(node, method, path, params or {})
    except OSError as error:
        raise PveError(595, error.strerror or "Connection timed out") from error
    if status != http.client.OK:
        raise PveError(status, str(body.get("message") or reason).rstrip("\n"), body.get("errors"))
    return body.get("data")


def wait(node: str, upid: str, timeout_s: float) -> None:
    """Wait for a task of another member.

    Raises:
        PveError: it failed, or takes longer than `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = call(node, "GET", f"/nodes/{node}/tasks/{upid}/status")
        if found["status"] == "stopped":
            if found["exitstatus"] != "OK":
                raise die(found["exitstatus"])
            return
        time.sleep(POLL_S)
    raise die(f"task on node '{node}' did not end in time")
