"""What is asked of members and of the server of a QDevice."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Witness:
    """Step `witness`: a server for QDevices runs here, and has signed what the cluster's members ask for.

    Step `witness --remove`: what was made for this cluster is gone, and what was installed, unless others use it.
    """

    cluster: str
    requests: dict[str, str] = field(default_factory=dict)  # by member, base64 of DER (PKCS #10)


@dataclass(frozen=True)
class WitnessReport:
    """What the members need of it."""

    authority: str  # its own certificate authority, PEM
    certificates: dict[str, str]  # by member, base64 of DER


@dataclass(frozen=True)
class QDevice:
    """Step `qdevice`: this member can connect to the QDevice's server, and does; `qdevice --remove`: it does no more."""

    cluster: str
    authority: str = ""  # as of WitnessReport
    certificate: str | None = None
    serve: bool = False  # the daemon that connects runs


@dataclass(frozen=True)
class QDeviceReport:
    """What a member asks to be signed; None when it has its certificate."""

    request: str | None
