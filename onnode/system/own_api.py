"""The API of this machine, asked over TLS.

Apart from the rest of the machine, and loaded by who needs it: what Python brings for TLS and HTTP takes as long to load as
all of a step that only looks, and most steps do without.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import urllib.parse
from typing import TYPE_CHECKING

from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnode.system.machine import ThisMachine

API_S = 10.0
API_PORT = 8006
API_AGAIN_S = 0.3
OLD_WORKERS_S = 7.0  # so long, and some more, they answer after a reload of pveproxy


def certificate(port: int, address: str) -> str | None:
    """The certificate, PEM, that a service presents there; None if it does not answer."""
    try:
        return ssl.get_server_certificate((address, port), timeout=API_S)
    except OSError:
        return None


def accepts(machine: ThisMachine, user: str, password: str, is_own: Callable[[str | None], bool]) -> bool:
    """As :meth:`onnode.system.machine.ThisMachine.can_log_in`.

    Raises:
        StepError: api-down, api-certificate.
    """
    form = urllib.parse.urlencode({"username": user, "password": password})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        with contextlib.closing(_connected(machine, is_own)) as connection:
            connection.request("POST", "/api2/json/access/ticket", form, headers)
            return connection.getresponse().status == http.client.OK
    except OSError as error:
        raise StepError("api-down", "the machine's own API does not answer", observed=str(error)) from None


def _connected(machine: ThisMachine, is_own: Callable[[str | None], bool]) -> http.client.HTTPSConnection:
    """A connection to the machine's API, once no old worker answers with the certificate of before a reload."""
    deadline = machine.monotonic() + OLD_WORKERS_S
    while True:
        context = ssl._create_unverified_context()  # noqa: S323, SLF001 - compared below, before anything is sent
        connection = http.client.HTTPSConnection("127.0.0.1", API_PORT, timeout=API_S, context=context)
        connection.connect()
        shown = connection.sock.getpeercert(binary_form=True) or b""
        if is_own(ssl.DER_cert_to_PEM_cert(shown)):
            return connection
        connection.close()
        if machine.monotonic() >= deadline:
            raise StepError(
                "api-certificate",
                f"the answer on port {API_PORT} comes without this machine's certificate",
                observed="a certificate other than the one in /etc/pve/local; no password was sent",
                expected="pveproxy",
            )
        machine.sleep(API_AGAIN_S)
