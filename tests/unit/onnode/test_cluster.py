"""Creating a cluster and joining one, against tools that exit 0 on failure and wait without bound, as Proxmox' do."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from onnode.cluster import (
    api_user,
    cluster_health,
    create_cluster,
    join_cluster,
    link_preflight,
    membership,
    storage,
    storage_remove,
)
from onnode.cluster.corosync import ConfNode
from onnode.cluster.role import OWN_ROLE
from onnode.contract.formation import ApiUser, CreateCluster, JoinCluster, Storage
from onnode.contract.links import ClusterLink, LinkPeer, LinkPreflight, PreflightLink
from onnode.errors import StepError
from onnode.system.machine import Result
from tests.support.corosync_conf import corosync_conf
from tests.support.fake_machine import hangs
from tests.support.onnode_worlds import Apt, Systemd, interfaces, run, twice

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fake_machine import FakeMachine

DB = "/var/lib/pve-cluster/config.db"
LOCAL_CONF = "/etc/corosync/corosync.conf"
PVE_CONF = "/etc/pve/corosync.conf"
AUTHKEY = "/etc/corosync/authkey"
JOINED = "successfully added node 'proxmox02' to cluster.\n"

JOIN = JoinCluster(
    cluster="proxmox",
    node="proxmox02",
    node_id=2,
    votes=1,
    seed_address="192.168.0.185",
    seed_fingerprint="AA:BB",
    root_password="root-secret",
    links=[ClusterLink(0, "10.10.1.186"), ClusterLink(1, "10.20.1.186")],
    listed=False,
)
CREATE = CreateCluster(
    cluster="proxmox",
    node="proxmox02",
    node_id=2,
    votes=1,
    links=[ClusterLink(0, "10.10.1.186", 20), ClusterLink(1, "10.20.1.186", 10)],
)


def pem(content: str) -> str:
    body = base64.b64encode(content.encode()).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def conf(*nodes: int) -> str:
    listed = [
        ConfNode(f"proxmox0{node}", node, 1, {0: f"10.10.1.{184 + node}", 1: f"10.20.1.{184 + node}"}) for node in nodes
    ]
    return corosync_conf("proxmox", len(nodes), listed, {0: 20, 1: 10})


class Workers:
    """The workers of pveproxy: those of before a reload answer for 5 s more, by turns with the new ones."""

    MAIN = 700

    def __init__(self, machine: FakeMachine, joiner: Joiner) -> None:
        self._machine, self._joiner = machine, joiner
        self._old: list[tuple[float, str]] = []  # until when, and what they present
        self._new = machine.certificate or ""
        self._turn = 0
        self.reloads = 0
        joiner.present = self.reload  # type: ignore[method-assign]
        machine.served_certificate = self.served  # type: ignore[assignment,method-assign]
        self._systemctl = machine.programs["systemctl"]
        machine.programs["systemctl"] = self.systemctl
        self._list()

    def systemctl(self, arguments: list[str], stdin: str) -> str | int | Result:
        if "--property=MainPID" in arguments:
            return self._main()
        if arguments == ["restart", "pveproxy"]:
            self.reload()
            self._old.clear()
            return ""
        return self._systemctl(arguments, stdin)

    def _main(self) -> str:
        self._list()
        return f"{self.MAIN}\n"

    def present(self, name: str) -> None:
        self._new = pem(name)

    def reload(self) -> None:
        self.reloads += 1
        self._old.append((self._machine.seconds + 5, self._new))
        self._new = self._machine.read("/etc/pve/nodes/proxmox02/pve-ssl.pem") or ""
        self._list()

    @property
    def certificates(self) -> list[str]:
        """All that may be answered with at this moment."""
        self._list()
        return [*(pem for _, pem in self._old), self._new]

    def served(self, port: int) -> str:
        assert port == 8006
        self._turn += 1
        there = self.certificates
        return there[-1 if self._turn % 2 else 0]

    def _list(self) -> None:
        self._old = [(until, pem) for until, pem in self._old if until > self._machine.seconds]
        count = self.reloads + 1
        pids = range(count - len(self._old), count + 1)
        children = f"/proc/{self.MAIN}/task/{self.MAIN}/children"
        self._machine.write(children, "".join(f"{self.MAIN + pid} " for pid in pids))


class Joiner:
    """proxmox02, and the cluster of proxmox01 as far as proxmox02 sees it.

    `pvecm add` works in the stages of the reference and can be cut off after any; `stops_after` names it.
    """

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.systemd = Systemd(machine, pve_cluster="active")
        self.reachable = True
        self.broken_links: set[int] = set()
        self.stops_after = ""
        self.said = ""
        self.conf = conf(1, 2)
        self.local_mode = False
        self.certificates = 0
        machine.write("/proc/sys/kernel/hostname", "proxmox02\n")
        machine.write(DB, "own")
        interfaces(
            machine,
            {"name": "vmbr0", "address": "192.168.0.186/24"},
            {"name": "nic1", "address": "10.10.1.186/24"},
            {"name": "nic2", "address": "10.20.1.186/24"},
        )
        hooks = self.systemd.hooks
        hooks |= {"start pve-cluster": self.mount, "stop pve-cluster": self.unmount}
        hooks |= {"start corosync": self.start_corosync, "start pveproxy": self.present}
        hooks["stop nested-pve-ha-pmxcfs"] = self.unmount
        machine.programs |= {
            "corosync-quorumtool": self.quorumtool,
            "corosync-cfgtool": self.cfgtool,
            "stat": lambda *_: "",
            "sh": lambda *_: 0 if self.writable else 1,
            "rm": self.rm,
            "pvecm": self.pvecm,
            "systemd-run": self.pmxcfs,
            "getent": lambda *_: "192.168.0.186 STREAM proxmox02\n",
            "install": self.install,
            "dpkg-query": lambda *_: "installed 9.1.1\n",
        }
        self.mount()
        self.updatecerts()
        self.present()

    @property
    def quorate(self) -> bool:
        return self.systemd.units.get("corosync") == "active" and self.reachable

    @property
    def writable(self) -> bool:
        shared = self.machine.read(DB) == "cluster" and not self.local_mode
        return "/etc/pve" in (self.machine.read("/proc/self/mounts") or "") and (not shared or self.quorate)

    def mount(self) -> None:
        if self.machine.read(DB) is None:
            self.machine.write(DB, "cluster" if self.machine.exists(LOCAL_CONF) else "own")
        if self.machine.read(DB) == "cluster":
            self.machine.write(PVE_CONF, self.conf)
            self.machine.write(LOCAL_CONF, self.conf)
        self.machine.write("/proc/self/mounts", "/dev/fuse /etc/pve fuse rw 0 0\n")
        self.systemd.units["pve-cluster"] = "active"

    def unmount(self) -> None:
        self.machine.write("/proc/self/mounts", "")
        self.machine.remove(PVE_CONF)
        self.local_mode = False

    def pmxcfs(self, arguments: list[str], _stdin: str) -> str:
        assert arguments[-3:] == ["pmxcfs", "-l", "-f"]
        assert self.systemd.units["pve-cluster"] == "inactive", "two pmxcfs at once"
        self.mount()
        self.local_mode = True
        return ""

    def rm(self, arguments: list[str], _stdin: str) -> int:
        assert self.writable
        for path in arguments[1:]:
            self.machine.remove(path)
        if PVE_CONF in arguments:
            self.machine.write(DB, "own")
        return 0

    def install(self, arguments: list[str], _stdin: str) -> int:
        source, target = arguments[-2:]
        self.machine.write(target.removeprefix(str(self.machine.path("/"))), open(source).read())  # noqa: PTH123, SIM115
        return 0

    def start_corosync(self) -> None:
        if not (self.machine.exists(LOCAL_CONF) and self.machine.exists(AUTHKEY)):
            self.systemd.units["corosync"] = "inactive"

    def present(self) -> None:
        self.machine.certificate = self.machine.read("/etc/pve/nodes/proxmox02/pve-ssl.pem")

    def updatecerts(self) -> None:
        self.certificates += 1
        self.machine.write("/etc/pve/nodes/proxmox02/pve-ssl.pem", pem(f"certificate {self.certificates}"))

    def quorumtool(self, _arguments: list[str], _stdin: str) -> str | Result:
        if self.systemd.units.get("corosync") != "active":
            return Result(("corosync-quorumtool",), 1, err="Cannot initialize QUORUM service")
        voters = [1, 2] if self.reachable and "proxmox01" in self.conf else [2]
        total = self.conf.count("nodeid")
        rows = "".join(f"0x0000000{node}          1 10.10.1.{184 + node}\n" for node in voters)
        return (
            f"Quorate:          {'Yes' if len(voters) > total / 2 else 'No'}\nExpected votes:   {total}\n"
            f"Total votes:      {len(voters)}\nQuorum:           {total // 2 + 1} \n{rows}"
        )

    def cfgtool(self, _arguments: list[str], _stdin: str) -> str:
        def state(link: int) -> str:
            return "connected" if self.reachable and link not in self.broken_links else "disconnected"

        if "proxmox01" not in self.conf:
            return "LINK ID 0 udp\n\tstatus:\n\t\tnodeid:          2:\tlocalhost\n"
        return "".join(
            f"LINK ID {link} udp\n\tstatus:\n\t\tnodeid:          1:\t{state(link)}\n\t\tnodeid:  2:\tlocalhost\n"
            for link in (0, 1)
        )

    def pvecm(self, arguments: list[str], stdin: str) -> str | Result:
        match arguments[0]:
            case "updatecerts":
                if "--force" in arguments or not self.machine.read("/etc/pve/nodes/proxmox02/pve-ssl.pem"):
                    self.updatecerts()
                return ""
            case "add":
                assert stdin == "root-secret\n"
                return self.add()
            case _:
                return self.create()

    def add(self) -> str | Result:
        if self.machine.exists(AUTHKEY):
            return (
                "detected the following error(s):\n* authentication key '/etc/corosync/authkey' already exists\n"
                "Check if node may join a cluster failed!\n"
            )
        stages: list[tuple[str, Callable[[], None]]] = [
            ("asked", lambda: None),
            ("key written", lambda: self.machine.write(AUTHKEY, "key")),
            ("conf written", lambda: self.machine.write(LOCAL_CONF, self.conf)),
            ("pmxcfs stopped", self.stop_pmxcfs),
            ("database gone", self.drop_database),
            ("started", self.start_both),
            ("certificates", self.updatecerts),
            ("done", self.present),
        ]
        for stage, work in stages:
            work()
            if stage == "started" and not self.quorate:
                self.machine.seconds += 180
                return Result(("pvecm",), 124, "waiting for quorum...")
            if stage == self.stops_after:
                return self.said
        return JOINED

    def create(self) -> str:
        if self.said:
            return self.said
        self.conf = conf(2)
        self.machine.write(AUTHKEY, "key")
        self.machine.write(PVE_CONF, self.conf)
        self.machine.write(DB, "cluster")
        if self.stops_after != "written":
            self.start_both()
        return "Writing corosync config to /etc/pve/corosync.conf\nRestart corosync and cluster filesystem\n"

    def stop_pmxcfs(self) -> None:
        self.systemd.systemctl(["stop", "pve-cluster"], "")

    def drop_database(self) -> None:
        self.machine.remove(DB)
        self.machine.remove("/etc/pve/nodes/proxmox02/pve-ssl.pem")

    def start_both(self) -> None:
        self.systemd.systemctl(["start", "pve-cluster", "corosync"], "")


@pytest.fixture
def joiner(machine: FakeMachine) -> Joiner:
    return Joiner(machine)


class TestJoinCluster:
    @pytest.mark.usefixtures("joiner")
    def test_joined_and_seen_to_be(self, machine: FakeMachine) -> None:
        outcome = run(machine, join_cluster.STEP, JOIN)
        assert outcome.changed
        assert outcome.facts["state"] == "member"
        assert outcome.facts["quorate"]
        again = run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True))
        assert not again.changed
        assert machine.notes[-1] == "unchanged: proxmox02 is a quorate member of cluster proxmox, all links connected"

    @pytest.mark.parametrize("seen_as", ["absent", "half"])
    def test_a_join_that_an_earlier_run_began_is_waited_for_and_no_second_one_begun(
        self, machine: FakeMachine, joiner: Joiner, monkeypatch: pytest.MonkeyPatch, seen_as: str
    ) -> None:
        """Its step was killed, and `pvecm add` runs on. Meanwhile the node looks like one that has yet to join, or was left half way."""
        if seen_as == "half":
            machine.write(AUTHKEY, "key")
        machine.write("/proc/771/cmdline", "/usr/bin/perl\0-T\0/usr/bin/pvecm\0add\x00192.168.0.185\0")

        def it_ends(_seconds: float) -> None:
            machine.remove("/proc/771/cmdline")
            machine.remove(AUTHKEY)
            joiner.add()

        monkeypatch.setattr(machine, "sleep", it_ends)
        outcome = run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=False))
        assert outcome.facts["state"] == "member"
        assert machine.ran("pvecm add") == []
        assert "waiting for the end of `pvecm add` (process 771)" in machine.notes[0]

    def test_one_that_failed_is_begun_again(
        self, machine: FakeMachine, joiner: Joiner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine.write("/proc/771/cmdline", "python3\0-m\0tools.pvecm\0add\x00192.168.0.185\0")
        sleep = machine.sleep

        def it_ends(seconds: float) -> None:
            machine.remove("/proc/771/cmdline")
            sleep(seconds)

        monkeypatch.setattr(machine, "sleep", it_ends)
        assert run(machine, join_cluster.STEP, JOIN).facts["quorate"]
        assert len(machine.ran("pvecm add")) == 1
        assert joiner.quorate

    @pytest.mark.parametrize("step", [(join_cluster.STEP, JOIN), (create_cluster.STEP, CREATE)])
    @pytest.mark.usefixtures("joiner")
    def test_one_that_does_not_end_is_named(
        self,
        machine: FakeMachine,
        step: tuple[Any, Any],
    ) -> None:
        machine.write("/proc/771/cmdline", "/usr/bin/perl\0-T\0/usr/bin/pvecm\0create\0proxmox\0")
        with pytest.raises(StepError) as refused:
            run(machine, *step)
        assert refused.value.code == "join-running"
        assert "`pvecm create` (process 771), for more than" in refused.value.observed
        assert machine.ran("pvecm") == []

    @pytest.mark.parametrize("other", ["pvecm\0status\0", "vi\0pvecm add\0", "/opt/mypvecm\0add\0"])
    @pytest.mark.usefixtures("joiner")
    def test_other_programs_hold_up_no_join(self, machine: FakeMachine, other: str) -> None:
        machine.write("/proc/771/cmdline", other)
        assert run(machine, join_cluster.STEP, JOIN).changed

    @pytest.mark.usefixtures("joiner")
    def test_the_password_is_nowhere_but_on_standard_input(self, machine: FakeMachine) -> None:
        run(machine, join_cluster.STEP, JOIN)
        assert machine.ran("pvecm add") == [
            "pvecm add 192.168.0.185 --fingerprint AA:BB --nodeid 2 --votes 1 --link0 10.10.1.186 --link1 10.20.1.186"
        ]
        assert machine.stdins == {machine.ran("pvecm add")[0]: "root-secret\n"}

    def test_the_administrator_can_log_in_while_pve_is_away(self, machine: FakeMachine, joiner: Joiner) -> None:
        machine.write("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA pulumi\n")
        joiner.reachable = False
        with pytest.raises(StepError):
            run(machine, join_cluster.STEP, JOIN)
        assert "ssh-ed25519 AAAA pulumi\n" in (machine.read("/root/.ssh/authorized_keys2") or "")
        joiner.reachable = True
        run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True))
        assert machine.read("/root/.ssh/authorized_keys2") is None

    @pytest.mark.usefixtures("joiner")
    def test_the_administrators_own_second_file_of_keys_stays(self, machine: FakeMachine) -> None:
        machine.write("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA pulumi\n")
        machine.write("/root/.ssh/authorized_keys2", "ssh-ed25519 BBBB admin\n")
        run(machine, join_cluster.STEP, JOIN)
        assert machine.read("/root/.ssh/authorized_keys2") == "ssh-ed25519 BBBB admin\n"

    @pytest.mark.parametrize("theirs", [b"ssh-rsa BBBB caf\xe9 without a line end", b"a b\r\n", b""])
    @pytest.mark.parametrize("ends", ["refused", "cut off"])
    def test_a_join_that_fails_leaves_the_second_file_of_keys_byte_for_byte(
        self, machine: FakeMachine, joiner: Joiner, theirs: bytes, ends: str
    ) -> None:
        machine.write("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA pulumi")
        second = machine.path("/root/.ssh/authorized_keys2")
        second.write_bytes(theirs)
        second.chmod(0o640)
        if ends == "refused":
            machine.programs["pvecm"] = lambda *_: Result(("pvecm",), 0, "401 authentication failure")
        else:
            joiner.reachable = False
        with pytest.raises(StepError):
            run(machine, join_cluster.STEP, JOIN)
        if ends == "cut off":
            assert b"ssh-ed25519 AAAA pulumi\n" in second.read_bytes(), "the way in is open meanwhile"
            assert second.read_bytes().endswith(theirs), "and theirs beside it"
            joiner.reachable = True
            run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True))
        assert second.read_bytes() == theirs
        assert second.stat().st_mode & 0o777 == 0o640

    def test_keys_that_the_administrator_adds_while_the_way_in_is_open_stay(
        self, machine: FakeMachine, joiner: Joiner
    ) -> None:
        machine.write("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA pulumi\n")
        joiner.reachable = False
        with pytest.raises(StepError):
            run(machine, join_cluster.STEP, JOIN)
        second = machine.path("/root/.ssh/authorized_keys2")
        second.write_text("ssh-rsa first\n" + second.read_text() + "ssh-rsa last\n")
        joiner.reachable = True
        run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True))
        assert second.read_text() == "ssh-rsa first\nssh-rsa last\n"

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            ("Establishing API connection with host '192.168.0.185'\n401 authentication failure", "join-password"),
            ("fingerprint 'AA:BB' not verified, abort!", "join-fingerprint"),
            ("500 Can't connect to 192.168.0.185:8006 (Connection refused)", "seed-unreachable"),
            ("An error occurred on the cluster node: cluster not ready - no quorum?\nCluster join aborted!", "seed-not-quorate"),
            ("An error occurred on the cluster node: can't add existing node 'proxmox02'", "already-listed"),
            ("can't lock file '/var/lock/pvecm.lock' - got timeout", "join-locked"),
            ("corosync: link 1 exists in cluster config but wasn't specified for new node", "join-links"),
            ("detected the following error(s):\n* corosync is already running, is this node already in a cluster?!\nCheck if node may join a cluster failed!", "node-unclean"),
            ("unable to copy ssh ID: exit code 1", "join-failed"),
        ],
    )  # fmt: skip
    def test_exit_0_without_joining(self, machine: FakeMachine, joiner: Joiner, said: str, code: str) -> None:
        joiner.stops_after, joiner.said = "asked", said
        with pytest.raises(StepError) as failed:
            run(machine, join_cluster.STEP, JOIN)
        assert failed.value.code == code
        assert failed.value.observed.endswith(said.splitlines()[-1])
        joiner.stops_after = ""
        assert run(machine, join_cluster.STEP, JOIN).facts["state"] == "member", "a plain re-run converges"

    @pytest.mark.parametrize("stage", ["conf written", "pmxcfs stopped", "database gone", "started", "certificates"])
    def test_a_join_that_stopped_half_way_is_finished_at_once(
        self, machine: FakeMachine, joiner: Joiner, stage: str
    ) -> None:
        joiner.stops_after, joiner.said = stage, "received interrupt\n"
        outcome = run(machine, join_cluster.STEP, JOIN)
        assert outcome.facts["state"] == "member"
        assert outcome.facts["quorate"]
        assert len(machine.ran("pvecm add")) == 1

    @pytest.mark.parametrize("stage", ["conf written", "pmxcfs stopped", "database gone", "started", "certificates"])
    def test_a_join_that_was_killed_half_way_is_finished_by_the_next_run(
        self, machine: FakeMachine, joiner: Joiner, stage: str
    ) -> None:
        joiner.stops_after = stage
        joiner.add()
        outcome = run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True))
        assert outcome.facts["state"] == "member"
        assert machine.ran("pvecm add") == [], "re-running it on a half-joined node only fails"
        if stage in ("started", "certificates"):
            assert machine.ran("systemctl restart pve-cluster") == [], "it has its configuration already"
        if stage == "conf written":
            backups = machine.names("/var/lib/pve-cluster/backup")
            assert [machine.read(f"/var/lib/pve-cluster/backup/{name}") for name in backups] == ["own"]

    def test_killed_between_key_and_configuration(self, machine: FakeMachine, joiner: Joiner) -> None:
        joiner.stops_after = "key written"
        joiner.add()
        joiner.stops_after = ""
        outcome = run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True))
        assert outcome.facts["state"] == "member"
        assert machine.ran("pvecm add")[0].endswith("--force 1")

    def test_waiting_for_quorum_ends(self, machine: FakeMachine, joiner: Joiner) -> None:
        joiner.reachable = False
        before = machine.monotonic()
        with pytest.raises(StepError) as failed:
            run(machine, join_cluster.STEP, JOIN)
        assert failed.value.code == "no-quorum"
        assert "1 of 2 votes, 2 needed, 1 missing; down or cut off: proxmox01" in failed.value.observed
        assert "link 0 to node 1, link 1 to node 1" in failed.value.observed
        assert "power on proxmox01, or `systemctl start corosync` there" in failed.value.fix
        assert machine.monotonic() - before < 3 * JOIN.timeout_s
        joiner.reachable = True
        outcome = run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True))
        assert outcome.facts["quorate"], "a plain re-run converges"

    def test_a_link_that_was_cut(self, machine: FakeMachine, joiner: Joiner) -> None:
        joiner.broken_links = {1}
        with pytest.raises(StepError) as failed:
            run(machine, join_cluster.STEP, JOIN)
        assert failed.value.code == "link-not-connected"
        assert "link 1 to proxmox01" in failed.value.observed
        with pytest.raises(StepError):
            run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True))
        joiner.broken_links = set()
        assert not run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True)).changed

    def test_a_link_that_needs_a_moment(self, machine: FakeMachine, joiner: Joiner) -> None:
        joiner.broken_links = {1}
        sleep = machine.sleep

        def mend(seconds: float) -> None:
            sleep(seconds)
            joiner.broken_links = set()

        machine.sleep = mend  # type: ignore[method-assign]
        assert run(machine, join_cluster.STEP, JOIN).facts["state"] == "member"

    def test_an_api_with_the_old_certificate(self, machine: FakeMachine, joiner: Joiner) -> None:
        run(machine, join_cluster.STEP, JOIN)
        machine.certificate = pem("of before")
        outcome = run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True))
        assert outcome.changed
        assert machine.certificate == pem(f"certificate {joiner.certificates}")

    def test_no_old_worker_of_the_api_is_left_after_a_join(self, machine: FakeMachine, joiner: Joiner) -> None:
        """A reload keeps them for 5 s beside the new ones, and both answer by turns (seen on PVE 9.2)."""
        workers = Workers(machine, joiner)
        joiner.systemd.hooks["start pveproxy"] = workers.reload
        workers.present("of before")
        began = machine.seconds
        run(machine, join_cluster.STEP, JOIN)
        assert workers.certificates == [pem(f"certificate {joiner.certificates}")]
        assert machine.seconds - began < 5  # as long as they would have lived

    def test_an_api_without_old_workers_is_not_restarted_after_a_join(
        self, machine: FakeMachine, joiner: Joiner
    ) -> None:
        workers = Workers(machine, joiner)

        def restart() -> None:
            workers.systemctl(["restart", "pveproxy"], "")

        joiner.present = restart  # type: ignore[method-assign]
        run(machine, join_cluster.STEP, JOIN)
        assert workers.reloads == 1

    def test_old_workers_are_outlived_after_a_reload_of_our_own(self, machine: FakeMachine, joiner: Joiner) -> None:
        run(machine, join_cluster.STEP, JOIN)
        workers = Workers(machine, joiner)
        joiner.systemd.hooks["start pveproxy"] = workers.reload
        workers.present("of before")
        assert run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True)).changed
        assert workers.certificates == [pem(f"certificate {joiner.certificates}")]
        assert workers.reloads == 1

    def test_an_api_that_stays_down(self, machine: FakeMachine, joiner: Joiner) -> None:
        joiner.systemd.hooks["start pveproxy"] = lambda: None
        machine.certificate = None
        joiner.stops_after = "certificates"
        with pytest.raises(StepError) as failed:
            run(machine, join_cluster.STEP, JOIN)
        assert failed.value.code == "api-down"
        assert "no answer" in failed.value.observed

    def test_a_half_joined_node_that_the_cluster_has_dropped_is_reset_and_joins(
        self, machine: FakeMachine, joiner: Joiner
    ) -> None:
        joiner.stops_after = "started"
        joiner.add()
        joiner.reachable = False
        machine.write("/var/lib/corosync/ringid_2", "1")
        machine.write("/etc/pve/ha/resources.cfg", "vm: 100\n")
        joiner.stops_after = ""
        rejoin = joiner.add

        def back(*_arguments: object) -> str | Result:
            assert not machine.exists(AUTHKEY)
            assert machine.read("/etc/pve/ha/resources.cfg") is None, "alone it would start the cluster's guests"
            assert machine.names("/var/lib/corosync") == []
            joiner.reachable = True
            return rejoin()

        joiner.add = back  # type: ignore[method-assign]
        outcome = run(machine, join_cluster.STEP, JOIN)
        assert outcome.facts["state"] == "member"
        assert [note for note in machine.notes if note in ("reset proxmox02", "join proxmox")] == [
            "reset proxmox02",
            "join proxmox",
        ]
        assert machine.ran("systemctl stop")[0].startswith("systemctl stop pve-ha-lrm pve-ha-crm pve-cluster")

    def test_a_local_pmxcfs_that_does_not_start(self, machine: FakeMachine, joiner: Joiner) -> None:
        joiner.stops_after = "started"
        joiner.add()
        joiner.reachable = False
        machine.programs["systemd-run"] = lambda *_: ""
        with pytest.raises(StepError) as failed:
            run(machine, join_cluster.STEP, JOIN)
        assert failed.value.code == "reset-failed"
        assert machine.ran("systemctl stop nested-pve-ha-pmxcfs"), "nothing is left running"

    def test_guests_are_never_lost(self, machine: FakeMachine, joiner: Joiner) -> None:
        joiner.stops_after = "conf written"
        joiner.add()
        machine.write("/etc/pve/nodes/proxmox02/qemu-server/100.conf", "name: mail\n")
        with pytest.raises(StepError) as refused:
            run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True))
        assert refused.value.code == "node-has-guests"
        assert machine.read(DB) == "own"


class TestCreateCluster:
    @pytest.mark.usefixtures("joiner")
    def test_created_and_seen_to_be(self, machine: FakeMachine) -> None:
        outcome = twice(machine, create_cluster.STEP, CREATE)
        assert outcome.facts["cluster"] == "proxmox"
        assert outcome.facts["quorate"]

    @pytest.mark.usefixtures("joiner")
    def test_the_command(self, machine: FakeMachine) -> None:
        run(machine, create_cluster.STEP, CREATE)
        assert machine.ran("pvecm create") == [
            "pvecm create proxmox --nodeid 2 --votes 1 --link0 10.10.1.186,priority=20 --link1 10.20.1.186,priority=10"
        ]

    @pytest.mark.usefixtures("joiner")
    def test_without_priorities(self, machine: FakeMachine) -> None:
        links = [ClusterLink(0, "10.10.1.186"), ClusterLink(1, "10.20.1.186")]
        twice(machine, create_cluster.STEP, dataclasses.replace(CREATE, links=links))

    def test_exit_0_without_creating(self, machine: FakeMachine, joiner: Joiner) -> None:
        joiner.said = "hostname lookup 'proxmox02' failed - failed to get address info\n"
        with pytest.raises(StepError) as failed:
            run(machine, create_cluster.STEP, CREATE)
        assert failed.value.code == "create-failed"
        assert "hostname lookup" in failed.value.observed

    def test_cut_off_before_corosync_ran(self, machine: FakeMachine, joiner: Joiner) -> None:
        joiner.stops_after = "written"
        joiner.create()
        assert membership.observe(machine).state == "half"
        machine.remove(LOCAL_CONF)
        assert run(machine, create_cluster.STEP, CREATE).changed
        assert machine.ran("systemctl restart pve-cluster"), "it gives corosync its configuration when it starts"
        assert machine.ran("pvecm create") == []
        assert not run(machine, create_cluster.STEP, CREATE).changed

    def test_corosync_does_not_start(self, machine: FakeMachine, joiner: Joiner) -> None:
        joiner.systemd.broken = {"corosync"}
        before = machine.monotonic()
        with pytest.raises(StepError) as failed:
            run(machine, create_cluster.STEP, CREATE)
        assert failed.value.code == "no-quorum"
        assert "corosync does not run" in failed.value.observed
        assert machine.monotonic() - before < 2 * CREATE.timeout_s


class TestMembership:
    def test_stand_alone(self, machine: FakeMachine, joiner: Joiner) -> None:
        del joiner
        machine.write("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA pulumi\n")
        outcome = run(machine, membership.STEP, None)
        assert not outcome.changed
        assert outcome.facts["state"] == "absent"
        assert outcome.facts["cluster"] is None
        assert outcome.facts["pve_writable"]
        digest = hashlib.sha256(base64.b64decode("AAAA")).digest()
        assert outcome.facts["authorized_keys"] == [f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"]
        assert len(outcome.facts["api_fingerprint"].split(":")) == 32
        json.dumps(outcome.facts)

    def test_half_joined(self, machine: FakeMachine, joiner: Joiner) -> None:
        joiner.stops_after = "database gone"
        joiner.add()
        facts = run(machine, membership.STEP, None).facts
        assert facts["state"] == "half"
        assert facts["cluster"] == "proxmox"
        assert "mounted /etc/pve" in facts["missing"]

    def test_a_full_member_whose_corosync_is_stopped_is_not_half_joined(
        self, machine: FakeMachine, joiner: Joiner
    ) -> None:
        run(machine, join_cluster.STEP, JOIN)
        joiner.systemd.units["corosync"] = "inactive"
        facts = run(machine, membership.STEP, None).facts
        assert (facts["state"], facts["missing"], facts["quorum"]) == ("member", [], None)
        machine.commands.clear()
        outcome = run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True))
        assert outcome.facts["quorate"], "started again"
        assert machine.ran("systemctl start pve-cluster corosync")
        assert not machine.ran("pvecm add")
        assert not machine.ran("systemctl stop"), "nothing is reset"

    def test_the_qdevice_of_a_member_whose_corosync_was_stopped_is_started_with_it(
        self, machine: FakeMachine, joiner: Joiner
    ) -> None:
        """It ended with corosync, and does not start with it."""
        joiner.conf += "quorum {\n  device {\n    model: net\n    net {\n      host: 192.168.0.9\n    }\n  }\n}\n"
        machine.programs["corosync-qdevice-tool"] = lambda *_: ""
        run(machine, join_cluster.STEP, JOIN)
        joiner.systemd.enabled.add("corosync-qdevice")
        joiner.systemd.units |= {"corosync": "inactive", "corosync-qdevice": "inactive"}
        run(machine, join_cluster.STEP, dataclasses.replace(JOIN, listed=True))
        assert joiner.systemd.units["corosync-qdevice"] == "active"

    def test_the_first_certificate_of_a_chain_counts(self, machine: FakeMachine, joiner: Joiner) -> None:
        del joiner
        chain = f"subject=CN = proxmox02\n{pem('leaf')}{pem('intermediate')}{pem('root')}"
        machine.write("/etc/pve/nodes/proxmox02/pveproxy-ssl.pem", chain)
        facts = run(machine, membership.STEP, None).facts
        assert facts["api_fingerprint"] == membership.fingerprint(pem("leaf"))
        assert membership.fingerprint("no certificate") is None

    def test_names_in_the_list_of_nodes_are_read_as_the_addresses_they_stand_for(
        self, machine: FakeMachine, joiner: Joiner
    ) -> None:
        joiner.conf = joiner.conf.replace("ring0_addr: 10.10.1.186", "ring0_addr: proxmox02.corosync.example")
        hosts = {"proxmox02": "192.168.0.186", "proxmox02.corosync.example": "10.10.1.186"}
        machine.programs["getent"] = lambda arguments, _stdin: f"{hosts[arguments[-1]]} STREAM {arguments[-1]}\n"
        facts = run(machine, join_cluster.STEP, JOIN).facts
        assert facts["nodes"][1]["links"] == {0: "10.10.1.186", 1: "10.20.1.186"}
        assert facts["transport"] == "knet"

    def test_without_quorum(self, machine: FakeMachine, joiner: Joiner) -> None:
        run(machine, join_cluster.STEP, JOIN)
        joiner.reachable = False
        facts = run(machine, membership.STEP, None).facts
        assert (facts["state"], facts["quorate"], facts["pve_writable"]) == ("member", False, False)
        assert facts["quorum"]["total"] == 1
        assert {link["connected"] for link in facts["links"]} == {False}

    def test_an_own_certificate_has_precedence(self, machine: FakeMachine, joiner: Joiner) -> None:
        del joiner
        before = run(machine, membership.STEP, None).facts["api_fingerprint"]
        machine.write("/etc/pve/nodes/proxmox02/pveproxy-ssl.pem", pem("bought"))
        after = run(machine, membership.STEP, None).facts["api_fingerprint"]
        assert before != after
        assert after == membership.fingerprint(pem("bought"))

    @pytest.mark.usefixtures("joiner")
    def test_a_pmxcfs_that_hangs(self, machine: FakeMachine) -> None:
        machine.programs["stat"] = hangs
        facts = run(machine, membership.STEP, None).facts
        assert not facts["pve_mounted"]
        assert facts["guests"] == []

    @pytest.mark.usefixtures("joiner")
    def test_a_read_that_hangs_is_named_before_a_program_is_waited_for(
        self, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = machine.read

        def read(path: str) -> str | None:
            if path.startswith("/etc/pve/"):
                raise StepError("pve-filesystem-hangs", f"{path} cannot be read")
            return whole(path)

        monkeypatch.setattr(machine, "read", read)
        with pytest.raises(StepError) as failed:
            run(machine, membership.STEP, None)
        assert failed.value.code == "pve-filesystem-hangs"
        assert machine.ran("stat") == []


HA_STATUS = [
    {"id": "quorum", "type": "quorum", "node": "proxmox02", "quorate": 1, "status": "OK"},
    {"id": "master", "type": "master", "node": "proxmox01", "status": "proxmox01 (active, Sat Nov 21 10:00:00 2026)"},
    {"id": "lrm:proxmox01", "type": "lrm", "node": "proxmox01", "status": "proxmox01 (active, watchdog active, Sat Nov 21)"},
    {"id": "lrm:proxmox02", "type": "lrm", "node": "proxmox02", "status": "proxmox02 (old timestamp - dead?, Sat Nov 21)"},
    {"id": "lrm:proxmox03", "type": "lrm", "node": "proxmox03", "status": "proxmox03 (idle)"},
    {"id": "lrm:proxmox04", "type": "lrm", "node": "proxmox04", "status": "unable to read lrm status"},
    {"id": "service:vm:200", "type": "service", "sid": "vm:200", "node": "proxmox02", "state": "started", "crm_state": "started"},
    {"id": "service:ct:300", "type": "service", "sid": "ct:300", "node": "proxmox01", "state": "queued"},
]  # fmt: skip
RESOURCES = [
    {"id": "qemu/200", "type": "qemu", "vmid": 200, "name": "vm01", "node": "proxmox02", "status": "running", "template": 0, "hastate": "started"},
    {"id": "lxc/300", "type": "lxc", "vmid": 300, "name": "ct01", "node": "proxmox01", "status": "running", "template": 0},
    {"id": "qemu/9000", "type": "qemu", "vmid": 9000, "name": "debian-template", "node": "proxmox02", "status": "stopped", "template": 1},
]  # fmt: skip


class TestClusterHealth:
    @pytest.fixture(autouse=True)
    def world(self, machine: FakeMachine, joiner: Joiner) -> None:
        Apt(machine, available=[], installed=["proxmox-kernel-6.17.2-1-pve-signed"])
        machine.write("/proc/sys/kernel/osrelease", "6.17.2-1-pve\n")
        machine.write("/dev/watchdog", "")
        joiner.systemd.units |= {"pveproxy": "active", "watchdog-mux": "failed"}
        answers = {"/cluster/ha/status/current": HA_STATUS, "/cluster/resources": RESOURCES}
        machine.programs["pvesh"] = lambda arguments, _stdin: json.dumps(answers[arguments[1]])

    def test_all_that_status_shows(self, machine: FakeMachine) -> None:
        run(machine, join_cluster.STEP, JOIN)
        facts = run(machine, cluster_health.STEP, None).facts
        assert facts["ha"] == {
            "master": "proxmox01",
            "lrm": {
                "proxmox01": "active",
                "proxmox02": "old timestamp - dead?",
                "proxmox03": "idle",
                "proxmox04": "unknown",
            },
            "services": {
                "vm:200": {"node": "proxmox02", "state": "started"},
                "ct:300": {"node": "proxmox01", "state": "queued"},
            },
        }
        assert [(guest["id"], guest["status"], guest["template"]) for guest in facts["running_guests"]] == [
            (200, "running", False),
            (9000, "stopped", True),
        ]
        assert facts["services"]["pveproxy"]
        assert not facts["services"]["watchdog-mux"]
        assert facts["watchdog"] == {"device": True, "socket": False, "used": False}
        assert facts["kernel"]["running"] == "6.17.2-1-pve"
        assert facts["busy"] is None
        assert facts["state"] == "member"
        json.dumps(facts)

    @pytest.mark.parametrize(
        "answer", [hangs, lambda *_: "not json", lambda *_: Result(("pvesh",), 255, err="no quorum")]
    )
    def test_an_api_that_does_not_answer_leaves_the_rest(self, machine: FakeMachine, answer: object) -> None:
        machine.programs["pvesh"] = answer  # type: ignore[assignment]
        facts = run(machine, cluster_health.STEP, None).facts
        assert facts["ha"] is None
        assert facts["running_guests"] is None
        assert facts["state"] == "absent"


class TestLinkPreflight:
    DESIRED = LinkPreflight(
        [
            PreflightLink(0, "10.10.1.186", [LinkPeer("proxmox01", "10.10.1.185")]),
            PreflightLink(1, "10.20.1.186", [LinkPeer("proxmox01", "10.20.1.185")]),
        ]
    )

    def ping(self, machine: FakeMachine, *, limit: int = 1472, dead: str = "") -> None:
        def program(arguments: list[str], _stdin: str) -> str:
            size = int(arguments[arguments.index("-s") + 1])
            assert arguments[arguments.index("-M") + 1] == "do", "never fragmented"
            if arguments[-1] == dead or size > limit:
                return "5 packets transmitted, 0 received, 100% packet loss, time 4000ms\n"
            return (
                "5 packets transmitted, 5 received, 0% packet loss\nrtt min/avg/max/mdev = 0.043/0.061/0.082/0.014 ms\n"
            )

        machine.programs["ping"] = program

    @pytest.mark.usefixtures("joiner")
    def test_all_links(self, machine: FakeMachine) -> None:
        self.ping(machine)
        outcome = run(machine, link_preflight.STEP, self.DESIRED)
        assert outcome.facts == {"latency_ms": {"0:proxmox01": 0.061, "1:proxmox01": 0.061}, "silent": []}

    @pytest.mark.usefixtures("joiner")
    def test_a_dead_link(self, machine: FakeMachine) -> None:
        self.ping(machine, dead="10.20.1.185")
        with pytest.raises(StepError) as refused:
            run(machine, link_preflight.STEP, self.DESIRED)
        assert refused.value.code == "link-unreachable"
        assert "link 1 to proxmox01 (10.20.1.185): no answer to ping" in refused.value.observed
        assert "link 0" not in refused.value.observed
        assert "firewall" in refused.value.expected

    @pytest.mark.usefixtures("joiner")
    def test_ping_alone_refuses_nothing(self, machine: FakeMachine) -> None:
        self.ping(machine, dead="10.20.1.185")
        outcome = run(machine, link_preflight.STEP, dataclasses.replace(self.DESIRED, probe=False))
        assert outcome.facts["silent"] == ["link 1 to proxmox01 (10.20.1.185)"]

    @pytest.mark.usefixtures("joiner")
    def test_a_narrow_link(self, machine: FakeMachine) -> None:
        self.ping(machine, limit=1372)
        with pytest.raises(StepError) as refused:
            run(machine, link_preflight.STEP, self.DESIRED)
        assert refused.value.code == "link-mtu"


class TestApiUser:
    DESIRED = ApiUser("stack-dev", "pulumi@pve", "pulumi-secret", OWN_ROLE)

    @pytest.fixture
    def acl(self) -> list[dict[str, object]]:
        return [
            {"path": "/vms/100", "ugid": "pulumi@pve", "roleid": "PVEVMAdmin", "propagate": 1},
            {"path": "/", "ugid": "other@pve", "roleid": "Administrator", "propagate": 1},
            {"path": "/", "ugid": "pulumi@pve!ci", "type": "token", "roleid": "PVEAuditor", "propagate": 1},
            {"path": "/", "ugid": "ops", "type": "group", "roleid": "PVEAdmin", "propagate": 1},
        ]

    @pytest.fixture
    def users(self, machine: FakeMachine, acl: list[dict[str, object]]) -> dict[str, dict[str, object]]:
        users: dict[str, dict[str, object]] = {}
        roles = {"Administrator": "Sys.Modify", "NoAccess": "", "PVEVMAdmin": "VM.Audit,VM.Migrate", "Half": "VM.Audit"}

        def pveum(arguments: list[str], stdin: str) -> str | int:
            match arguments:
                case [what, "list", *_]:
                    listed = {
                        "user": [{"userid": name, **values} for name, values in users.items()],
                        "acl": acl,
                        "role": [{"roleid": name, "privs": privs} for name, privs in roles.items()],
                    }
                    return json.dumps(listed[what])
                case ["role", _, name, "--privs", privs]:
                    roles[name] = privs
                case ["acl", "delete", path, "--users", name, "--roles", role]:
                    acl[:] = [
                        rule for rule in acl if (rule["path"], rule["ugid"], rule["roleid"]) != (path, name, role)
                    ]
                case ["user", "add", name, "--comment", comment]:
                    users[name] = {"enable": 1, "comment": comment}
                case ["user", "modify", name, "--enable", "1", "--expire", "0"]:
                    users[name] |= {"enable": 1, "expire": 0}
                case ["passwd", name]:
                    first, second = stdin.splitlines()
                    assert first == second
                    machine.logins[name] = first
                case ["acl", "modify", path, "--users", name, "--roles", role, *_]:
                    acl.append({"path": path, "ugid": name, "roleid": role, "propagate": 1})
            return 0

        def dd(arguments: list[str], stdin: str) -> int:
            machine.write(arguments[0].removeprefix("of="), stdin)
            return 0

        machine.programs["pveum"] = pveum
        machine.programs["mkdir"] = lambda *_: 0
        machine.programs["dd"] = dd
        return users

    @pytest.mark.usefixtures("users")
    def test_from_nothing(self, machine: FakeMachine) -> None:
        outcome = twice(machine, api_user.STEP, self.DESIRED)
        assert outcome.facts == {"user": "pulumi@pve", "roles": ["nested-pve-ha"]}
        assert machine.read("/etc/pve/nested-pve-ha/role-nested-pve-ha") == "stack-dev\n"
        assert machine.logins == {"pulumi@pve": "pulumi-secret"}
        assert not any("pulumi-secret" in command for command in machine.commands)

    def test_somebody_changed_it(self, machine: FakeMachine, users: dict[str, dict[str, object]]) -> None:
        run(machine, api_user.STEP, self.DESIRED)
        users["pulumi@pve"]["enable"] = 0
        machine.logins["pulumi@pve"] = "another"
        twice(machine, api_user.STEP, self.DESIRED)
        assert machine.logins == {"pulumi@pve": "pulumi-secret"}

    def test_a_user_that_has_expired_is_let_in_again(
        self, machine: FakeMachine, users: dict[str, dict[str, object]]
    ) -> None:
        """Its password was set anew in vain, and nothing said why the login still failed."""
        run(machine, api_user.STEP, self.DESIRED)
        users["pulumi@pve"]["expire"] = int(machine.time()) - 1
        assert run(machine, api_user.STEP, self.DESIRED).changed
        assert users["pulumi@pve"]["expire"] == 0
        users["pulumi@pve"]["expire"] = int(machine.time()) + 1000
        assert not run(machine, api_user.STEP, self.DESIRED).changed

    @pytest.mark.usefixtures("users")
    def test_a_lower_role_takes_the_higher_one_away_and_leaves_other_paths_users_groups_and_tokens_alone(
        self, machine: FakeMachine
    ) -> None:
        twice(machine, api_user.STEP, dataclasses.replace(self.DESIRED, role="Administrator"))
        assert twice(machine, api_user.STEP, self.DESIRED).facts["roles"] == ["nested-pve-ha"]
        left = json.loads(machine.run(["pveum", "acl", "list"]).out)
        assert sorted((rule["path"], rule["ugid"], rule["roleid"]) for rule in left) == [
            ("/", "ops", "PVEAdmin"),
            ("/", "other@pve", "Administrator"),
            ("/", "pulumi@pve", "nested-pve-ha"),
            ("/", "pulumi@pve!ci", "PVEAuditor"),
            ("/vms/100", "pulumi@pve", "PVEVMAdmin"),
        ]

    GUEST = "tags: nested-pve-ha;stack-dev\nscsi0: shared:200/vm-200-disk-0.qcow2,size=8G\nnet0: virtio=02:00:00:00:00:01,bridge=vmbr0\n"

    @pytest.mark.parametrize(
        ("rules", "told", "undone"),
        [
            (
                [("/vms/200", "pulumi@pve", "user", "NoAccess", 1)],
                "/vms/200: NoAccess for the user pulumi@pve, without VM.Allocate, VM.Audit, VM.Clone and 8 more",
                "pveum acl delete /vms/200 --users pulumi@pve --roles NoAccess",
            ),
            (
                [("/vms", "ops", "group", "Half", 1), ("/vms", "ops", "group", "PVEVMAdmin", 1)],
                "/vms: Half, PVEVMAdmin for the group ops, without VM.Allocate, VM.Clone, VM.Config.CDROM and 7 more",
                "pveum acl delete /vms --groups ops --roles Half,PVEVMAdmin",
            ),
            (
                [("/storage/shared", "pulumi@pve", "user", "Half", 0)],
                (
                    "/storage/shared: Half for the user pulumi@pve, without Datastore.Allocate, Datastore.AllocateSpace, "
                    "Datastore.AllocateTemplate"
                ),
                "pveum acl delete /storage/shared --users pulumi@pve --roles Half",
            ),
            (
                [("/sdn/zones/localnet", "pulumi@pve", "user", "NoAccess", 1)],
                "/sdn/zones/localnet: NoAccess for the user pulumi@pve, without SDN.Use",
                "pveum acl delete /sdn/zones/localnet --users pulumi@pve --roles NoAccess",
            ),
            (
                [("/nodes/pve2", "pulumi@pve", "user", "Half", 1)],
                "/nodes/pve2: Half for the user pulumi@pve, without Sys.Audit",
                "pveum acl delete /nodes/pve2 --users pulumi@pve --roles Half",
            ),
        ],
    )
    def test_a_rule_on_a_deeper_path_that_takes_rights_away_is_named_and_left(  # noqa: PLR0913, PLR0917 - a case
        self,
        machine: FakeMachine,
        users: dict[str, dict[str, object]],
        acl: list[dict[str, object]],
        rules: list[tuple[str, str, str, str, int]],
        told: str,
        undone: str,
    ) -> None:
        """A call failed with 403, and nothing said why."""
        run(machine, api_user.STEP, self.DESIRED)
        users["pulumi@pve"]["groups"] = "others,ops"
        machine.write("/etc/pve/nodes/pve2/qemu-server/200.conf", self.GUEST)
        before = [*acl]
        acl += [
            {"path": path, "ugid": who, "type": kind, "roleid": role, "propagate": on}
            for path, who, kind, role, on in rules
        ]
        with pytest.raises(StepError) as refused:
            run(machine, api_user.STEP, self.DESIRED)
        assert refused.value.code == "api-user-narrowed"
        assert refused.value.observed == told
        assert f"`{undone}`" in refused.value.fix
        assert acl[: len(before)] == before
        assert len(acl) == len(before) + len(rules), "somebody else's are left"

    @pytest.mark.parametrize(
        "rule",
        [
            ("/vms/900", "pulumi@pve", "user", "NoAccess", 1),  # somebody else's guest
            ("/vms/901", "pulumi@pve", "user", "NoAccess", 1),  # one that is not there
            ("/storage/backup", "pulumi@pve", "user", "NoAccess", 1),  # no guest of ours is on it
            ("/vms", "pulumi@pve", "user", "NoAccess", 0),  # it holds for no guest
            ("/vms", "others", "group", "NoAccess", 1),  # not its group
            ("/vms", "pulumi@pve!ci", "token", "NoAccess", 1),
            ("/vms/200", "pulumi@pve", "user", OWN_ROLE, 1),
            ("/access", "pulumi@pve", "user", "NoAccess", 1),
        ],
    )
    def test_a_rule_that_takes_nothing_that_is_needed_away_is_not_named(
        self,
        machine: FakeMachine,
        users: dict[str, dict[str, object]],
        acl: list[dict[str, object]],
        rule: tuple[str, str, str, str, int],
    ) -> None:
        run(machine, api_user.STEP, self.DESIRED)
        users["pulumi@pve"]["groups"] = "ops"
        machine.write("/etc/pve/nodes/pve2/qemu-server/200.conf", self.GUEST)
        machine.write(
            "/etc/pve/nodes/pve2/qemu-server/900.conf", "tags: customer\nscsi0: backup:900/vm-900-disk-0.raw\n"
        )
        path, who, kind, role, on = rule
        acl.append({"path": path, "ugid": who, "type": kind, "roleid": role, "propagate": on})
        assert not run(machine, api_user.STEP, self.DESIRED).changed

    def test_somebody_elses_user_is_not_taken_over(
        self, machine: FakeMachine, users: dict[str, dict[str, object]]
    ) -> None:
        users["pulumi@pve"] = {"enable": 1, "comment": "CI of the shop"}
        machine.logins["pulumi@pve"] = "theirs"
        with pytest.raises(StepError) as refused:
            run(machine, api_user.STEP, self.DESIRED)
        assert refused.value.code == "api-user-foreign"
        assert machine.logins == {"pulumi@pve": "theirs"}
        assert not [command for command in machine.commands if " list " not in command], "nothing was changed"

    @pytest.mark.usefixtures("users")
    def test_a_password_that_is_refused(self, machine: FakeMachine) -> None:
        real = machine.programs["pveum"]
        machine.programs["pveum"] = lambda arguments, stdin: (
            Result(("pveum",), 255, err="password: value must be at least 8 characters long")
            if arguments[0] == "passwd"
            else real(arguments, stdin)
        )
        with pytest.raises(StepError) as failed:
            run(machine, api_user.STEP, self.DESIRED)
        assert failed.value.code == "api-user"
        assert "at least 8 characters" in failed.value.observed


class Storages(dict[str, dict[str, str]]):
    """The storages of a cluster, and the file that they are kept in."""

    def __init__(self, machine: FakeMachine) -> None:
        super().__init__()
        self.machine = machine

    def __setitem__(self, name: str, values: dict[str, str]) -> None:
        super().__setitem__(name, values)
        self.write()

    def write(self) -> None:
        sections = []
        for name, values in self.items():
            lines = [
                f"{values['type']}: {name}",
                *(f"\t{key} {value}" for key, value in values.items() if key != "type"),
            ]
            sections.append("\n".join(lines) + "\n")
        self.machine.write("/etc/pve/storage.cfg", "\n".join(sections))


class TestStorage:
    DESIRED = Storage("stack-dev", "shared", "10.30.1.1", "/srv/pve-shared", ["rootdir", "images"])
    MARK = "/etc/pve/nested-pve-ha/storage-shared"

    @pytest.fixture
    def storages(self, machine: FakeMachine) -> Storages:
        """What the cluster has; the programs that write marks do what the real ones do."""
        found = Storages(machine)
        found["local"] = {"type": "dir", "path": "/var/lib/vz", "content": "iso"}

        def pvesh(arguments: list[str], _stdin: str) -> str | Result:
            verb, path, *rest = arguments
            options = {key.removeprefix("--"): value for key, value in zip(rest[::2], rest[1::2], strict=True)}
            match verb, path:
                case "create", "/storage":
                    name = options.pop("storage")
                    if name in found:
                        message = f"create storage failed: storage ID '{name}' already defined"
                        return Result(("pvesh",), 25, err=message)
                    found[name] = options
                case "delete", _:
                    del found[path.removeprefix("/storage/")]
                case "set", _:
                    one = found[path.removeprefix("/storage/")]
                    one.pop(options.pop("delete", ""), None)
                    one |= options
            found.write()
            return ""

        def dd(arguments: list[str], stdin: str) -> str:
            machine.write(arguments[0].removeprefix("of="), stdin)
            return ""

        def rm(arguments: list[str], _stdin: str) -> str:
            machine.remove(arguments[-1])
            return ""

        machine.programs |= {"pvesh": pvesh, "dd": dd, "rm": rm, "mkdir": lambda *_: ""}
        return found

    def test_from_nothing_and_away_again(self, machine: FakeMachine, storages: Storages) -> None:
        twice(machine, storage.STEP, self.DESIRED)
        assert storages["shared"] == {
            "type": "nfs",
            "server": "10.30.1.1",
            "export": "/srv/pve-shared",
            "content": "images,rootdir",
        }
        assert machine.read(self.MARK) == "stack-dev\n"
        twice(machine, storage_remove.STEP, self.DESIRED)
        assert list(storages) == ["local"]
        assert machine.read(self.MARK) is None

    def test_what_was_edited_by_hand_is_put_right_and_the_rest_stays(
        self, machine: FakeMachine, storages: Storages
    ) -> None:
        run(machine, storage.STEP, self.DESIRED)
        storages["shared"] |= {"content": "iso", "disable": "1", "nodes": "pve2", "options": "vers=4.2"}
        storages.write()
        twice(machine, storage.STEP, self.DESIRED)
        assert storages["shared"]["content"] == "images,rootdir"
        assert storages["shared"]["options"] == "vers=4.2"
        assert not {"disable", "nodes"} & set(storages["shared"])

    def test_somebody_elses_is_refused_with_nothing_changed_and_never_removed(
        self, machine: FakeMachine, storages: Storages
    ) -> None:
        storages["shared"] = {"type": "nfs", "server": "10.30.1.1", "export": "/srv/pve-shared", "content": "images"}
        before = copy.deepcopy(dict(storages))
        with pytest.raises(StepError, match="storage-foreign"):
            run(machine, storage.STEP, self.DESIRED)
        run(machine, storage_remove.STEP, self.DESIRED)
        assert storages == before
        assert machine.read(self.MARK) is None

    def test_one_that_appears_between_the_look_and_the_act_is_not_taken_over(
        self, machine: FakeMachine, storages: Storages
    ) -> None:
        foreign = {"type": "dir", "path": "/srv/theirs", "content": "images"}
        write = machine.programs["dd"]

        def dd(arguments: list[str], stdin: str) -> str | int | Result:
            storages["shared"] = dict(foreign)
            return write(arguments, stdin)

        machine.programs["dd"] = dd
        with pytest.raises(StepError, match="storage-failed"):
            run(machine, storage.STEP, self.DESIRED)
        assert storages["shared"] == foreign
        with pytest.raises(StepError, match="storage-foreign"):
            run(machine, storage.STEP, self.DESIRED)

    def test_a_cluster_that_takes_no_writes_is_told(self, machine: FakeMachine, storages: Storages) -> None:
        machine.programs["mkdir"] = lambda *_: Result(("mkdir",), 1, err="mkdir: Permission denied")
        with pytest.raises(StepError, match="mark-failed") as failed:
            run(machine, storage.STEP, self.DESIRED)
        assert "Permission denied" in failed.value.render()
        assert "shared" not in storages
