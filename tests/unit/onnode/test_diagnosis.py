"""What one machine shows of itself: a healthy member, a machine that is none, and one on which everything hangs."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

import pytest

from onnode.cluster import diagnosis
from onnode.contract.diagnosis import Datastore, Diagnose, DiagnosisReport, Neighbour
from onnode.contract.documents import document
from onnode.contract.links import ClusterLink
from onnode.system.machine import NOT_FOUND, TIMED_OUT, Result
from tests.support.fake_machine import hangs
from tests.unit.onnode.test_cluster import AUTHKEY, LOCAL_CONF, PVE_CONF, conf, pem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.support.fake_machine import FakeMachine

LINKS = [ClusterLink(0, "10.10.1.186"), ClusterLink(1, "10.20.1.186")]
ASKED = Diagnose(
    [Neighbour("proxmox01", "192.168.0.185", [ClusterLink(0, "10.10.1.185"), ClusterLink(1, "10.20.1.185")])], LINKS
)
OWN = "/etc/pve/nodes/proxmox02/pve-ssl.pem"
FILES = {
    "/proc/sys/kernel/hostname": "proxmox02\n",
    "/proc/self/mounts": "/dev/fuse /etc/pve fuse rw 0 0\n",
    "/proc/cpuinfo": "processor\t: 0\nprocessor\t: 1\n",
    "/proc/meminfo": "MemTotal:       16384000 kB\n",
    LOCAL_CONF: conf(1, 2),
    PVE_CONF: conf(1, 2),
    AUTHKEY: "a key that nobody may see",
    OWN: pem("own"),
    "/etc/pve/pve-root-ca.pem": pem("authority"),
    "/etc/pve/nodes/proxmox01/lrm_status": '{"timestamp": 999990, "mode": "active"}',
    "/etc/pve/nodes/proxmox02/lrm_status": "not JSON",
    "/etc/pve/nodes/proxmox02/qemu-server/200.conf": "",
    "/etc/pve/ha/resources.cfg": "vm: 200\n\tstate started\n",
    "/etc/pve/ha/manager_status": json.dumps(
        {"master_node": "proxmox01", "timestamp": 999995, "service_status": {"vm:200": {"state": "started"}}}
    ),
    "/etc/pve/.members": '{"nodelist": {"proxmox01": {"online": 0}, "proxmox02": {"online": 1}}}',
    "/dev/watchdog": "",
}
ADDRESSES = json.dumps(
    [
        {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}]},
        {
            "ifname": "eth1",
            "mtu": 1500,
            "flags": ["UP", "LOWER_UP"],
            "addr_info": [{"family": "inet", "local": "10.10.1.186", "prefixlen": 24}],
        },
    ]
)
UNITS = "\n\n".join(f"ActiveState={state}\nUnitFileState=enabled" for state in ["active"] * 7 + ["failed"]) + "\n"
SAID = {
    "stat": lambda arguments, _stdin: "755\n" if arguments[0] == "-c" else "",
    "getent": "192.168.0.186  STREAM proxmox02\n",
    "dpkg-query": "installed 9.1.2\n",
    "systemctl": UNITS,
    "pgrep": "812 /usr/bin/pmxcfs\n",
    "df": "Mounted on 1K-blocks Avail Inodes IFree\n/ 2097152 1048576 1000 900\n",
    "corosync-quorumtool": "Quorate:          Yes\nExpected votes:   2\nTotal votes:      2\nQuorum:           2\n"
    "0x00000001          1 10.10.1.185\n0x00000002          1 10.10.1.186 (local)\n",
    "corosync-cfgtool": "LINK ID 0 udp\n\tstatus:\n\t\tnodeid:          1:\tconnected\n",
    "corosync-cmapctl": "totem.config_version (u64) = 2\n",
    "ip": ADDRESSES,
    "pvesm": "Name Type Status Total Used Available %\nlocal dir active 4096 1024 3072 25.00%\n",
    "openssl": lambda arguments, _stdin: "" if arguments[0] == "verify" else "notAfter=Nov 28 12:00:00 2028 GMT\n",
}


@pytest.fixture
def member(machine: FakeMachine) -> FakeMachine:
    for path, text in FILES.items():
        machine.write(path, text)
    for name, said in SAID.items():
        machine.programs[name] = said if callable(said) else lambda _arguments, _stdin, said=said: said  # type: ignore[misc]
    machine.programs["ping"] = answering("192.168.0.185", "10.10.1.185")
    machine.certificate = pem("own")
    return machine


def answering(*addresses: str, limit: int = 1472) -> Callable[[list[str], str], str]:
    def ping(arguments: list[str], _stdin: str) -> str:
        passes = arguments[-1] in addresses and int(arguments[arguments.index("-s") + 1]) <= limit
        return f"1 packets transmitted, {int(passes)} received\n"

    return ping


def look(machine: FakeMachine) -> DiagnosisReport:
    seen = diagnosis.observe(machine, ASKED)
    assert diagnosis.STEP.decide(seen, ASKED) == []
    json.dumps(document(seen))
    return seen


def test_a_member_shows_everything(member: FakeMachine) -> None:
    seen = look(member)
    assert (seen.node, seen.resolves, seen.version) == ("proxmox02", ["192.168.0.186"], "9.1.2")
    assert (seen.cores, seen.memory_mib, seen.guests) == (2, 16000, 1)
    assert (seen.pve, seen.pve_writable, seen.pmxcfs, seen.loaded) == ("mounted", True, "cluster", 2)
    assert (seen.online, seen.certified) == (["proxmox02"], ["proxmox02"])
    assert seen.local is not None
    assert seen.local == seen.shared
    assert ([node.name for node in seen.local.nodes], seen.local.faults) == (["proxmox01", "proxmox02"], [])
    assert seen.quorum is not None
    assert seen.quorum.quorate
    assert seen.services["watchdog-mux"] == "failed"
    assert seen.watchdog is not None
    assert (seen.watchdog.device, seen.watchdog.socket) == (True, False)
    assert seen.certificate is not None
    assert (seen.certificate.path, seen.certificate.ends, seen.certificate.signed) == (OWN, 1859025600.0, True)
    assert seen.certificate.served == seen.certificate.fingerprint
    assert seen.ha is not None
    assert (seen.ha.resources, seen.ha.master, seen.ha.master_age_s) == (1, "proxmox01", 5.0)
    assert seen.ha.agent_ages_s == {"proxmox01": 10.0}
    assert seen.storages == {"local": Datastore("dir", "active", 3)}
    assert [(card.name, card.addresses) for card in seen.cards] == [("eth1", ["10.10.1.186"])]
    assert (seen.unanswered, seen.read_only) == ([], [])


def test_the_key_itself_is_not_told(member: FakeMachine) -> None:
    seen = look(member)
    assert seen.authkey is not None
    assert FILES[AUTHKEY] not in json.dumps(document(seen))
    member.write(AUTHKEY, "another key")
    assert look(member).authkey != seen.authkey


def test_neighbours_are_tried_where_an_address_is_up_here(member: FakeMachine) -> None:
    tried = {(one.name, one.link): (one.small, one.large) for one in look(member).reached}
    assert tried == {("proxmox01", None): (True, None), ("proxmox01", 0): (True, True)}
    member.programs["ping"] = answering("10.10.1.185", limit=1000)
    tried = {(one.name, one.link): (one.small, one.large) for one in look(member).reached}
    assert tried == {("proxmox01", None): (False, None), ("proxmox01", 0): (True, False)}


def test_nothing_is_written(member: FakeMachine, tmp_path: Path) -> None:
    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    before = files()
    look(member)
    assert files() == before
    programs = {command.split()[0] for command in member.commands}
    assert programs <= {*SAID, "ping"}, "nothing else is called"


def test_without_quorum_it_is_seen_by_the_mode(member: FakeMachine) -> None:
    member.programs["stat"] = lambda arguments, _stdin: "555\n" if arguments[0] == "-c" else ""
    assert not look(member).pve_writable


def test_a_hung_pve_is_asked_for_nothing_else(member: FakeMachine) -> None:
    member.programs["stat"] = hangs
    seen = look(member)
    assert (seen.pve, seen.pve_writable, seen.shared, seen.certificate, seen.ha) == ("hangs", False, None, None, None)
    assert seen.local is not None, "what is beside /etc/pve is seen"
    assert member.ran("pvesm") == []


def test_all_that_can_hang_hangs(member: FakeMachine) -> None:
    for name in member.programs:
        member.programs[name] = hangs
    seen = look(member)
    assert (seen.node, seen.pve, seen.services, seen.quorum) == ("proxmox02", "hangs", {}, None)
    assert {"cards", "links", "loaded", "pmxcfs", "quorum", "resolves", "services", "spaces", "version"} == set(
        seen.unanswered
    )


def test_a_machine_without_proxmox(machine: FakeMachine) -> None:
    machine.write("/proc/sys/kernel/hostname", "plain\n")
    seen = look(machine)
    assert (seen.node, seen.version, seen.pve, seen.local, seen.authkey) == ("plain", "", "absent", None, None)


def test_a_certificate_that_users_brought_is_not_compared_with_the_authority(member: FakeMachine) -> None:
    member.write("/etc/pve/nodes/proxmox02/pveproxy-ssl.pem", pem("brought"))
    member.programs["openssl"] = lambda arguments, _stdin: (
        Result(tuple(arguments), 2) if arguments[0] == "verify" else "notAfter=Nov 28 12:00:00 2028 GMT\n"
    )
    seen = look(member).certificate
    assert seen is not None
    assert (seen.path.rpartition("/")[2], seen.signed) == ("pveproxy-ssl.pem", None)
    member.remove("/etc/pve/nodes/proxmox02/pveproxy-ssl.pem")
    own = look(member).certificate
    assert own is not None
    assert own.signed is False


@pytest.mark.parametrize(
    ("program", "question"),
    [
        ("corosync-quorumtool", "quorum"),
        ("corosync-cfgtool", "links"),
        ("corosync-cmapctl", "loaded"),
        ("systemctl", "services"),
        ("dpkg-query", "version"),
        ("getent", "resolves"),
        ("pgrep", "pmxcfs"),
        ("df", "spaces"),
        ("ip", "cards"),
        ("pvesm", "storages"),
    ],
)
def test_a_question_without_an_answer_is_told_from_an_answer(member: FakeMachine, program: str, question: str) -> None:
    member.programs[program] = hangs
    assert look(member).unanswered == [question]


def test_a_corosync_that_does_not_run_is_an_answer(member: FakeMachine) -> None:
    for program in ("corosync-quorumtool", "corosync-cfgtool", "corosync-cmapctl"):
        member.programs[program] = lambda _arguments, _stdin: 1
    seen = look(member)
    assert (seen.quorum, seen.links, seen.loaded, seen.unanswered) == (None, [], None, [])


@pytest.mark.parametrize("code", [1, NOT_FOUND, TIMED_OUT])
def test_an_openssl_that_does_not_judge_says_nothing_of_a_certificate(member: FakeMachine, code: int) -> None:
    member.programs["openssl"] = lambda arguments, _stdin: (
        Result(tuple(arguments), code) if arguments[0] == "verify" else "notAfter=Nov 28 12:00:00 2028 GMT\n"
    )
    seen = look(member)
    assert seen.certificate is not None
    assert (seen.certificate.signed, seen.unanswered) == (None, ["signed"])


def test_a_list_of_storages_without_its_head_is_none(member: FakeMachine) -> None:
    member.programs["pvesm"] = lambda _arguments, _stdin: "ipcc_send_rec[1] failed: Connection refused\n"
    assert (look(member).storages, look(member).unanswered) == (None, ["storages"])
    member.programs["pvesm"] = lambda _arguments, _stdin: "Name Type Status Total (KiB) Used (KiB) Available (KiB) %\n"
    assert (look(member).storages, look(member).unanswered) == ({}, [])


def test_storages_are_made_ready_only_where_pvestatd_does_that_anyway(member: FakeMachine) -> None:
    look(member)
    assert member.ran("pvesm") == ["pvesm status"]
    member.commands.clear()
    down = diagnosis.SERVICES.index("pvestatd")
    states = ["inactive" if number == down else "active" for number in range(len(diagnosis.SERVICES))]
    member.programs["systemctl"] = lambda _arguments, _stdin: (
        "\n\n".join(f"ActiveState={state}\nUnitFileState=enabled" for state in states) + "\n"
    )
    seen = look(member)
    assert (seen.storages, seen.unanswered, member.ran("pvesm")) == (None, [], [])


def test_one_question_that_breaks_does_not_end_the_look(member: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_arguments: list[str], _stdin: str) -> str:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    member.programs["pgrep"] = refused
    read = member.read

    def broken(path: str) -> str | None:
        if path in (LOCAL_CONF, AUTHKEY):
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    monkeypatch.setattr(member, "read", broken)
    seen = look(member)
    assert seen.unanswered == ["authkey", "local", "pmxcfs"]
    assert (seen.local, seen.shared is None) == (None, False)


@pytest.mark.parametrize("text", ['{"nodelist":{"a":1}}', '{"nodelist":[1]}', "[]", "no JSON"])
def test_members_in_another_form_are_none(text: str) -> None:
    assert diagnosis.parse_online(text) == []
    assert diagnosis.parse_online('{"nodelist":{"a":{"online":1}}}') == ["a"]


def test_names_in_corosync_conf_are_resolved_as_corosync_does(member: FakeMachine) -> None:
    text = conf(1, 2).replace("10.10.1.186", "proxmox02")
    assert text != conf(1, 2)
    member.write(LOCAL_CONF, text)
    member.programs["getent"] = lambda arguments, _stdin: (
        "10.10.1.186  STREAM proxmox02\n" if arguments[-1] == "proxmox02" else ""
    )
    seen = look(member)
    assert seen.local is not None
    assert seen.shared is not None
    assert seen.local.nodes == seen.shared.nodes
    assert seen.local.digest != seen.shared.digest, "the file itself is another one"


def test_the_transport_is_seen(member: FakeMachine) -> None:
    assert getattr(look(member).local, "transport", "") == "knet"
    member.write(LOCAL_CONF, conf(1, 2).replace("totem {", "totem {\n  transport: udpu"))
    assert getattr(look(member).local, "transport", "") == "udpu"


def test_an_api_that_does_not_listen_on_the_loopback_is_asked_at_its_address(member: FakeMachine) -> None:
    member.api_at = {"10.10.1.186"}
    seen = look(member).certificate
    assert seen is not None
    assert seen.served == seen.fingerprint
    member.api_at = set()
    silent = look(member).certificate
    assert silent is not None
    assert silent.served is None


@pytest.mark.parametrize(
    ("mounts", "shown"),
    [
        ("/dev/sda1 / ext4 rw,relatime 0 0\n", []),
        ("/dev/sda1 / ext4 ro,relatime,errors=remount-ro 0 0\n", ["/"]),
        ("/dev/sda1 / ext4 rw,errors=remount-ro 0 0\n/dev/sdb /var/log ext4 ro 0 0\n", ["/var/log"]),
        ("/dev/sda1 / ext4 rw 0 0\n/dev/sr0 /mnt iso9660 ro 0 0\n", []),
        ("overlay / overlay ro 0 0\n/dev/sda1 / ext4 rw 0 0\n", []),
    ],
)
def test_a_file_system_that_takes_no_writes_is_seen(mounts: str, shown: list[str]) -> None:
    assert diagnosis.parse_read_only(mounts) == shown


def test_no_question_takes_as_long_as_the_look_may(member: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    run, bounds = member.run, {}

    def timed(argv: Sequence[str], *, stdin: str = "", timeout_s: float = 60.0) -> Result:
        bounds[argv[0]] = timeout_s
        return run(argv, stdin=stdin, timeout_s=timeout_s)

    monkeypatch.setattr(member, "run", timed)
    look(member)
    assert {"dpkg-query", "systemctl", "ip", "getent"} <= set(bounds)
    assert bounds.pop("pvesm") == diagnosis.STORAGES_S
    assert set(bounds.values()) == {diagnosis.ASK_S}
