"""Steps of `repair` as a whole: what runs in which order, and what a service that does not start leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onnode.cluster import corosync_files, restore_corosync, start_services, way_in
from onnode.contract.repair import CorosyncFile, StartServices
from onnode.errors import StepError
from onnode.system.machine import TIMED_OUT
from tests.support.onnode_worlds import Systemd, run, twice

if TYPE_CHECKING:
    from onnode.system.machine import Result
    from tests.support.fake_machine import FakeMachine

CONF = """\
nodelist {
  node {
    name: pve2
    nodeid: 2
    quorum_votes: 1
    ring0_addr: 10.10.1.102
  }
}
totem {
  cluster_name: home
  config_version: 3
}
"""
QUORUM = "Quorate: Yes\nExpected votes: 3\nTotal votes: 2\nQuorum: 2\n    Nodeid      Votes Name\n0x00000002          1 10.10.1.102 (local)\n"
MOUNT = "/dev/fuse /etc/pve fuse rw 0 0\n"
WANTED = StartServices(quorate=True, timeout_s=60)


class Node(Systemd):
    """pmxcfs mounts /etc/pve when it starts, in cluster mode or by hand with -l; corosync has quorum while it runs."""

    def __init__(self, machine: FakeMachine) -> None:
        super().__init__(machine, **dict.fromkeys((name.replace("-", "_") for name in start_services.ORDER), "active"))
        self.machine = machine
        self.local = False
        self.deaf = False
        self.hooks |= {"start pve-cluster": self.mount, "stop pve-cluster": self.unmount}
        machine.write("/proc/sys/kernel/hostname", "pve2\n")
        machine.write("/etc/corosync/corosync.conf", CONF)
        machine.write("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA admin\n")
        machine.programs |= {
            "corosync-quorumtool": lambda *_: QUORUM if self.units["corosync"] == "active" else "",
            "pgrep": lambda *_: "77 pmxcfs -l\n" if self.local else "77 /usr/bin/pmxcfs\n" if self.mounted else "",
            "pkill": self.kill,
            "stat": lambda *_: "" if self.mounted else 1,
            "sh": lambda *_: 0 if self.mounted else 1,
            "getent": lambda *_: "",
        }
        self.mount()

    @property
    def mounted(self) -> bool:
        return bool(self.machine.read("/proc/self/mounts"))

    def mount(self) -> None:
        if self.units["pve-cluster"] == "active":
            self.machine.write("/proc/self/mounts", MOUNT)

    def unmount(self) -> None:
        self.machine.write("/proc/self/mounts", "")

    def kill(self, _arguments: list[str], _stdin: str) -> int:
        if not self.deaf:
            self.local = False
            self.unmount()
        return 0

    def stop(self, *names: str) -> None:
        for name in names:
            self._turn(name, on=False)


@pytest.fixture
def node(machine: FakeMachine) -> Node:
    return Node(machine)


def restarted(machine: FakeMachine) -> list[str]:
    return [command.rpartition(" ")[2] for command in machine.ran("systemctl restart")]


def test_services_start_in_order_and_the_second_way_in_ends(machine: FakeMachine, node: Node) -> None:
    node.stop("corosync", "pvestatd")
    run(machine, start_services.STEP, WANTED)
    assert restarted(machine) == ["corosync", "pve-cluster", "pvedaemon", "pveproxy", "pvestatd"]
    assert not way_in.is_open(machine)
    assert not run(machine, start_services.STEP, WANTED).changed
    assert restarted(machine) == []


def test_the_second_way_in_is_open_while_pmxcfs_is_away(machine: FakeMachine, node: Node) -> None:
    node.stop("corosync")
    seen: list[bool] = []

    def mount() -> None:
        seen.append(way_in.is_open(machine))
        node.mount()

    node.hooks["start pve-cluster"] = mount
    twice(machine, start_services.STEP, WANTED)
    assert seen == [True]


@pytest.mark.parametrize("at", range(12))
def test_a_step_that_was_killed_anywhere_is_finished_by_the_next_one(machine: FakeMachine, node: Node, at: int) -> None:
    """Whoever was cut off can log in again meanwhile: the second way in is open while /etc/pve is away."""
    node.stop("corosync", "pvestatd")
    calls = 0
    systemctl = machine.programs["systemctl"]

    def killed(arguments: list[str], stdin: str) -> str | int | Result:
        nonlocal calls
        calls += 1
        if calls == at + 1:
            raise StepError("interrupted", "the step was stopped")
        return systemctl(arguments, stdin)

    machine.programs["systemctl"] = killed
    with pytest.raises(StepError, match="the step was stopped"):
        run(machine, start_services.STEP, WANTED)
    assert node.mounted or way_in.is_open(machine)
    run(machine, start_services.STEP, WANTED)
    assert all(node.units[unit] == "active" for unit in start_services.ORDER)
    assert not way_in.is_open(machine)


def test_local_mode_ends_first(machine: FakeMachine, node: Node) -> None:
    node.stop("corosync", "pve-cluster")
    node.local = True
    machine.write("/proc/self/mounts", MOUNT)
    twice(machine, start_services.STEP, WANTED)
    assert not node.local
    node.local = node.deaf = True
    with pytest.raises(StepError, match="does not end") as refused:
        run(machine, start_services.STEP, WANTED)
    assert refused.value.code == "services"
    assert restarted(machine) == []


@pytest.mark.parametrize("unit", ["corosync", "pve-cluster", "pveproxy"])
def test_a_service_that_does_not_start_ends_the_step_by_name(machine: FakeMachine, node: Node, unit: str) -> None:
    node.stop("corosync")
    node.broken = {unit}
    with pytest.raises(StepError) as refused:
        run(machine, start_services.STEP, WANTED)
    assert refused.value.code == "services"
    assert f"{unit} does not start" in refused.value.render()
    assert restarted(machine)[-1] == unit


def test_quorum_is_waited_for_where_it_can_come_only(machine: FakeMachine, node: Node) -> None:
    node.stop("corosync")
    machine.programs["corosync-quorumtool"] = lambda *_: QUORUM.replace("Yes", "No")
    with pytest.raises(StepError) as refused:
        run(machine, start_services.STEP, WANTED)
    assert refused.value.code == "no-quorum"
    node.stop("corosync")
    run(machine, start_services.STEP, StartServices(quorate=False, timeout_s=60))


def test_without_quorum_what_lost_pmxcfs_was_started_anew_all_the_same(machine: FakeMachine, node: Node) -> None:
    """They ran on with what they held of an /etc/pve that was gone, and no later run found anything to do."""
    node.stop("corosync")
    machine.programs["corosync-quorumtool"] = lambda *_: QUORUM.replace("Yes", "No")
    with pytest.raises(StepError, match="not in a quorate cluster"):
        run(machine, start_services.STEP, WANTED)
    assert restarted(machine) == ["corosync", "pve-cluster", "pvedaemon", "pveproxy"]
    assert not way_in.is_open(machine), "/etc/pve can be read without quorum"


DEVICE = "quorum {\n  provider: corosync_votequorum\n  device {\n    model: net\n    net {\n      host: 192.168.0.9\n    }\n  }\n}\n"


def with_qdevice(machine: FakeMachine, node: Node, *, conf: str = CONF + DEVICE) -> None:
    """Its daemon ends with corosync, and does not start with it."""
    machine.write("/etc/corosync/corosync.conf", conf)
    node.enabled.add("corosync-qdevice")
    node.units["corosync-qdevice"] = "active"
    node.hooks["stop corosync"] = lambda: node.units.update({"corosync-qdevice": "inactive"})


def test_the_qdevice_comes_back_with_corosync(machine: FakeMachine, node: Node) -> None:
    with_qdevice(machine, node)
    node.stop("corosync")
    twice(machine, start_services.STEP, WANTED)
    assert node.units["corosync-qdevice"] == "active"


def test_quorum_may_be_the_qdevices(machine: FakeMachine, node: Node) -> None:
    with_qdevice(machine, node)
    node.stop("corosync")
    machine.programs["corosync-quorumtool"] = lambda *_: (
        QUORUM if node.units["corosync-qdevice"] == "active" else QUORUM.replace("Yes", "No")
    )
    twice(machine, start_services.STEP, WANTED)


def test_a_qdevice_that_does_not_start_keeps_nothing_else_from_running(machine: FakeMachine, node: Node) -> None:
    with_qdevice(machine, node)
    node.stop("corosync")
    node.broken = {"corosync-qdevice"}
    with pytest.raises(StepError, match="corosync-qdevice does not start"):
        run(machine, start_services.STEP, WANTED)
    assert all(node.units[unit] == "active" for unit in start_services.ORDER)


def test_a_qdevice_that_is_not_set_up_or_was_removed_is_not_started(machine: FakeMachine, node: Node) -> None:
    """Its section goes from corosync.conf first; without that the daemon does not start."""
    with_qdevice(machine, node, conf=CONF)
    node.stop("corosync")
    run(machine, start_services.STEP, WANTED)
    assert node.units["corosync-qdevice"] == "inactive"
    with_qdevice(machine, node)
    node.enabled.clear()
    node.stop("corosync")
    run(machine, start_services.STEP, WANTED)
    assert node.units["corosync-qdevice"] == "inactive"


def test_the_file_comes_back_and_no_corosync_runs_with_another(machine: FakeMachine, node: Node) -> None:
    machine.write("/etc/corosync/corosync.conf", "nodelist\n")
    loaded = "totem.config_version (u64) = 90\n"
    machine.programs["corosync-cmapctl"] = lambda *_: loaded if node.units["corosync"] == "active" else 1
    twice(machine, restore_corosync.STEP, CorosyncFile(CONF))
    assert machine.read("/etc/corosync/corosync.conf") == CONF
    assert node.units["corosync"] == "inactive"
    assert way_in.is_open(machine)  # until start-services has brought all of it back
    run(machine, start_services.STEP, WANTED)
    assert not way_in.is_open(machine)


def test_a_corosync_without_a_membership_does_not_end_when_it_is_asked_to(machine: FakeMachine, node: Node) -> None:
    """`systemctl stop` waited for 60 s, and the repair failed."""
    asked: list[str] = []

    def systemctl(arguments: list[str], stdin: str) -> str | int:
        if "corosync" in arguments and arguments[0] in ("stop", "kill"):
            asked.append(" ".join(arguments))
            if arguments[0] == "stop" and len(asked) == 1:
                return TIMED_OUT
        return node.systemctl(arguments, stdin)

    machine.write("/etc/corosync/corosync.conf", "nodelist\n")
    machine.programs["systemctl"] = systemctl
    machine.programs["corosync-cmapctl"] = lambda *_: (
        "totem.config_version (u64) = 2\n" if node.units["corosync"] == "active" else 1
    )
    twice(machine, restore_corosync.STEP, CorosyncFile(CONF))
    assert asked == ["stop corosync", "kill --signal=SIGKILL corosync", "stop corosync"]
    assert node.units["corosync"] == "inactive"


def test_every_configuration_is_found_and_none_is_read_from_a_pve_that_hangs(machine: FakeMachine, node: Node) -> None:
    machine.write("/var/lib/nested-pve-ha-corosync/corosync.conf.2", "two")
    machine.write("/etc/pve/corosync.conf", "shared")
    machine.programs["corosync-cmapctl"] = lambda *_: "totem.version (u32) = 2\nnodelist.node.0.name (str) = pve2\n"
    found = {file.place: file.text for file in corosync_files.observe(machine).files}
    assert list(found) == [
        "/etc/corosync/corosync.conf",
        "/etc/pve/corosync.conf",
        "/var/lib/nested-pve-ha-corosync/corosync.conf.2",
        corosync_files.LOADED,
    ]
    assert "name: pve2" in found[corosync_files.LOADED]
    node.unmount()
    assert "/etc/pve/corosync.conf" not in {file.place for file in corosync_files.observe(machine).files}
