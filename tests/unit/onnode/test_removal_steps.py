"""A node leaves a cluster: its guests, the look whether it is off, its entry and what is left of it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from onnode.cluster import evacuate_node, keep_members, maintenance, node_gone, remove_member, reset_node, set_aside
from onnode.cluster.corosync import ConfNode
from onnode.contract.removal import EvacuateNode, KeepMembers, NodeGone, RemoveMember, ResetNode
from onnode.errors import StepError
from onnode.system.machine import Result
from tests.support.corosync_conf import corosync_conf
from tests.support.onnode_worlds import run, twice

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fake_machine import FakeMachine

STORAGES = """\
dir: local
\tpath /var/lib/vz
\tcontent iso

nfs: shared
\tserver 10.30.1.1

lvm: san
\tshared 1
\tdisable 0
\tnodes pve1,pve4

lvmthin: local-lvm
\tcontent images
"""
QUORUM = """\
Quorate:          {quorate}
Expected votes:   {votes}
Highest expected: {votes}
Total votes:      {there}
Quorum:           2
    Nodeid      Votes Name
{rows}
"""
EVACUATE = EvacuateNode("pve4", ["pve1", "pve2", "pve3"], "stack-dev", 120)
REMOVE = RemoveMember("pve4", ["10.10.1.104", "192.168.0.104"])


MARK = "/etc/pve/nested-pve-ha/leaving-pve4"
LISTED = "/etc/pve/corosync.conf"


class HaManager:
    """Whether it has pve4 in maintenance, and what it publishes; its rounds take no time."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.requested = False
        self.is_deaf = False
        self.services: dict[str, Any] = {}
        self.publish()
        machine.programs |= {"mkdir": lambda *_: 0, "dd": self.dd, "rm": self.rm}

    def publish(self) -> None:
        state = "maintenance" if self.requested else "online"
        status = {
            "node_status": {"pve4": state},
            "node_request": {"pve4": {"maintenance": 1} if self.requested else {}},
            "service_status": self.services,
            "timestamp": 1000,
        }
        mode = "maintenance" if self.requested else "active"
        self.machine.write("/etc/pve/ha/manager_status", json.dumps(status) + "\0\0")
        self.machine.write("/etc/pve/nodes/pve4/lrm_status", json.dumps({"mode": mode, "timestamp": 1000}))

    def ask(self, verb: str, node: str) -> str:
        assert node == "pve4"
        if f"name: {node}\n" not in (self.machine.read("/etc/pve/corosync.conf") or ""):
            raise AssertionError("no such cluster node")
        if not self.is_deaf:
            self.requested = verb == "enable"
        self.publish()
        return ""

    def dd(self, arguments: list[str], stdin: str) -> int:
        self.machine.write(arguments[0].removeprefix("of="), stdin)
        return 0

    def rm(self, arguments: list[str], _stdin: str) -> int:
        assert arguments[:-1] == ["-f", "--"]
        self.machine.remove(arguments[-1])
        return 0


class Guests:
    """Guests on pve4, and what moves them."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.running: set[int] = set()
        self.delay = 0  # looks at HA's status until a move has ended
        self.refusal = ""
        self.asked: list[tuple[str, str]] = []
        self.ha = HaManager(machine)
        machine.write("/etc/pve/storage.cfg", STORAGES)
        machine.write(LISTED, corosync_conf("home", 4, [ConfNode("pve4", 4, 1)]))
        machine.write("/etc/pve/.members", json.dumps({"nodelist": {"pve4": {"id": 4, "online": 1}}}))
        machine.programs |= {"pvesh": self.pvesh, "ha-manager": self.ha_manager}

    def put(self, kind: str, vmid: int, text: str, *, running: bool = True) -> None:
        self.machine.write(f"/etc/pve/nodes/pve4/{kind}/{vmid}.conf", text)
        self.running |= {vmid} if running else set()

    def under_ha(self, sid: str, **values: str) -> None:
        kind, _, number = sid.partition(":")
        text = self.machine.read("/etc/pve/ha/resources.cfg") or ""
        options = "".join(f"\t{key} {value}\n" for key, value in values.items())
        self.machine.write("/etc/pve/ha/resources.cfg", f"{text}{kind}: {number}\n{options}\n")

    def status(self, sid: str, **values: Any) -> None:  # noqa: ANN401 - as in the file
        self.ha.services[sid] = values
        self.ha.publish()

    def where(self, vmid: int) -> str:
        (found,) = self.machine.path("/etc/pve/nodes").glob(f"*/*/{vmid}.conf")
        return found.parts[-3]

    def move(self, vmid: int, target: str) -> None:
        (source,) = self.machine.path("/etc/pve/nodes").glob(f"*/*/{vmid}.conf")
        place = self.machine.path(f"/etc/pve/nodes/{target}/{source.parent.name}")
        place.mkdir(parents=True, exist_ok=True)
        source.rename(place / source.name)

    def pvesh(self, arguments: list[str], _stdin: str) -> str | Result:
        if arguments[0] == "get":
            return json.dumps([{"vmid": vmid, "status": "running"} for vmid in sorted(self.running)])
        if self.refusal:
            return Result(("pvesh",), 0, err=self.refusal)
        self.move(int(arguments[1].split("/")[4]), arguments[3])
        return ""

    def ha_manager(self, arguments: list[str], _stdin: str) -> str:
        if arguments[:2] == ["crm-command", "node-maintenance"]:
            return self.ha.ask(*arguments[2:])
        if arguments[0] == "crm-command":
            self.asked.append((arguments[2], arguments[3]))
            if not self.refusal:
                self.move(int(arguments[2][3:]), arguments[3])
            return self.refusal
        path = "/etc/pve/ha/groups.cfg" if arguments[0] == "groupset" else "/etc/pve/ha/rules.cfg"
        name, nodes = arguments[-3], arguments[-1]
        lines = (self.machine.read(path) or "").splitlines(keepends=True)
        at = next(index for index, line in enumerate(lines) if line.endswith(f": {name}\n"))
        row = next(index for index, line in enumerate(lines) if index > at and line.startswith("\tnodes "))
        lines[row] = f"\tnodes {nodes}\n"
        self.machine.write(path, "".join(lines))
        return ""


@pytest.fixture
def guests(machine: FakeMachine) -> Guests:
    return Guests(machine)


def test_each_guest_goes_in_its_own_way(machine: FakeMachine, guests: Guests) -> None:
    guests.put("qemu-server", 100, "name: web\nscsi0: shared:100/vm-100-disk-0.qcow2,size=4G\nide2: none,media=cdrom\n")
    guests.put("qemu-server", 101, "name: off\nscsi0: san:vm-101-disk-0\n", running=False)
    guests.put("lxc", 102, "hostname: box\nrootfs: shared:102/vm-102-disk-0.raw\n")
    guests.put("lxc", 103, "hostname: kept\nrootfs: shared:103/vm-103-disk-0.raw\nmp0: /srv/x,mp=/x,shared=1\n")
    guests.put("qemu-server", 104, "name: ignored\n")
    guests.under_ha("ct:103", state="started")
    guests.under_ha("vm:104", state="ignored")
    outcome = twice(machine, evacuate_node.STEP, EVACUATE)
    assert outcome.facts == {"node": "pve4", "named_by": ["storage san"]}
    assert guests.asked == [("ct:103", guests.where(103))]
    assert (guests.ha.requested, machine.read(MARK)) == (True, "stack-dev\n")
    assert guests.where(101) == "pve1"  # where its storage is
    assert {guests.where(number) for number in (100, 102, 104)} <= {"pve1", "pve2", "pve3"}


def test_the_ways_of_moving_without_ha(machine: FakeMachine, guests: Guests) -> None:
    guests.put("qemu-server", 100, "")
    guests.put("qemu-server", 101, "", running=False)
    guests.put("lxc", 102, "")
    run(machine, evacuate_node.STEP, EVACUATE)
    assert [one.partition(" --target ")[2].split(" ", 1)[1:] for one in machine.ran("pvesh create")] == [
        ["--online 1"],
        [],
        ["--restart 1"],
    ]


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("scsi0: local-lvm:vm-100-disk-0,size=4G", "scsi0 is on local-lvm, which is not shared"),
        ("ide2: local:iso/debian.iso,media=cdrom", "ide2 is on local, which is not shared"),
        ("ide2: cdrom,media=cdrom", "ide2 is the node's own (cdrom)"),
        ("scsi1: /dev/sdb", "scsi1 is the node's own (/dev/sdb)"),
        ("unused0: local-lvm:vm-100-disk-1", "unused0 is on local-lvm, which is not shared"),
        ("scsi0: gone:vm-100-disk-0", "scsi0 is on gone, which is not shared"),
        ("scsi0: shared:1/x\n\n[before]\nscsi0: local-lvm:vm-100-disk-0", "scsi0 is on local-lvm, which is not shared"),
        (
            "scsi0: shared:1/x\n\n[before]\nvmstate: local-lvm:vm-100-state",
            "vmstate is on local-lvm, which is not shared",
        ),
        ("hostpci0: 0000:01:00", "hostpci0 is a device of the node"),
        ("usb0: host=1234:5678", "usb0 is a device of the node"),
    ],
)
def test_what_ties_a_guest_to_its_node(machine: FakeMachine, guests: Guests, text: str, bound: str) -> None:
    guests.put("qemu-server", 100, f"name: web\n{text}\n")
    with pytest.raises(StepError) as refused:
        run(machine, evacuate_node.STEP, EVACUATE)
    assert (refused.value.code, refused.value.observed) == (
        "guest-cannot-leave",
        f"vm:100 (web): {bound}",
    )
    assert guests.where(100) == "pve4"
    assert not guests.ha.requested


@pytest.mark.parametrize(
    "text", ["usb0: spice", "scsi0: shared:1/x,size=1G", "net0: virtio,bridge=vmbr0", "ide2: none"]
)
def test_what_ties_no_guest(machine: FakeMachine, guests: Guests, text: str) -> None:
    guests.put("qemu-server", 100, f"{text}\n")
    assert run(machine, evacuate_node.STEP, EVACUATE).changed


RULES = """\
node-affinity: web-placement
\tcomment stack-dev
\tdisable 0
\tnodes pve4:3,pve2:2,pve1
\tresources vm:100

node-affinity: theirs
\tnodes pve3:2,pve4:1
\tresources vm:900

resource-affinity: apart
\taffinity negative
\tresources vm:100,vm:900
"""


def test_rules_of_the_stack_let_go_and_the_guest_goes_where_they_want_it(machine: FakeMachine, guests: Guests) -> None:
    guests.put("qemu-server", 100, "name: web\n")
    guests.under_ha("vm:100", state="started")
    machine.write("/etc/pve/ha/rules.cfg", RULES)
    outcome = twice(machine, evacuate_node.STEP, EVACUATE)
    assert outcome.facts["named_by"] == ["HA rule theirs", "storage san"]
    assert guests.asked == [("vm:100", "pve2")]
    assert machine.read("/etc/pve/ha/rules.cfg") == RULES.replace("pve4:3,pve2:2,pve1", "pve1:0,pve2:2")


def test_groups_of_proxmox_ve_8_let_go(machine: FakeMachine, guests: Guests) -> None:
    guests.put("lxc", 100, "")
    guests.under_ha("ct:100", group="web-placement")
    machine.write(
        "/etc/pve/ha/groups.cfg", "group: web-placement\n\tcomment stack-dev\n\tnodes pve4:2,pve3\n\trestricted 1\n"
    )
    run(machine, evacuate_node.STEP, EVACUATE)
    assert guests.asked == [("ct:100", "pve3")]
    assert "nodes pve3:0\n" in (machine.read("/etc/pve/ha/groups.cfg") or "")


def test_a_rule_that_is_switched_off_does_not_count(machine: FakeMachine, guests: Guests) -> None:
    guests.put("qemu-server", 100, "")
    guests.under_ha("vm:100")
    off = "node-affinity: theirs\n\tdisable 1\n\tnodes pve4:2\n\tresources vm:100\n\tstrict 1\n"
    machine.write("/etc/pve/ha/rules.cfg", off)
    assert run(machine, evacuate_node.STEP, EVACUATE).facts["named_by"] == ["storage san"]


def test_a_guest_that_stays_is_named_with_what_the_tool_said(machine: FakeMachine, guests: Guests) -> None:
    guests.put("qemu-server", 100, "")
    guests.refusal = "can't migrate VM: no space left"
    with pytest.raises(StepError) as refused:
        run(machine, evacuate_node.STEP, EVACUATE)
    assert refused.value.code == "guest-did-not-leave"
    assert "no space left" in refused.value.observed


def test_a_guest_that_ha_leaves_where_it_is_is_not_waited_for_long(machine: FakeMachine, guests: Guests) -> None:
    guests.put("qemu-server", 100, "")
    guests.under_ha("vm:100")
    guests.status("vm:100", state="started", node="pve4")
    guests.refusal = "ignored"
    begun = machine.seconds
    with pytest.raises(StepError) as refused:
        run(machine, evacuate_node.STEP, EVACUATE)
    assert (refused.value.code, refused.value.observed) == (
        "guest-did-not-leave",
        "ignored; HA has it in state started",
    )
    assert [sid for sid, _ in guests.asked] == ["vm:100", "vm:100"], "once more, before it is given up"
    assert 2 * evacuate_node.IDLE_S <= machine.seconds - begun < 2 * evacuate_node.IDLE_S + 10


@pytest.mark.parametrize("status", [{"state": "migrate"}, {"state": "started", "cmd": ["migrate", "pve2"]}])
def test_a_guest_that_ha_is_moving_is_waited_for(machine: FakeMachine, guests: Guests, status: dict[str, Any]) -> None:
    guests.put("qemu-server", 100, "")
    guests.under_ha("vm:100")
    guests.status("vm:100", node="pve4", **status)
    guests.refusal = "asked"
    begun = machine.seconds
    with pytest.raises(StepError):
        run(machine, evacuate_node.STEP, EVACUATE)
    assert machine.seconds - begun >= evacuate_node.MOVE_S


def test_ha_is_told_where_its_guests_go_with_the_maintenance_before_any_is_waited_for(
    machine: FakeMachine, guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (100, 101):
        guests.put("qemu-server", number, "")
        guests.under_ha(f"vm:{number}")
    began: list[list[str]] = []
    monkeypatch.setattr(machine, "sleep", lambda _by: began.append(machine.ran("ha-manager")))
    run(machine, evacuate_node.STEP, EVACUATE)
    commands = [one.split()[1:] for one in machine.ran("ha-manager")]
    assert [words[1:3] for words in commands] == [
        ["node-maintenance", "enable"],
        ["migrate", "vm:100"],
        ["migrate", "vm:101"],
    ]
    assert not began


@pytest.mark.parametrize("has_guest", [True, False])
def test_a_node_that_was_in_maintenance_before_is_not_marked(
    machine: FakeMachine, guests: Guests, *, has_guest: bool
) -> None:
    guests.under_ha("vm:900")
    guests.ha.ask("enable", "pve4")
    if has_guest:
        guests.put("qemu-server", 100, "")
    assert run(machine, evacuate_node.STEP, EVACUATE).changed == has_guest
    assert machine.read(MARK) is None
    run(machine, keep_members.STEP, KEEP)
    assert guests.ha.requested, "somebody else wanted that"


def test_without_ha_nothing_comes_back_and_nothing_is_asked_of_it(machine: FakeMachine, guests: Guests) -> None:
    guests.put("qemu-server", 100, "")
    run(machine, evacuate_node.STEP, EVACUATE)
    assert (machine.ran("ha-manager"), guests.ha.requested) == ([], False)


def test_an_ha_manager_that_takes_nothing_up_is_named(machine: FakeMachine, guests: Guests) -> None:
    guests.under_ha("vm:900")
    guests.ha.is_deaf = True
    begun = machine.seconds
    with pytest.raises(StepError) as failed:
        run(machine, evacuate_node.STEP, EVACUATE)
    assert failed.value.code == "maintenance-not-taken"
    assert machine.seconds - begun <= EVACUATE.timeout_s + 10


KEEP = KeepMembers(["pve1", "pve4"], "stack-dev")


def test_a_removal_that_was_taken_back_leaves_nothing(machine: FakeMachine, guests: Guests) -> None:
    guests.under_ha("vm:900")
    run(machine, evacuate_node.STEP, EVACUATE)
    assert guests.ha.requested
    assert not run(machine, keep_members.STEP, KeepMembers(["pve4"], "stack-other")).changed
    twice(machine, keep_members.STEP, KEEP)
    assert (guests.ha.requested, machine.read(MARK)) == (False, None)


def test_one_that_is_off_the_list_is_kept_when_it_has_joined_again(machine: FakeMachine, guests: Guests) -> None:
    guests.under_ha("vm:900")
    run(machine, evacuate_node.STEP, EVACUATE)
    listed = machine.read(LISTED) or ""
    machine.write(LISTED, listed.replace("name: pve4", "name: pve3"))
    assert not run(machine, keep_members.STEP, KEEP).changed
    assert machine.read(MARK) == "stack-dev\n"
    machine.write(LISTED, listed)
    twice(machine, keep_members.STEP, KEEP)
    assert (guests.ha.requested, machine.read(MARK)) == (False, None)


def test_what_ha_does_not_take_back_stays_marked(machine: FakeMachine, guests: Guests) -> None:
    guests.under_ha("vm:900")
    run(machine, evacuate_node.STEP, EVACUATE)
    guests.ha.is_deaf = True
    begun = machine.seconds
    with pytest.raises(StepError) as failed:
        run(machine, keep_members.STEP, KEEP)
    assert failed.value.code == "maintenance-not-taken"
    assert machine.read(MARK) == "stack-dev\n"
    assert machine.seconds - begun <= maintenance.WITHDRAW_S + 2


def after(machine: FakeMachine, seconds: float, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do it once that time has passed."""
    due, sleep, done = machine.seconds + seconds, machine.sleep, list[bool]()

    def slept(by: float) -> None:
        sleep(by)
        if machine.seconds >= due and not done:
            done.append(True)
            act()

    monkeypatch.setattr(machine, "sleep", slept)


def test_ha_recovers_a_guest_from_a_node_that_is_off(
    machine: FakeMachine, guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.write("/etc/pve/.members", json.dumps({"nodelist": {"pve4": {"id": 4, "online": 0}}}))
    guests.put("qemu-server", 100, "")
    guests.under_ha("vm:100")
    after(machine, 150, lambda: guests.move(100, "pve2"), monkeypatch)
    assert run(machine, evacuate_node.STEP, EVACUATE).changed
    assert guests.asked == []


def test_a_guest_that_ha_does_not_recover_is_named(machine: FakeMachine, guests: Guests) -> None:
    machine.write("/etc/pve/.members", "not yet")
    guests.put("qemu-server", 100, "")
    guests.under_ha("vm:100")
    with pytest.raises(StepError) as refused:
        run(machine, evacuate_node.STEP, EVACUATE)
    assert (refused.value.code, "HA has not recovered it" in refused.value.observed) == ("guest-did-not-leave", True)


# -- whether it is off -------------------------------------------------------------------------------------------------


def quorum(*voting: int, votes: int) -> str:
    rows = "\n".join(f"0x{number:08x}          1 10.10.1.{100 + number}" for number in voting)
    quorate = "Yes" if 2 * len(voting) > votes else "No"
    return QUORUM.format(quorate=quorate, votes=votes, there=len(voting), rows=rows)


def test_whatever_shows_that_a_node_is_on_is_told(machine: FakeMachine) -> None:
    wanted = NodeGone("pve4", 4, ["10.10.1.104", "192.168.0.104"])
    machine.programs |= {
        "corosync-quorumtool": lambda _arguments, _stdin: quorum(1, 4, votes=4),
        "ping": lambda arguments, _stdin: 0 if arguments[-1] == "10.10.1.104" else 1,
    }
    machine.there = {"192.168.0.104"}
    told = ["it votes", "10.10.1.104 answers ping", "a machine is at 192.168.0.104, port 22"]
    assert run(machine, node_gone.STEP, wanted).facts == {"seen": told}
    machine.there = set()
    machine.programs |= {"corosync-quorumtool": lambda *_: quorum(1, 2, votes=4), "ping": lambda *_: 1}
    assert run(machine, node_gone.STEP, wanted).facts == {"seen": []}
    assert machine.notes[-1] == "unchanged: pve4: nothing answers"


# -- its entry, and what is left ---------------------------------------------------------------------------------------

KEYS = 'ssh-rsa AAAA1 root@pve1\nssh-rsa AAAA4 root@pve4\n# root@pve4\nssh-ed25519 AAAA9 admin@pve4\nfrom="10.0.0.1" ssh-rsa AAAA8 root@pve4\n'
HOSTS = "pve1 ssh-rsa AAAA1\nPVE4 ssh-rsa AAAA4\n10.10.1.104,192.168.0.104 ssh-rsa AAAA4\npve4,nas ssh-rsa AAAA4\n"
JOBS = "local: 100-0\n\ttarget pve4\n\trate 10\n\nlocal: 101-0\n\ttarget pve2\n"


class Cluster:
    """Three members and pve4, which is off."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.is_deaf = False
        self.archives: dict[str, list[str]] = {}
        self.ha = HaManager(machine)
        self.lists(1, 2, 3, 4)
        machine.write("/proc/sys/kernel/hostname", "pve1.lab.internal\n")
        machine.write("/etc/pve/nodes/pve4/pve-ssl.pem", "PEM")
        machine.write("/etc/pve/nodes/pve1/pve-ssl.pem", "PEM")
        machine.write("/etc/pve/priv/authorized_keys", KEYS)
        machine.write("/etc/pve/priv/known_hosts", HOSTS)
        machine.write("/etc/pve/replication.cfg", JOBS)
        machine.programs |= {
            "corosync-quorumtool": lambda *_: quorum(1, 2, 3, votes=len(self.listed)),
            "ha-manager": lambda arguments, _stdin: self.ha.ask(*arguments[2:]),
            "pvecm": self.pvecm,
            "pvesh": self.pvesh,
            "rm": self.rm,
            "sh": self.sh,
        }

    def lists(self, *numbers: int) -> None:
        self.listed = numbers
        nodes = [ConfNode(f"pve{number}", number, 1) for number in numbers]
        self.machine.write("/etc/pve/corosync.conf", corosync_conf("home", 4, nodes))

    def pvecm(self, arguments: list[str], _stdin: str) -> str:
        assert arguments == ["delnode", "pve4"]
        assert not self.jobs(), "they cannot be removed later"
        assert not self.ha.requested, "HA takes nothing back for a node that it does not know"
        if not self.is_deaf:
            self.lists(1, 2, 3)
        return "Killing node 4\n"

    def jobs(self) -> bool:
        return "target pve4" in (self.machine.read("/etc/pve/replication.cfg") or "")

    def pvesh(self, arguments: list[str], _stdin: str) -> str:
        assert arguments == ["delete", "/cluster/replication/100-0", "--force", "1"]
        self.machine.write("/etc/pve/replication.cfg", "local: 101-0\n\ttarget pve2\n")
        return ""

    def rm(self, arguments: list[str], stdin: str) -> int:
        if arguments[0] == "-f":
            return self.ha.rm(arguments, stdin)
        assert arguments == ["-rf", "--", "/etc/pve/nodes/pve4"]
        assert self.archives, "nothing was kept of it"
        shutil.rmtree(self.machine.path("/etc/pve/nodes/pve4"))
        return 0

    def sh(self, arguments: list[str], stdin: str) -> int:
        if arguments[1] == remove_member.REPLACE:
            self.machine.write(arguments[3], stdin)
        else:
            assert arguments[1] == set_aside.PACK
            self.archives[f"{arguments[3]}/{arguments[4]}"] = self.machine.names("/etc/pve/nodes/pve4")
        return 0


def test_a_node_that_is_off_leaves_with_all_that_is_its_own(machine: FakeMachine) -> None:
    cluster = Cluster(machine)
    outcome = twice(machine, remove_member.STEP, REMOVE)
    assert outcome.facts == {"removed": "pve4", "nodes": ["pve1", "pve2", "pve3"]}
    assert machine.names("/etc/pve/nodes") == ["pve1"]
    assert machine.read("/etc/pve/priv/authorized_keys") == KEYS.replace("ssh-rsa AAAA4 root@pve4\n", "", 1)
    assert machine.read("/etc/pve/priv/known_hosts") == "pve1 ssh-rsa AAAA1\npve4,nas ssh-rsa AAAA4\n"
    ((archive, files),) = cluster.archives.items()
    assert archive.startswith("/var/lib/nested-pve-ha/removed/pve4-")
    assert files == ["lrm_status", "pve-ssl.pem"]
    assert machine.ran("ha-manager") == []


def test_the_replication_jobs_of_a_node_are_kept_before_they_go(machine: FakeMachine) -> None:
    Cluster(machine)
    run(machine, remove_member.STEP, REMOVE)
    assert "100-0" not in (machine.read("/etc/pve/replication.cfg") or "")
    (copy,) = [name for name in machine.names(set_aside.KEPT) if name.endswith("-replication.cfg")]
    assert copy.startswith("pve4-")
    assert machine.read(f"{set_aside.KEPT}/{copy}") == JOBS
    told = f"/etc/pve/replication.cfg, which names pve4, was copied to {set_aside.KEPT}/{copy}"
    assert machine.notes.count(told) == 1


def test_maintenance_ends_before_the_node_is_off_the_list(machine: FakeMachine) -> None:
    cluster = Cluster(machine)
    cluster.ha.ask("enable", "pve4")
    machine.write(MARK, "stack-dev\n")
    twice(machine, remove_member.STEP, REMOVE)
    assert cluster.listed == (1, 2, 3)
    assert machine.read(MARK) is None


def test_a_node_whose_maintenance_does_not_end_stays_on_the_list(machine: FakeMachine) -> None:
    cluster = Cluster(machine)
    cluster.ha.ask("enable", "pve4")
    cluster.ha.is_deaf = True
    with pytest.raises(StepError) as failed:
        run(machine, remove_member.STEP, REMOVE)
    assert failed.value.code == "maintenance-not-taken"
    assert cluster.listed == (1, 2, 3, 4)


@pytest.mark.parametrize("step", ["replication", "delnode", "directory", "keys"])
def test_a_removal_that_was_cut_off_goes_on(machine: FakeMachine, step: str) -> None:
    """It is as if the run had been killed right after that act."""
    cluster = Cluster(machine)
    acts: list[tuple[str, Callable[[], object]]] = [
        ("replication", lambda: cluster.pvesh(["delete", "/cluster/replication/100-0", "--force", "1"], "")),
        ("delnode", lambda: cluster.lists(1, 2, 3)),
        ("directory", lambda: shutil.rmtree(machine.path("/etc/pve/nodes/pve4"))),
        (
            "keys",
            lambda: machine.write("/etc/pve/priv/authorized_keys", KEYS.replace("ssh-rsa AAAA4 root@pve4\n", "", 1)),
        ),
    ]
    for name, act in acts:
        act()
        if name == step:
            break
    twice(machine, remove_member.STEP, REMOVE)
    assert machine.names("/etc/pve/nodes") == ["pve1"]
    assert "AAAA4 root@pve4\n" not in (machine.read("/etc/pve/priv/authorized_keys") or "").replace("\nfrom", "")


def test_votes_that_are_still_expected_are_told(machine: FakeMachine) -> None:
    Cluster(machine)
    machine.programs["corosync-quorumtool"] = lambda *_: quorum(1, 2, 3, votes=4)
    with pytest.raises(StepError) as refused:
        run(machine, remove_member.STEP, REMOVE)
    assert refused.value.code == "remove-failed"
    assert "its votes are still expected" in refused.value.what


def test_a_qdevice_has_votes_beside_those_of_the_nodes(machine: FakeMachine) -> None:
    cluster = Cluster(machine)
    machine.programs["corosync-quorumtool"] = lambda *_: quorum(1, 2, 3, votes=len(cluster.listed) + 1)
    begun = machine.seconds
    assert run(machine, remove_member.STEP, REMOVE).changed
    assert machine.seconds - begun < 1


def test_a_node_that_stays_on_the_list_is_told_though_the_tool_ended_well(machine: FakeMachine) -> None:
    Cluster(machine).is_deaf = True
    with pytest.raises(StepError) as refused:
        run(machine, remove_member.STEP, REMOVE)
    assert (refused.value.code, refused.value.observed) == ("remove-failed", "Killing node 4")
    assert "pve4" in machine.names("/etc/pve/nodes")


# -- stand-alone again -------------------------------------------------------------------------------------------------


class Left:
    """pve4, which left the cluster and was powered on again."""

    def __init__(self, machine: FakeMachine, second: str = "10.20.1.104") -> None:
        self.machine = machine
        self.addresses = {"eth0": ["192.168.0.104/24"], "eth1": ["10.10.1.104/24"], "eth2": ["10.20.1.104/24"]}
        self.corosync = True
        self.was_cut_off = False
        self.meanwhile: list[str] = []  # what eth2 had while the node was changed
        self.archives: dict[str, list[str]] = {}
        machine.write("/proc/sys/kernel/hostname", "pve4\n")
        for path in ("/etc/pve/corosync.conf", "/etc/corosync/corosync.conf"):
            machine.write(path, corosync_conf("home", 4, [ConfNode("pve4", 4, 1, {0: "10.10.1.104", 1: second})]))
        machine.write("/etc/corosync/authkey", "secret")
        for name in ("pve1", "pve4"):
            machine.write(f"/etc/pve/nodes/{name}/pve-ssl.pem", "PEM")
        machine.write("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA admin\n")
        machine.write("/var/lib/pve-cluster/config.db", "database")
        machine.write("/proc/self/mounts", "/dev/fuse /etc/pve fuse rw 0 0\n")
        machine.programs |= {
            "corosync-quorumtool": lambda *_: quorum(4, votes=4) if self.corosync else 1,
            "corosync-cfgtool": lambda *_: "",
            "getent": lambda *_: "192.168.0.104 STREAM pve4\n",
            "ifreload": self.ifreload,
            "install": lambda *_: 0,
            "ip": self.ip,
            "pvecm": lambda *_: 0,
            "rm": self.rm,
            "sh": self.sh,
            "stat": lambda *_: 0,
            "systemctl": self.systemctl,
            "systemd-run": lambda *_: 0,
        }

    def ip(self, arguments: list[str], _stdin: str) -> str:
        if arguments[0] == "addr":
            _, _, address, _, interface = arguments
            assert not self.corosync
            self.addresses[interface].remove(address)
            return ""
        infos = {
            name: [{"family": "inet", "local": one.split("/")[0], "prefixlen": 24} for one in found]
            for name, found in self.addresses.items()
        }
        return json.dumps([{"ifname": name, "addr_info": found} for name, found in infos.items()])

    def ifreload(self, _arguments: list[str], _stdin: str) -> int:
        self.addresses |= {"eth1": ["10.10.1.104/24"], "eth2": ["10.20.1.104/24"]}
        return 0

    def systemctl(self, arguments: list[str], _stdin: str) -> int:
        if arguments[0] == "stop" and "corosync" in arguments:
            self.corosync = False
        return 0

    def sh(self, arguments: list[str], _stdin: str) -> int:
        if arguments[1] == set_aside.PACK:
            self.archives[f"{arguments[3]}/{arguments[4]}"] = self.machine.names(f"/etc/pve/nodes/{arguments[5]}")
        return 0

    def rm(self, arguments: list[str], _stdin: str) -> int:
        if arguments[0] == "-f":
            self.was_cut_off = not self.corosync and not self.addresses["eth1"]
            self.meanwhile = [*self.addresses["eth2"]]
        for path in arguments[1:]:
            self.machine.remove_tree(path)
        return 0


RESET = ResetNode("home")


@pytest.mark.parametrize(
    ("second", "stays"), [("10.20.1.104", []), ("192.168.0.104", ["10.20.1.104/24"])], ids=["own", "management"]
)
def test_a_node_is_reset_while_it_cannot_reach_the_cluster(machine: FakeMachine, second: str, stays: list[str]) -> None:
    left = Left(machine, second)
    assert twice(machine, reset_node.STEP, RESET).facts == {"node": "pve4", "state": "absent"}
    assert left.was_cut_off
    assert left.meanwhile == stays
    assert left.addresses["eth0"] == ["192.168.0.104/24"]
    assert left.addresses["eth1"] == ["10.10.1.104/24"]
    assert machine.names("/etc/pve/nodes") == ["pve4"]
    assert machine.names("/etc/corosync") == []
    assert not machine.exists(reset_node.CUT_OFF)


def test_guests_that_the_cluster_has_too_go_with_its_configuration(machine: FakeMachine) -> None:
    Left(machine)
    for kind, number in (("qemu-server", 100), ("lxc", 101)):
        machine.write(f"/etc/pve/nodes/pve4/{kind}/{number}.conf", "name: moved\n")
    with pytest.raises(StepError) as refused:
        run(machine, reset_node.STEP, ResetNode("home", guests=[100]))
    assert refused.value.code == "node-has-guests"
    assert machine.exists("/etc/pve/nodes/pve4/qemu-server/100.conf")
    twice(machine, reset_node.STEP, ResetNode("home", guests=[100, 101]))
    assert not machine.exists("/etc/pve/nodes/pve4/qemu-server/100.conf")
    assert not machine.exists("/etc/pve/nodes/pve4/lxc/101.conf")


def test_of_a_machine_that_is_stand_alone_already_other_nodes_files_are_kept(machine: FakeMachine) -> None:
    left = Left(machine)
    for path in ("/etc/pve/corosync.conf", "/etc/corosync/corosync.conf", "/etc/corosync/authkey"):
        machine.remove(path)
    left.corosync = False
    machine.write("/etc/pve/nodes/pve9/qemu-server/900.conf", "name: theirs\n")
    twice(machine, reset_node.STEP, RESET)
    assert machine.names("/etc/pve/nodes") == ["pve4"]
    kept = {archive.rpartition("-")[0]: files for archive, files in left.archives.items()}
    assert kept == {
        "/var/lib/nested-pve-ha/removed/pve1": ["pve-ssl.pem"],
        "/var/lib/nested-pve-ha/removed/pve9": ["qemu-server"],
    }
    said = "\n".join(machine.notes)
    assert "what /etc/pve had of pve9 is kept in /var/lib/nested-pve-ha/removed/pve9-" in said


def test_nothing_is_removed_of_which_no_copy_can_be_kept(machine: FakeMachine) -> None:
    Left(machine)
    machine.programs["sh"] = lambda arguments, _stdin: int(arguments[1] == set_aside.PACK)
    with pytest.raises(StepError) as refused:
        run(machine, reset_node.STEP, RESET)
    assert refused.value.code == "command-failed"
    assert machine.names("/etc/pve/nodes") == ["pve1", "pve4"]


def test_a_reset_that_was_cut_off_before_its_end_brings_the_addresses_back(machine: FakeMachine) -> None:
    left = Left(machine)
    machine.programs["ifreload"] = lambda *_: 1
    with pytest.raises(StepError) as failed:
        run(machine, reset_node.STEP, RESET)
    assert failed.value.code == "reset-failed"
    assert "missing 10.10.1.104/24" in failed.value.observed
    assert left.addresses["eth1"] == []
    machine.programs["ifreload"] = left.ifreload
    run(machine, reset_node.STEP, RESET)
    assert left.addresses["eth1"] == ["10.10.1.104/24"]


def test_a_warning_about_another_interface_does_not_end_a_reset(machine: FakeMachine) -> None:
    left = Left(machine)
    machine.programs["ifreload"] = lambda *words: left.ifreload(*words) + 1
    twice(machine, reset_node.STEP, RESET)
    assert left.addresses["eth1"] == ["10.10.1.104/24"]
