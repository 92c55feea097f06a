"""diagnosis: what one machine shows of itself and of its neighbours. Changes nothing, and waits for no lock.

It works on a machine in any state, also before it is a node, and when /etc/pve hangs: every question ends after seconds,
and which ones got no answer is told. Whether /etc/pve takes writes is told by its mode, so that nothing is written to try it.
Storages are asked for only while pvestatd runs: the question makes them ready, as that one does every ten seconds.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from onnode.cluster import conf_faults, corosync, membership
from onnode.cluster.cluster_health import WATCHDOG
from onnode.cluster.link_preflight import parse_ping
from onnode.contract.diagnosis import (
    Card,
    Certificate,
    ConfFile,
    Datastore,
    Diagnose,
    DiagnosisReport,
    HaFiles,
    Reached,
    Space,
)
from onnode.contract.documents import document
from onnode.contract.health import Watchdog
from onnode.errors import StepError
from onnode.step import Step, act_never, decide_nothing
from onnode.system import network, pve, systemd
from onnode.system.machine import UTF_8

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from onnode.contract.diagnosis import Neighbour
    from onnode.system.machine import ThisMachine

T = TypeVar("T")

ASK_S = 8.0  # for one question; all are asked at the same time
STORAGES_S = 20.0  # Proxmox VE waits for a server that does not answer, too
API_PORT = 8006
HEADERS = 28  # of IPv4 and ICMP
SMALL = 56
AT_ONCE = 32
SERVICES = [
    "corosync",
    "pve-cluster",
    "pvedaemon",
    "pveproxy",
    "pvestatd",
    "pve-ha-crm",
    "pve-ha-lrm",
    "watchdog-mux",
]
STATISTICS = "pvestatd"
SPACES = ("/", "/var", "/var/log", "/var/lib/pve-cluster", "/tmp")  # noqa: S108 - asked about, not used
KEPT_ON = frozenset((*SPACES, "/var/lib"))  # file systems that a node cannot work without, if they are ones
LOCAL_MODE = re.compile(r"\s(-\w*l\w*|--local)(\s|$)")
BROUGHT, GENERATED = "pveproxy-ssl.pem", "pve-ssl.pem"
NOT_VERIFIED = 2  # openssl-verify(1) ends so; with 1 when it could not try
LOOPBACK = "127.0.0.1"
AUTHORITY = "/etc/pve/pve-root-ca.pem"
CPUS = re.compile(r"^processor\s*:", re.MULTILINE)
MEMORY = re.compile(r"^MemTotal:\s+(\d+) kB", re.MULTILINE)


# -- what programs print -----------------------------------------------------------------------------------------------


def parse_space(text: str) -> list[Space]:
    """Read `df -k --output=target,size,avail,itotal,iavail`; a file system is listed once."""
    found = {}
    for row in (line.split() for line in text.splitlines()[1:]):
        if len(row) == 5 and row[1].isdigit() and row[2].isdigit():  # noqa: PLR2004 - the columns
            inodes = int(row[4]) if row[3].isdigit() and int(row[3]) and row[4].isdigit() else None
            found[row[0]] = Space(row[0], int(row[1]) // 1024, int(row[2]) // 1024, inodes)
    return list(found.values())


def parse_read_only(text: str) -> list[str]:
    """Read `/proc/self/mounts`: what a node writes to, and is mounted so that nobody can."""
    options = {row[1]: row[3].split(",") for row in map(str.split, text.splitlines()) if len(row) > 3}  # noqa: PLR2004
    return sorted(target for target in KEPT_ON & set(options) if "ro" in options[target])


def parse_storages(text: str) -> dict[str, Datastore]:
    """Read `pvesm status`."""
    rows = (line.split() for line in text.splitlines()[1:])
    return {
        row[0]: Datastore(row[1], row[2], int(row[5]) // 1024 if row[5].isdigit() else 0)
        for row in rows
        if len(row) > 5 and row[2] in ("active", "inactive", "disabled")  # noqa: PLR2004 - the columns
    }


def parse_pmxcfs(text: str) -> str:
    """Read `pgrep -a -x pmxcfs`: "" when none runs, "local" when one was started with -l."""
    lines = text.strip().splitlines()
    return "" if not lines else "local" if any(map(LOCAL_MODE.search, lines)) else "cluster"


def parse_end(text: str) -> float | None:
    """Read `openssl x509 -noout -enddate`: seconds since 1970."""
    try:
        return float(ssl.cert_time_to_seconds(text.strip().partition("notAfter=")[2]))
    except ValueError:
        return None


def parse_loaded(text: str) -> int | None:
    """Read `corosync-cmapctl -g totem.config_version`."""
    value = text.partition("=")[2].strip()
    return int(value) if value.isascii() and value.isdigit() else None


def parse_online(text: str) -> list[str]:
    """Read `/etc/pve/.members`: the nodes whose pmxcfs is online."""
    nodes = _json(text).get("nodelist")
    listed = nodes.items() if isinstance(nodes, dict) else ()
    return [name for name, one in listed if isinstance(one, dict) and one.get("online")]


def conf_file(text: str | None) -> ConfFile | None:
    """What a corosync.conf says, and what is wrong with it; None where there is none."""
    if text is None:
        return None
    digest = hashlib.sha256(text.encode(*UTF_8)).hexdigest()
    conf = corosync.parse_conf(text)
    faults = conf_faults.faults(text)
    if conf is None:
        return ConfFile(digest, faults=faults)
    return ConfFile(digest, conf.version, conf.cluster, conf.nodes, faults, conf.device, conf.transport)


def ha_files(resources: str, manager: str, agents: dict[str, str], now: float) -> HaFiles:
    """What `/etc/pve/ha/resources.cfg`, `manager_status` and the agents' `lrm_status` say."""
    status = _json(manager)
    written = {node: _json(text).get("timestamp") for node, text in agents.items()}
    at = status.get("timestamp")
    return HaFiles(
        len(pve.parse_sections(resources)),
        status.get("master_node"),
        round(now - at, 1) if isinstance(at, int | float) else None,
        {node: round(now - then, 1) for node, then in written.items() if isinstance(then, int | float)},
        {sid: str(one.get("state")) for sid, one in (status.get("service_status") or {}).items()},
    )


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# -- the look ----------------------------------------------------------------------------------------------------------


class _Asking:
    """Questions that are asked at the same time; which ones got no answer is kept."""

    def __init__(self, machine: ThisMachine, pool: ThreadPoolExecutor) -> None:
        self._machine = machine
        self._pool = pool
        self.unanswered: set[str] = set()

    def __call__(self, name: str, question: Callable[..., T], *given: object) -> Callable[[], T | None]:
        """Ask; the answer is waited for when it is called."""
        return functools.partial(self._answer, name, self._pool.submit(question, self._machine, *given))

    def _answer(self, name: str, asked: Future[T]) -> T | None:
        try:
            return asked.result()
        except Exception:  # noqa: BLE001 - of a broken machine everything may fail, and the other questions count
            self.unanswered.add(name)
            return None


def observe(machine: ThisMachine, desired: Diagnose) -> DiagnosisReport:
    """Look at everything at once."""
    node = membership.hostname(machine)
    now = machine.time()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ask = _Asking(machine, pool)
        state = ask("pve", how_mounted)
        resolves, version, services = (
            ask("resolves", _resolve, node),
            ask("version", _version),
            ask("services", _services),
        )
        pmxcfs, spaces, read_only = ask("pmxcfs", pmxcfs_mode), ask("spaces", _spaces), ask("read_only", _read_only)
        quorum, links, loaded = ask("quorum", _quorum), ask("links", _links), ask("loaded", _loaded)
        cores, memory, watchdog = ask("cores", _cores), ask("memory_mib", memory_mib), ask("watchdog", _watchdog)
        local, authkey = ask("local", _read, membership.LOCAL_CONF), ask("authkey", _digest, membership.AUTHKEY)
        there = ask("cards", _cards)() or []
        served = ask("served", _served, [address for card in there for address in card.addresses])
        reached = [ask("reached", _reach, ping) for ping in _pings(desired, there)]
        pve_state = state() or "absent"
        # A hung /etc/pve would hold up each of these for as long as it may take.
        mounted = pve_state == "mounted"
        within = ask if mounted else _ask_nothing
        certificate, signed, ha = (
            within("certificate", _certificate, node),
            within("signed", _signed, node),
            within("ha", _ha, now),
        )
        online, certified = within("online", _online), within("certified", _certified)
        shared, writable, guests = (
            within("shared", _read, membership.PVE_CONF),
            within("pve_writable", _is_writable),
            within("guests", membership.guests, node),
        )
        units = services() or {}
        storages = (within if units.get(STATISTICS) == "active" else _ask_nothing)("storages", _storages)
        confs = _resolved(ask, [conf_file(local()), conf_file(shared())])
        own = certificate()
        report = DiagnosisReport(
            node=node,
            resolves=resolves() or [],
            version=version() or "",
            time=now,
            cores=cores() or 0,
            memory_mib=memory() or 0,
            pve=pve_state,
            pve_writable=writable() or False,
            pmxcfs=pmxcfs() or "",
            authkey=authkey(),
            local=confs[0],
            shared=confs[1],
            loaded=loaded(),
            quorum=quorum(),
            links=links() or [],
            services=units,
            online=online() or [],
            certified=certified() or [],
            guests=len(guests() or []),
            spaces=spaces() or [],
            read_only=read_only() or [],
            certificate=own and replace(own, served=served(), signed=signed()),
            watchdog=watchdog(),
            ha=ha(),
            storages=storages(),
            cards=there,
            reached=[one for answer in reached if (one := answer())],
        )
        return replace(report, unanswered=sorted(ask.unanswered))


def _resolved(ask: _Asking, files: list[ConfFile | None]) -> list[ConfFile | None]:
    """The same with addresses where names stand, as corosync itself resolves them when it starts."""
    texts = {address for file in files if file for node in file.nodes for address in node.links.values()}
    asked = {text: ask("addresses of links", _resolve, text) for text in texts if not corosync.is_address(text)}
    found = {text: addresses[0] for text, answer in asked.items() if (addresses := answer())}

    def of(node: corosync.ConfNode) -> corosync.ConfNode:
        return replace(node, links={number: found.get(text, text) for number, text in node.links.items()})

    return [file and replace(file, nodes=list(map(of, file.nodes))) for file in files]


def _ask_nothing(_name: str, _question: Callable[..., T], *_given: object) -> Callable[[], T | None]:
    return _nothing


def _nothing() -> None:
    return None


def _said(machine: ThisMachine, argv: list[str], timeout_s: float = ASK_S) -> str:
    """What a program printed, however it ended: but one that did not end said nothing that counts.

    Raises:
        StepError: command-timeout.
    """
    result = machine.run(argv, timeout_s=timeout_s)
    if result.timed_out:
        raise StepError("command-timeout", f"`{' '.join(argv[:3])}` did not end", observed=f"after {timeout_s:g} s")
    return result.out


def how_mounted(machine: ThisMachine) -> str:
    """Whether /etc/pve is "mounted", "absent", or "hangs"."""
    mounts = (machine.read("/proc/self/mounts") or "").splitlines()
    if not any(line.split()[1:2] == ["/etc/pve"] for line in mounts):
        return "absent"
    answer = machine.run(membership.PVE_ANSWERS, timeout_s=ASK_S)
    return "hangs" if answer.timed_out else "absent" if answer.code else "mounted"


def _is_writable(machine: ThisMachine) -> bool:
    """Without quorum, pmxcfs takes the owner's right to write away from everything."""
    mode = _said(machine, ["stat", "-c", "%a", "/etc/pve"]).strip()
    return mode.isdigit() and bool(int(mode, 8) & 0o200)


def _version(machine: ThisMachine) -> str:
    found = pve.parse_version(_said(machine, list(pve.ASK_VERSION)))
    return found.manager if found else ""


def _resolve(machine: ThisMachine, name: str) -> list[str]:
    return network.parse_resolved(_said(machine, network.ask_for(name)))


def _cores(machine: ThisMachine) -> int:
    return len(CPUS.findall(machine.read("/proc/cpuinfo") or ""))


def _services(machine: ThisMachine) -> dict[str, str]:
    return {name: unit.active for name, unit in systemd.units(machine, SERVICES, timeout_s=ASK_S).items()}


def _watchdog(machine: ThisMachine) -> Watchdog:
    return Watchdog(*map(machine.exists, WATCHDOG))


def _read_only(machine: ThisMachine) -> list[str]:
    return parse_read_only(machine.read("/proc/self/mounts") or "")


def pmxcfs_mode(machine: ThisMachine) -> str:
    """How pmxcfs runs: as :func:`parse_pmxcfs` says."""
    return parse_pmxcfs(_said(machine, ["pgrep", "-a", "-x", "pmxcfs"]))


def _spaces(machine: ThisMachine) -> list[Space]:
    columns = "--output=target,size,avail,itotal,iavail"
    there = [path for path in SPACES if machine.exists(path)]
    return parse_space(_said(machine, ["df", "-k", columns, *there]))


def _quorum(machine: ThisMachine) -> corosync.Quorum | None:
    return corosync.parse_quorum(_said(machine, ["corosync-quorumtool", "-siH"]))


def _links(machine: ThisMachine) -> list[corosync.PeerLink]:
    return corosync.parse_links(_said(machine, ["corosync-cfgtool", "-s"]))


def _loaded(machine: ThisMachine) -> int | None:
    return parse_loaded(_said(machine, ["corosync-cmapctl", "-g", "totem.config_version"]))


def _cards(machine: ThisMachine) -> list[Card]:
    return [
        Card(one.name, [address.partition("/")[0] for address in one.addresses], one.mtu, one.up)
        for one in network.interfaces(machine, timeout_s=ASK_S)
        if one.addresses and one.name != "lo"
    ]


def _served(machine: ThisMachine, addresses: list[str]) -> str | None:
    """What the API presents: at the loopback, or where /etc/default/pveproxy closes that, at an own address."""
    deadline = machine.monotonic() + ASK_S
    for address in (LOOPBACK, *addresses):
        if shown := machine.served_certificate(API_PORT, address):
            return membership.fingerprint(shown)
        if machine.monotonic() >= deadline:
            break
    return None


def _certificate(machine: ThisMachine, node: str) -> Certificate | None:
    """The certificate that the API is to present: an own one has precedence over Proxmox' generated one."""
    for name in (BROUGHT, GENERATED):
        path = f"/etc/pve/nodes/{node}/{name}"
        text = machine.read(path)
        if text is not None:
            return Certificate(
                path, membership.fingerprint(text), _end(machine, text), _end(machine, machine.read(AUTHORITY) or "")
            )
    return None


def _end(machine: ThisMachine, pem: str) -> float | None:
    return parse_end(machine.run(["openssl", "x509", "-noout", "-enddate"], stdin=pem, timeout_s=ASK_S).out)


def _signed(machine: ThisMachine, node: str) -> bool | None:
    """Whether the cluster's authority has signed the node's certificate; None: it is an own one, or there is none.

    Raises:
        StepError: command-failed: openssl says neither.
    """
    directory = f"/etc/pve/nodes/{node}"
    names = machine.names(directory)
    if BROUGHT in names or GENERATED not in names:
        return None
    argv = ["openssl", "verify", "-no_check_time", "-CAfile", AUTHORITY, f"{directory}/{GENERATED}"]
    result = machine.run(argv, timeout_s=ASK_S)
    if result.code not in (0, NOT_VERIFIED):
        raise StepError("command-failed", "`openssl verify` failed", observed=f"exit {result.code}: {result.text}")
    return result.code == 0


def _ha(machine: ThisMachine, now: float) -> HaFiles:
    nodes = machine.names("/etc/pve/nodes")
    agents = {node: machine.read(f"/etc/pve/nodes/{node}/lrm_status") or "" for node in nodes}
    resources = machine.read("/etc/pve/ha/resources.cfg") or ""
    return ha_files(resources, machine.read("/etc/pve/ha/manager_status") or "", agents, now)


def _online(machine: ThisMachine) -> list[str]:
    return parse_online(machine.read("/etc/pve/.members") or "")


def _certified(machine: ThisMachine) -> list[str]:
    nodes = machine.names("/etc/pve/nodes")
    return [node for node in nodes if "pve-ssl.pem" in machine.names(f"/etc/pve/nodes/{node}")]


def _storages(machine: ThisMachine) -> dict[str, Datastore]:
    text = _said(machine, ["pvesm", "status"], STORAGES_S)
    if not text.startswith("Name"):  # it prints the columns' names even of no storage
        raise StepError("command-failed", "`pvesm status` printed no list")
    return parse_storages(text)


def _read(machine: ThisMachine, path: str) -> str | None:
    return machine.read(path)


def _digest(machine: ThisMachine, path: str) -> str | None:
    """The digest of a secret that is as long as it is random: it tells nothing of it."""
    text = machine.read(path)
    return None if text is None else hashlib.sha256(text.encode(*UTF_8)).hexdigest()


def memory_mib(machine: ThisMachine) -> int:
    """The machine's memory in MiB; 0 if it is not to be found out."""
    found = MEMORY.search(machine.read("/proc/meminfo") or "")
    return int(found[1]) // 1024 if found else 0


# -- its neighbours ----------------------------------------------------------------------------------------------------

Ping = tuple["Neighbour", "int | None", str, "Card | None", str]  # link, address; over which card, from which address


def _pings(desired: Diagnose, cards: list[Card]) -> list[Ping]:
    """Every neighbour on its management address, and on each link whose own address is up here."""
    found: list[Ping] = [(peer, None, peer.address, None, "") for peer in desired.neighbours]
    by_address = {address: card for card in cards for address in card.addresses}
    own = {link.number: link.address for link in desired.links if link.address in by_address}
    return found + [
        (peer, link.number, link.address, by_address[own[link.number]], own[link.number])
        for peer in desired.neighbours
        for link in peer.links
        if link.number in own
    ]


def _reach(machine: ThisMachine, ping: Ping) -> Reached:
    peer, link, address, card, own = ping
    if card is None:
        return Reached(peer.name, link, address, _answers(machine, ["-s", str(SMALL)], address))
    over = ["-M", "do", "-s", str(card.mtu - HEADERS), "-I", own]
    if _answers(machine, over, address):
        return Reached(peer.name, link, address, small=True, large=True)
    small = _answers(machine, ["-M", "do", "-s", str(SMALL), "-I", own], address)
    # A packet that got lost once is no sign of a size that does not pass.
    large = small and _answers(machine, over, address)
    return Reached(peer.name, link, address, small, large)


def _answers(machine: ThisMachine, how: list[str], address: str) -> bool:
    argv = ["ping", "-n", "-q", "-c", "1", "-W", "1", *how, address]
    answers, _average = parse_ping(machine.run(argv, timeout_s=ASK_S).out)
    return bool(answers)


def facts(seen: DiagnosisReport, _desired: Diagnose) -> dict[str, Any]:
    """All that was seen."""
    return document(seen)


def unchanged(seen: DiagnosisReport, _desired: Diagnose) -> str:
    """Say what was found."""
    return f"{seen.node}: /etc/pve is {seen.pve}, corosync {seen.services.get('corosync', 'unknown')}"


STEP = Step(Diagnose, observe, decide_nothing, act_never, facts, unchanged, lock="none")
