"""membership: what this node itself reports about its cluster, or that it is in none. Changes nothing.

`half` is the state that an interrupted join leaves (F2): some of what makes a member is there, some is missing.
Whether the node is then finished, forced or reset is decided by who can see the other nodes, too.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import corosync
from onnode.contract.documents import document
from onnode.contract.membership import Membership, MembershipReport
from onnode.errors import StepError
from onnode.step import Step, act_never, decide_nothing
from onnode.system import network, pve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnode.system.machine import ThisMachine

LOCAL_CONF = "/etc/corosync/corosync.conf"
AUTHKEY = "/etc/corosync/authkey"
PVE_CONF = "/etc/pve/corosync.conf"
# Where people, and `pvecm`, write the next one (pvecm.adoc, "Edit corosync.conf"). This program never does: one there is somebody's.
NEXT_CONF = f"{PVE_CONF}.new"
# /etc/pve is shared and all nodes may be asked at once: a file per node. So may one node be: one look after the other,
# else one removes the file while the other touches it, which fails as if /etc/pve were read-only.
TAKES_WRITES = """\
exec 9>/run/nested-pve-ha.probe && flock 9 || exit
read -r node </proc/sys/kernel/hostname
probe=/etc/pve/priv/nested-pve-ha.$node.probe
: >"$probe" && rm -f "$probe"
"""
PVE_ANSWERS = ("stat", "-t", "/etc/pve/local")
LOOK_S = 15.0
FIRST_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class NodeState:
    """This node and its cluster, from its own files and tools."""

    node: str
    local_conf: corosync.Conf | None = None
    pve_conf: corosync.Conf | None = None
    authkey: bool = False
    pve_mounted: bool = False
    pve_writable: bool = False
    certificate: str | None = None  # SHA-256 fingerprint of the certificate that the API presents
    quorum: corosync.Quorum | None = None
    links: list[corosync.PeerLink] = field(default_factory=list)
    guests: list[int] = field(default_factory=list)
    device_state: str | None = None  # of the connection to the QDevice's server
    edited: bool = False  # somebody's next corosync.conf is there

    @property
    def conf(self) -> corosync.Conf | None:
        """The cluster's configuration; the shared one, where it can be read, is the newer one."""
        return self.pve_conf or self.local_conf

    @property
    def missing(self) -> list[str]:
        """What a member keeps and this node lacks; whether its corosync runs at the moment is another matter."""
        listed = self.pve_conf is not None and self.pve_conf.node(self.node) is not None
        has = {
            LOCAL_CONF: self.local_conf is not None,
            AUTHKEY: self.authkey,
            "mounted /etc/pve": self.pve_mounted,
            f"{PVE_CONF} naming this node": listed,
            "node certificate": self.certificate is not None,
        }
        return [name for name, there in has.items() if not there]

    @property
    def state(self) -> str:
        """`absent` (stand-alone), `half`, or `member` (quorate or not)."""
        if self.local_conf is None and self.pve_conf is None and not self.authkey:
            return "absent"
        return "half" if self.missing else "member"

    @property
    def quorate(self) -> bool:
        """Whether this node is part of the quorate partition."""
        return self.quorum is not None and self.quorum.quorate


def fingerprint(pem: str | None) -> str | None:
    """The SHA-256 fingerprint of a certificate, in the form that `pvecm add --fingerprint` takes.

    Of a chain, the first certificate is the machine's own, the others are its issuers'.
    """
    first = FIRST_CERTIFICATE.search(pem or "")
    try:
        der = base64.b64decode("".join(first[1].split()), validate=True) if first else b""
    except ValueError:  # no base64, or not even ASCII
        return None
    if not der:
        return None
    digest = hashlib.sha256(der).hexdigest().upper()
    return ":".join(digest[index : index + 2] for index in range(0, len(digest), 2))


def key_fingerprints(text: str) -> list[str]:
    """The fingerprints of an authorized_keys file, as `ssh-keygen -l` prints them."""
    found = []
    for line in text.splitlines():
        words = line.split()
        blobs = [word for word in words if word.startswith("AAAA")] if not line.startswith("#") else []
        try:
            digests = [hashlib.sha256(base64.b64decode(blob, validate=True)).digest() for blob in blobs[:1]]
        except ValueError:  # no base64, or not even ASCII
            continue
        found += [f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}" for digest in digests]
    return found


def hostname(machine: ThisMachine) -> str:
    """The node's name, without a domain."""
    return (machine.read("/proc/sys/kernel/hostname") or "").strip().partition(".")[0]


def observe(machine: ThisMachine, _desired: object = None) -> NodeState:
    """Look at this node."""
    node = hostname(machine)
    mounted = pve_mounted(machine)
    quorum = corosync.parse_quorum(machine.run(["corosync-quorumtool", "-siH"], timeout_s=LOOK_S).out)
    local = _conf(machine, LOCAL_CONF)
    return NodeState(
        node,
        local,
        _conf(machine, PVE_CONF) if mounted else None,
        machine.exists(AUTHKEY),
        mounted,
        mounted and pve_writable(machine),
        fingerprint(certificate(machine, node)) if mounted else None,
        quorum,
        links(machine) if quorum else [],
        guests(machine, node) if mounted else [],
        device_state(machine) if local and local.device else None,
        mounted and machine.exists(NEXT_CONF),
    )


def _conf(machine: ThisMachine, path: str) -> corosync.Conf | None:
    conf = corosync.parse_conf(machine.read(path) or "")
    return corosync.resolved(conf, lambda name: network.resolve(machine, name))


def pve_mounted(machine: ThisMachine) -> bool:
    """Whether pmxcfs serves /etc/pve: without it there is an empty directory (F10), or a mount that does not answer."""
    mounts = (machine.read("/proc/self/mounts") or "").splitlines()
    return (
        any(line.split()[1:2] == ["/etc/pve"] for line in mounts)
        and not machine.run(PVE_ANSWERS, timeout_s=LOOK_S).code
    )


def pve_writable(machine: ThisMachine) -> bool:
    """Whether /etc/pve takes a write, tried out: without quorum it does not (F1)."""
    return machine.run(["sh", "-c", TAKES_WRITES], timeout_s=LOOK_S).code == 0


def certificate(machine: ThisMachine, node: str) -> str | None:
    """The certificate that the node's API presents: an own one has precedence over Proxmox' generated one."""
    directory = f"/etc/pve/nodes/{node}"
    return machine.read(f"{directory}/pveproxy-ssl.pem") or machine.read(f"{directory}/pve-ssl.pem")


def links(machine: ThisMachine) -> list[corosync.PeerLink]:
    """Every link to every other node, whether that node is up or not."""
    return corosync.parse_links(machine.run(["corosync-cfgtool", "-s"], timeout_s=LOOK_S).out)


def device_state(machine: ThisMachine) -> str | None:
    """How this node is connected to the QDevice's server, in corosync's word; None if its daemon does not run."""
    return corosync.parse_device_state(machine.run(["corosync-qdevice-tool", "-s"], timeout_s=LOOK_S).out)


def guests(machine: ThisMachine, node: str) -> list[int]:
    """The guests that are configured on this node."""
    names = [name for kind in ("qemu-server", "lxc") for name in machine.names(f"/etc/pve/nodes/{node}/{kind}")]
    return sorted(int(name.removesuffix(".conf")) for name in names if name.endswith(".conf") and name[:-5].isdigit())


def refuse_edited(seen: Iterable[Membership]) -> None:
    """Refuse to change a corosync.conf that somebody else is about to replace: the later one of two loses what the other changed.

    Raises:
        StepError: corosync-edited.
    """
    if editors := sorted(look.node for look in seen if look.edited):
        raise StepError(
            "corosync-edited",
            "somebody is about to replace the cluster's corosync.conf; nothing was changed",
            observed=f"{NEXT_CONF}, seen on {', '.join(editors)}",
            expected="no such file",
        )


def told(seen: NodeState) -> Membership:
    """What a node reports about its cluster."""
    conf = seen.conf
    return Membership(
        node=seen.node,
        state=seen.state,
        missing=seen.missing if seen.state == "half" else [],
        cluster=conf.cluster if conf else None,
        config_version=conf.version if conf else None,
        nodes=conf.nodes if conf else [],
        priorities=conf.priorities if conf else {},
        transport=conf.transport if conf else corosync.KNET,
        totem=conf.totem if conf else {},
        device=conf.device if conf else None,
        device_state=seen.device_state,
        edited=seen.edited,
        quorate=seen.quorate,
        quorum=seen.quorum,
        links=seen.links,
        pve_mounted=seen.pve_mounted,
        pve_writable=seen.pve_writable,
        api_fingerprint=seen.certificate,
        guests=seen.guests,
    )


def report(machine: ThisMachine, _desired: None) -> MembershipReport:
    """Look at this node and at what makes two nodes differ.

    Raises:
        StepError: pve-filesystem-hangs.
    """
    files = ("/etc/pve/priv/authorized_keys", "/root/.ssh/authorized_keys")
    # First: a pmxcfs that hangs is named by what reads it, sooner than programs end that wait for it.
    keys = {key for file in files for key in key_fingerprints(machine.read(file) or "")}
    member = told(observe(machine))
    return MembershipReport(
        **vars(member),
        pve_version=pve.version(machine).manager,
        time=machine.time(),
        authorized_keys=sorted(keys),
    )


def facts(seen: Membership, _desired: None) -> dict[str, Any]:
    """All that was seen, and the machine's clock when it was asked."""
    return document(seen)


def unchanged(seen: Membership, _desired: None) -> str:
    """Say what was found."""
    return f"{seen.node}: {seen.state}"


STEP = Step(None, report, decide_nothing, act_never, facts, unchanged, lock="shared")
