"""Steps of rolling work on a machine: maintenance, guests that leave, packages, a reboot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from onnode.cluster import guest_places, maintenance, move_guests, running_guests
from onnode.contract.guests import GuestMove, Maintenance, MoveGuests
from onnode.contract.node import RebootNode, UpgradeNode
from onnode.errors import StepError
from onnode.node import reboot_node, upgrade_node
from onnode.system import kernel, repository
from onnode.system.machine import Result
from tests.support.onnode_worlds import Systemd, run, twice

if TYPE_CHECKING:
    from tests.support.fake_machine import FakeMachine

DRAIN = Maintenance("pve2", enabled=True, timeout_s=120)
GIVE_BACK = Maintenance("pve2", enabled=False, timeout_s=120)


class HaManager:
    """It takes a command up when time passes; its guests move, unless they are bound."""

    def __init__(
        self, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, *, bound: bool = False, deaf: bool = False
    ) -> None:
        self.machine, self.bound, self.deaf = machine, bound, deaf
        self.status: dict[str, Any] = {
            "node_status": {"pve1": "online", "pve2": "online"},
            "node_request": {},
            "service_status": {"vm:100": {"state": "started", "node": "pve2", "uid": "1", "running": 1}},
        }
        self.mode = "active"
        self.publish()
        machine.programs["ha-manager"] = self.ask
        monkeypatch.setattr(machine, "sleep", self.sleep)  # time is what it works in

    def publish(self) -> None:
        self.machine.write("/etc/pve/ha/manager_status", json.dumps(self.status))
        self.machine.write("/etc/pve/nodes/pve2/lrm_status", json.dumps({"mode": self.mode}))

    def ask(self, arguments: list[str], _stdin: str) -> str:
        assert arguments[:2] == ["crm-command", "node-maintenance"]
        if not self.deaf:
            self.status["node_request"]["pve2"] = {"maintenance": 1} if arguments[2] == "enable" else {}
        self.publish()
        return ""

    def sleep(self, seconds: float) -> None:
        self.machine.seconds += seconds
        asked = bool(self.status["node_request"].get("pve2"))
        self.mode = "maintenance" if asked else "active"
        self.status["node_status"]["pve2"] = "maintenance" if asked else "online"
        service = self.status["service_status"]["vm:100"]
        goal = "pve1" if asked else "pve2"
        if service["state"] == "migrate":
            service |= {"state": "started", "node": service["target"], "running": 1}
        elif service["node"] != goal and not self.bound:
            service |= {"state": "migrate", "target": goal}
        self.publish()


def test_a_node_is_drained_and_given_back(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    world = HaManager(machine, monkeypatch)
    assert twice(machine, maintenance.STEP, DRAIN).facts == {"state": "maintenance"}
    assert world.status["service_status"]["vm:100"]["node"] == "pve1"
    assert twice(machine, maintenance.STEP, GIVE_BACK).facts == {"state": "online"}
    assert world.status["service_status"]["vm:100"]["node"] == "pve2"


def test_a_command_that_an_earlier_call_left_is_not_given_twice(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = HaManager(machine, monkeypatch)
    world.status["node_request"]["pve2"] = {"maintenance": 1}
    world.publish()
    run(machine, maintenance.STEP, DRAIN)
    assert machine.ran("ha-manager") == []
    assert world.status["service_status"]["vm:100"]["node"] == "pve1"


def test_an_ha_manager_that_does_nothing_is_named_in_time(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    HaManager(machine, monkeypatch, deaf=True)
    began = machine.seconds
    with pytest.raises(StepError) as failed:
        run(machine, maintenance.STEP, DRAIN)
    assert failed.value.code == "maintenance-not-taken"
    assert "state online" in failed.value.observed
    assert machine.seconds - began <= DRAIN.timeout_s + 2


def test_a_guest_that_stays_is_named_and_nobody_waits_for_it_long(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    HaManager(machine, monkeypatch, bound=True)
    began = machine.seconds
    with pytest.raises(StepError) as failed:
        run(machine, maintenance.STEP, DRAIN)
    assert failed.value.code == "guests-remain"
    assert failed.value.observed == "vm:100 (started)"
    assert machine.seconds - began < DRAIN.timeout_s


STORAGES = "dir: local\n\tpath /var/lib/vz\n\nnfs: shared\n\tserver s\n\nnfs: two\n\tserver s\n\tnodes pve1,pve2\n\nlvm: san\n\tshared 1\n\nnfs: off\n\tserver s\n\tdisable 1\n"
RESOURCES = "vm: 100\n\tstate started\n\nvm: 101\n\tstate ignored\n\nct: 102\n\tgroup pair\n"
RULES = (
    "node-affinity: home\n\tresources vm:100,vm:101\n\tnodes pve2:2,pve3\n\tstrict 1\n\n"
    "node-affinity: off\n\tresources ct:102\n\tnodes pve9\n\tstrict 1\n\tdisable 1\n\n"
    "node-affinity: loose\n\tresources ct:102\n\tnodes pve9\n"
)
GROUPS = "group: pair\n\tnodes pve1:1,pve2\n\trestricted 1\n"
SETTINGS = guest_places.parse(STORAGES, RESOURCES, RULES, GROUPS)
GUESTS: list[tuple[str, str, bool, list[str], list[str] | None]] = [
    ("vm:103", "name: a\nscsi0: shared:103/vm-103-disk-0.qcow2,size=1G\nide2: none,media=cdrom\nserial0: socket\nusb0: spice\n", False, [], None),
    ("vm:103", "scsi0: san:vm-103-disk-0\n[old]\nscsi0: local:1/a\n", False, ["scsi0 is on local, which is not shared"], None),
    ("vm:103", "scsi0: off:103/a\n", False, ["scsi0 is on off, which is switched off"], None),
    ("vm:103", "scsi0: two:103/a\n", False, [], ["pve1", "pve2"]),
    ("vm:103", "scsi0: local:103/a\nunused0: gone:103/b\n", False, ["scsi0 is on local, which is not shared", "unused0 is on gone, which is not shared"], None),
    ("vm:103", "ide2: cdrom,media=cdrom\n", False, ["ide2 is the node's own (cdrom)"], None),
    ("vm:103", "scsi0: shared:a\nhostpci0: 0000:01:00\nusb1: host=1:2\nlock: backup\n", False, ["it is locked (backup)", "hostpci0 is a device of the node", "usb1 is a device of the node"], None),
    ("vm:100", "scsi0: two:a\n", True, [], ["pve2"]),
    ("vm:101", "scsi0: shared:a\n", False, [], None),  # HA ignores it, and so its rule
    ("ct:102", "hostname: c\nrootfs: shared:a,size=1G\n", True, [], ["pve1", "pve2"]),
    ("ct:104", "rootfs: shared:a\nmp0: /mnt/data,mp=/data\nmp1: /mnt/all,mp=/all,shared=1\ndev0: /dev/ttyS0\n", False, ["mp0 is the node's own (/mnt/data)", "dev0 is a device of the node"], None),
]  # fmt: skip


@pytest.mark.parametrize(("sid", "text", "managed", "obstacles", "nodes"), GUESTS)
def test_what_ties_a_guest_to_its_node(
    sid: str,
    text: str,
    managed: bool,  # noqa: FBT001
    obstacles: list[str],
    nodes: list[str] | None,
) -> None:
    found = guest_places.judge(sid, text, SETTINGS)
    assert (SETTINGS.is_managed(sid), found.obstacles, found.nodes) == (managed, obstacles, nodes)


class Guests:
    """Two guests that run here; `stuck` ones do not move."""

    def __init__(self, machine: FakeMachine, *stuck: str) -> None:
        self.machine, self.stuck = machine, stuck
        machine.write("/proc/sys/kernel/hostname", "pve2\n")
        machine.write("/etc/pve/qemu-server/100.conf", "name: a\nscsi0: shared:a\n")
        machine.write("/etc/pve/lxc/101.conf", "hostname: b\nrootfs: shared:b\n")
        machine.write("/etc/pve/storage.cfg", STORAGES)
        machine.programs |= {"qm": self.qm, "pct": self.pct}

    def qm(self, arguments: list[str], _stdin: str) -> str | Result:
        if arguments == ["list"]:
            here = self.machine.exists("/etc/pve/qemu-server/100.conf")
            return f"VMID NAME STATUS MEM(MB) BOOTDISK(GB) PID\n{'100 a running 64 1 1' if here else ''}\n"
        return self._move("qm", arguments, "qemu-server", ["migrate", "100", "pve1", "--online"])

    def pct(self, arguments: list[str], _stdin: str) -> str | Result:
        if arguments == ["list"]:
            here = self.machine.exists("/etc/pve/lxc/101.conf")
            return f"VMID Status Lock Name\n{'101 running b' if here else ''}\n"
        return self._move("pct", arguments, "lxc", ["migrate", "101", "pve3", "--restart"])

    def _move(self, program: str, arguments: list[str], directory: str, expected: list[str]) -> Result:
        assert arguments == expected
        if program in self.stuck:  # the tools exit with 0 whatever became of the task
            return Result((program,), 0, out="starting migration\nERROR: migration aborted: no way\n")
        text = self.machine.read(f"/etc/pve/{directory}/{arguments[1]}.conf") or ""
        self.machine.remove(f"/etc/pve/{directory}/{arguments[1]}.conf")
        self.machine.write(f"/etc/pve/nodes/{arguments[2]}/{directory}/{arguments[1]}.conf", text)
        return Result((program,), 0)


MOVES = MoveGuests("pve2", [GuestMove("vm:100", "pve1"), GuestMove("ct:101", "pve3")])


def test_guests_that_run_are_found_and_moved(machine: FakeMachine) -> None:
    Guests(machine)
    seen = run(machine, running_guests.STEP, None).facts
    assert [(one["sid"], one["name"], one["managed"]) for one in seen["guests"]] == [
        ("vm:100", "a", False),
        ("ct:101", "b", False),
    ]
    twice(machine, move_guests.STEP, MOVES)
    assert run(machine, running_guests.STEP, None).facts["guests"] == []


def test_a_migration_that_failed_is_seen_though_the_tool_says_nothing(machine: FakeMachine) -> None:
    Guests(machine, "qm")
    with pytest.raises(StepError) as failed:
        run(machine, move_guests.STEP, MOVES)
    assert failed.value.code == "migration-failed"
    assert "no way" in failed.value.observed
    assert machine.exists("/etc/pve/lxc/101.conf")


class Apt:
    """Packages that wait until they are upgraded."""

    def __init__(self, machine: FakeMachine, plan: str) -> None:
        self.plan = plan
        machine.write("/proc/sys/kernel/hostname", "pve2\n")
        machine.write("/proc/sys/kernel/osrelease", "6.17.2-1-pve\n")
        machine.write("/proc/sys/kernel/random/boot_id", "b1\n")
        machine.write("/etc/apt/sources.list.d/a.sources", "Types: deb\n")
        machine.programs |= {"apt-get": self.apt, "dpkg-query": self.query, "dpkg": lambda *_: ""}

    def apt(self, arguments: list[str], _stdin: str) -> str:
        if arguments[-1] == "dist-upgrade":
            shown = self.plan
            self.plan = self.plan if "-s" in arguments else ""
            return shown
        assert arguments[-1] == "update"
        return ""

    def query(self, arguments: list[str], _stdin: str) -> str:
        if arguments[-1] == "pve-manager":
            return "installed 9.1.1\n"
        return "" if self.plan else "proxmox-kernel-6.17.2-2-pve-signed installed\n"


PLAN = "Inst pve-manager [9.1.1] (9.1.2 P)\nInst proxmox-kernel-6.17.2-2-pve-signed (6.17.2-2 P)\n"


def wanted(*, apply: bool) -> UpgradeNode:
    return UpgradeNode("pve2", 9, apply, 600.0)


def test_a_look_fetches_lists_and_upgrades_nothing(machine: FakeMachine) -> None:
    Apt(machine, PLAN)
    looked = run(machine, upgrade_node.STEP, wanted(apply=False))
    assert looked.facts["packages"] == ["proxmox-kernel-6.17.2-2-pve-signed", "pve-manager"]
    assert [one.split()[-1] for one in machine.ran("apt-get") if " -s " not in one] == ["update"]
    done = twice(machine, upgrade_node.STEP, wanted(apply=True))
    assert done.facts["packages"] == []
    assert done.facts["kernel_newest"] == "6.17.2-2-pve"
    machine.seconds += 601
    run(machine, upgrade_node.STEP, wanted(apply=False))
    assert any(one.endswith(" update") for one in machine.ran("apt-get"))


def test_other_sources_count_as_never_fetched(machine: FakeMachine) -> None:
    Apt(machine, "")
    repository.update(machine)
    assert repository.lists_age_s(machine) == 0
    machine.write("/etc/apt/sources.list.d/a.sources", "Types: deb deb-src\n")
    assert repository.lists_age_s(machine) is None


def test_a_reboot_is_asked_for_once(machine: FakeMachine) -> None:
    Apt(machine, "")
    Systemd(machine, ssh_service="active")
    machine.programs["systemd-run"] = lambda *_: ""
    twice(machine, reboot_node.STEP, RebootNode("pve2", "b1"))
    assert kernel.observe(machine).rebooting
    machine.write("/proc/sys/kernel/random/boot_id", "b2\n")
    assert not run(machine, reboot_node.STEP, RebootNode("pve2", "b1")).changed
