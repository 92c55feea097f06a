"""witness: a server for QDevices runs on this machine, and has signed what a cluster's members ask for (corosync-qnetd(8)).

It serves any number of clusters. A member proves by its certificate, whose name is the cluster's, which cluster it speaks for.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster.membership import FIRST_CERTIFICATE
from onnode.contract.documents import document
from onnode.contract.qdevice import Witness, WitnessReport
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import packages, systemd
from onnode.system.machine import UTF_8

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

PACKAGE = UNIT = "corosync-qnetd"
DATABASE = "/etc/corosync/qnetd/nssdb"
AUTHORITY = f"{DATABASE}/qnetd-cacert.crt"
# Beside the package of steps, which comes and goes.
DIRECTORY = "/var/lib/nested-pve-ha-witness"
INSTALLED = f"{DIRECTORY}/packages"  # those that this program installed, one a line
CERTUTIL_S = 60.0


@dataclass(frozen=True)
class Observed:
    """The server, its authority, and what it has signed for this cluster."""

    installed: bool = False
    running: bool = False
    authority: str | None = None
    certificates: dict[str, str] = field(default_factory=dict)  # for today's requests, by member


def observe(machine: ThisMachine, desired: Witness) -> Observed:
    """Look at the server."""
    installed = bool(packages.installed(machine, PACKAGE))
    return Observed(
        installed,
        installed and systemd.unit(machine, UNIT).running,
        authority(machine),
        {
            member: certificate
            for member, request in desired.requests.items()
            if machine.read(request_file(desired.cluster, member)) == request
            and (certificate := encoded(machine.read(certificate_file(desired.cluster, member))))
        },
    )


def authority(machine: ThisMachine) -> str | None:
    """The certificate of the server's own authority, PEM; the file begins with the same in words."""
    return certificate_in(machine.read(AUTHORITY) or "")


def certificate_in(text: str) -> str | None:
    """The first certificate of what NSS' certutil prints, with line ends of this system (it writes those of Windows)."""
    found = FIRST_CERTIFICATE.search(text.replace("\r\n", "\n"))
    return f"{found[0]}\n" if found else None


def request_file(cluster: str, member: str) -> str:
    """Where the request is kept that was signed last: neither name holds a dot."""
    return f"{DIRECTORY}/{cluster}.{member}.request"


def certificate_file(cluster: str, member: str) -> str:
    """Where corosync-qnetd-certutil puts what it signs under the name `CLUSTER.MEMBER`."""
    return f"{DATABASE}/cluster-{cluster}.{member}.crt"


def encoded(text: str | None) -> str | None:
    """A file of bytes, as JSON can carry it."""
    return None if text is None else base64.b64encode(text.encode(*UTF_8)).decode()


def decoded(text: str) -> str:
    """The inverse."""
    return base64.b64decode(text).decode(*UTF_8)


def decide(observed: Observed, desired: Witness) -> list[Action]:
    """Install, start, sign; each once the one before is seen."""
    if not observed.installed:
        return [Action("install", PACKAGE)]
    if observed.authority is None:
        return [Action("initialise", DATABASE)]
    if not observed.running:
        return [Action("start", UNIT)]
    return [Action("sign", f"for {member}") for member in desired.requests if member not in observed.certificates]


def act(machine: ThisMachine, desired: Witness, action: Action) -> None:
    """Do one thing."""
    if action.do == "install":
        install(machine, PACKAGE)
    elif action.do == "initialise":
        machine.check(["corosync-qnetd-certutil", "-i", "-G"], timeout_s=CERTUTIL_S)
    elif action.do == "start":
        machine.check(["systemctl", "enable", "--now", UNIT])
    else:
        _sign(machine, desired, action.what.removeprefix("for "))


def install(machine: ThisMachine, name: str) -> None:
    """Install a package, and note on the machine what it brought.

    Raises:
        StepError: those of :func:`onnode.system.packages.apt`.
    """
    command = ("install", "--no-install-recommends", name)
    try:
        planned = packages.apt(machine, "-s", *command)
    except StepError as error:
        if error.code != "package-unavailable":
            raise
        packages.apt(machine, "update")
        planned = packages.apt(machine, "-s", *command)
    noted = {*(machine.read(INSTALLED) or "").split(), *packages.parse_new(planned)}
    machine.write(INSTALLED, "".join(f"{one}\n" for one in sorted(noted)))
    packages.apt(machine, *command)


def _sign(machine: ThisMachine, desired: Witness, member: str) -> None:
    request = request_file(desired.cluster, member)
    der = f"{request}.der"
    machine.remove(certificate_file(desired.cluster, member))
    machine.write(der, decoded(desired.requests[member]))
    try:
        # The name is only that of the file: the certificate has the cluster's from the request.
        name = f"{desired.cluster}.{member}"
        machine.check(["corosync-qnetd-certutil", "-s", "-c", der, "-n", name], timeout_s=CERTUTIL_S)
    finally:
        machine.remove(der)
    machine.write(request, desired.requests[member])


def facts(observed: Observed, _desired: Witness) -> dict[str, Any]:
    """What the members need."""
    return document(WitnessReport(observed.authority or "", observed.certificates))


def unchanged(observed: Observed, desired: Witness) -> str:
    """Say what was found."""
    return f"{UNIT} runs; {len(observed.certificates)} certificates for cluster {desired.cluster}"


STEP = Step(Witness, observe, decide, act, facts, unchanged)
