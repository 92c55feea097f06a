"""qdevice: this member can connect to the server of the cluster's QDevice, and does (corosync-qdevice(8)).

Its key is made here and never leaves the member: only a request goes to the server, and a certificate comes back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode.cluster import corosync, membership, witness
from onnode.contract.documents import document
from onnode.contract.qdevice import QDevice, QDeviceReport
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import packages, systemd

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

PACKAGE = UNIT = "corosync-qdevice"
DIRECTORY = "/etc/corosync/qdevice"  # what `pvecm qdevice remove` removes
DATABASE = f"{DIRECTORY}/net/nssdb"
REQUEST = f"{DATABASE}/qdevice-net-node.crq"
AUTHORITY_NAME, MEMBER_NAME = "QNet CA", "Cluster Cert"
PASSED_ON = "/run/nested-pve-ha-qdevice.crt"
KEY_TRUST = re.compile(rf"^{MEMBER_NAME}\s+u,u,u\s*$", re.MULTILINE)
TOOL = "corosync-qdevice-net-certutil"
TOOL_S = 60.0
START_S = 60.0


@dataclass(frozen=True)
class Observed:
    """What this member has of all that."""

    installed: bool = False
    database: bool = False
    authority: str | None = None  # PEM
    certified: bool = False  # with the key that belongs to it
    request: str | None = None
    running: bool = False


def observe(machine: ThisMachine, _desired: object = None) -> Observed:
    """Look at this member."""
    if not packages.installed(machine, PACKAGE):
        return Observed(database=machine.exists(DATABASE))
    there = machine.exists(DATABASE)
    return Observed(
        installed=True,
        database=there,
        authority=_authority(machine) if there else None,
        certified=there and parse_certified(machine.run(["certutil", "-L", "-d", DATABASE]).out),
        request=witness.encoded(machine.read(REQUEST)),
        running=systemd.unit(machine, UNIT).running,
    )


def _authority(machine: ThisMachine) -> str | None:
    return witness.certificate_in(machine.run(["certutil", "-L", "-d", DATABASE, "-n", AUTHORITY_NAME, "-a"]).out)


def parse_certified(text: str) -> bool:
    """Read `certutil -L`: whether the cluster's certificate is there with its key ("u" says that it is)."""
    return KEY_TRUST.search(text) is not None


def is_due(machine: ThisMachine) -> bool:
    """Whether its daemon is to run here: it was set up, and corosync.conf names a server, without which it does not start."""
    conf = corosync.parse_conf(machine.read(membership.LOCAL_CONF) or "")
    return conf is not None and conf.device is not None and systemd.unit(machine, UNIT).enabled == "enabled"


def decide(observed: Observed, desired: QDevice) -> list[Action]:
    """One thing after another, up to where the server is needed, and from there with what it gave."""
    if not observed.installed:
        return [Action("install", PACKAGE)]
    if not observed.database:
        return [Action("initialise", DATABASE)]
    if observed.authority != desired.authority:
        return [Action("forget", DATABASE)]  # another server's, or half made
    if not observed.certified:
        if desired.certificate is not None:
            return [Action("import", MEMBER_NAME, desired.certificate)]
        return [] if observed.request else [Action("request", desired.cluster)]
    return [Action("start", UNIT)] if desired.serve and not observed.running else []


def act(machine: ThisMachine, desired: QDevice, action: Action) -> None:
    """Do one thing."""
    if action.do == "install":
        _install(machine)
    elif action.do == "forget":
        machine.remove_tree(DATABASE)
    elif action.do == "initialise":
        _with_file(machine, desired.authority, "-i")
    elif action.do == "request":
        machine.check([TOOL, "-r", "-n", desired.cluster], timeout_s=TOOL_S)
    elif action.do == "import":
        _with_file(machine, witness.decoded(action.text), "-M")
    else:
        machine.check(["systemctl", "enable", "--now", UNIT], timeout_s=START_S)


def _install(machine: ThisMachine) -> None:
    """A member stays as new as it is: only what is missing is installed."""
    command = ("install", "--no-install-recommends", "--no-upgrade", PACKAGE)
    try:
        packages.apt(machine, *command)
    except StepError as error:
        if error.code != "package-unavailable":
            raise
        packages.apt(machine, "update")
        packages.apt(machine, *command)


def _with_file(machine: ThisMachine, certificate: str, option: str) -> None:
    machine.write(PASSED_ON, certificate, mode=0o600)
    try:
        machine.check([TOOL, option, "-c", PASSED_ON], timeout_s=TOOL_S)
    finally:
        machine.remove(PASSED_ON)


def facts(observed: Observed, _desired: QDevice) -> dict[str, Any]:
    """What the server has to sign."""
    return document(QDeviceReport(None if observed.certified else observed.request))


def unchanged(observed: Observed, desired: QDevice) -> str:
    """Say what was found."""
    return f"{UNIT} runs" if desired.serve else f"certificate for cluster {desired.cluster}: {observed.certified}"


STEP = Step(QDevice, observe, decide, act, facts, unchanged)
