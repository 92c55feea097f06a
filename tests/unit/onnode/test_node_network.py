"""A node's addresses, and the dead man's switch around every change of a machine's network."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from onnode import look
from onnode.contract.documents import document
from onnode.contract.look import Look, LookStep
from onnode.contract.node import ArmNetwork, LinkInterface, NodeNetwork
from onnode.errors import StepError
from onnode.node import node_network
from onnode.step import converge
from onnode.system import arm_network, confirm_network, interfaces_file, lock, network_guard, originals
from onnode.system.machine import Result
from tests.support.onnode_worlds import interfaces, run, twice

if TYPE_CHECKING:
    from tests.support.fake_machine import FakeMachine

FILE = "/etc/network/interfaces"
AT_BOOT = "/etc/systemd/system/networking.service.d"
BEFORE = """\
auto lo
iface lo inet loopback

auto vmbr0
iface vmbr0 inet static
\taddress 192.168.0.186/24
\tgateway 192.168.0.1
\tbridge-ports nic0

source /etc/network/interfaces.d/*
"""
WANTED = NodeNetwork(
    name="proxmox02",
    address="192.168.0.186",
    pve_major=9,
    interfaces=[LinkInterface("10.10.1.186/24", mac="BC:24:11:00:01:02")],
)


class Timers:
    """systemd's transient timers, as far as they are asked for; `fire` lets one run what it holds."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.running: list[str] | None = None
        self.breaks = 0
        machine.programs |= {"systemd-run": self.start, "systemctl": self.systemctl, "/bin/sh": self.shell}

    def start(self, arguments: list[str], _stdin: str) -> str | Result:
        if self.breaks:
            return Result(("systemd-run",), self.breaks, err="Failed to connect to bus")
        assert self.running is None, "a unit of that name runs already"
        self.running = [word for word in arguments if not word.startswith("--")]
        return ""

    def systemctl(self, arguments: list[str], _stdin: str) -> int:
        if arguments[:1] == ["stop"]:
            self.running = None
        return 1 if arguments[0] == "is-active" else 0

    def fire(self) -> None:
        assert self.running == ["/bin/sh", network_guard.SCRIPT]
        self.running = None
        self.shell([network_guard.SCRIPT], "")

    def shell(self, arguments: list[str], _stdin: str) -> int:
        """Run the very script, on the files of the test's machine."""
        text = self.machine.read(arguments[0])
        at_boot = arguments[1:] == ["boot"]
        if text is None:
            return 127
        root = str(self.machine.path("/")).rstrip("/")
        text = (
            text.replace("/var/lib", f"{root}/var/lib")
            .replace("/etc/systemd", f"{root}/etc/systemd")
            .replace('"$path"', f'"{root}$path"')
            .replace("ifreload -a", "true")
        )
        subprocess.run(["/bin/sh", "-c", text, *arguments], check=True)
        if not at_boot:
            self.machine.programs["ifreload"](["-a"], "")
        return 0

    def boot(self) -> None:
        """Start the machine anew: timers are gone, and what is to be done before the network comes up is done."""
        self.running = None
        settings = (self.machine.read(f"{AT_BOOT}/{name}") or "" for name in self.machine.names(AT_BOOT))
        for line in "".join(settings).splitlines():
            if line.startswith("ExecStartPre=-/bin/sh "):
                self.shell(line.split()[1:], "")
        self.machine.programs["ifreload"](["-a"], "")


@pytest.fixture
def timers(machine: FakeMachine) -> Timers:
    machine.write(FILE, BEFORE)
    machine.write("/proc/sys/kernel/hostname", "proxmox02\n")
    machine.programs["dpkg-query"] = lambda *_: "installed 9.1.1\n"
    machine.programs["stat"] = lambda *_: ""
    interfaces(
        machine,
        {"name": "lo", "address": "127.0.0.1/8"},
        {"name": "vmbr0", "address": "192.168.0.186/24", "kind": "bridge"},
        {"name": "nic1", "mac": "bc:24:11:00:01:02"},
    )
    return Timers(machine)


def live(machine: FakeMachine) -> dict[str, list[str]]:
    found: Any = json.loads(machine.check(["ip", "-j", "-d", "addr"]))
    return {one["ifname"]: [address["local"] for address in one["addr_info"]] for one in found}


class TestNodeNetwork:
    def test_armed_changed_and_confirmed_by_a_new_login(self, machine: FakeMachine, timers: Timers) -> None:
        outcome = twice(machine, node_network.STEP, WANTED)
        assert outcome.facts == {"interfaces": {"10.10.1.186/24": "nic1"}, "armed": True}
        assert (machine.read(FILE) or "").startswith(BEFORE)
        assert live(machine)["nic1"] == ["10.10.1.186"]
        assert timers.running is not None
        assert run(machine, confirm_network.STEP, None).changed
        assert timers.running is None
        assert not run(machine, confirm_network.STEP, None).changed
        assert not machine.exists(network_guard.DIRECTORY)
        after = run(machine, node_network.STEP, WANTED)
        assert not after.changed
        assert after.facts["armed"] is False
        assert machine.ran("systemd-run") == [], "what changes nothing arms nothing"

    def test_unconfirmed_it_is_put_back_byte_for_byte(self, machine: FakeMachine, timers: Timers) -> None:
        run(machine, node_network.STEP, WANTED)
        assert machine.read(FILE) != BEFORE
        timers.fire()
        assert machine.read(FILE) == BEFORE
        with pytest.raises(StepError) as reverted:
            run(machine, confirm_network.STEP, None)
        assert reverted.value.code == "network-reverted"
        assert "10.10.1.186/24" in reverted.value.observed
        assert run(machine, node_network.STEP, WANTED).changed, "the next run tries again, armed again"
        assert timers.running is not None

    def test_a_login_while_it_is_still_being_changed_confirms_nothing(
        self, machine: FakeMachine, timers: Timers
    ) -> None:
        run(machine, node_network.STEP, WANTED)
        with lock.hold(machine, "node-network", wait_s=0), pytest.raises(StepError) as refused:
            run(machine, confirm_network.STEP, None)
        assert refused.value.code == "machine-busy"
        assert timers.running is not None
        assert run(machine, confirm_network.STEP, None).changed
        assert timers.running is None

    def test_a_confirmation_that_comes_as_the_undoing_begins_is_too_late(
        self, machine: FakeMachine, timers: Timers
    ) -> None:
        run(machine, node_network.STEP, WANTED)
        timers.fire()
        with pytest.raises(StepError) as reverted:
            network_guard.confirm(machine)
        assert reverted.value.code == "network-reverted"

    def test_only_the_files_that_are_included_are_read(self, machine: FakeMachine) -> None:
        machine.write(FILE, "source /etc/network/interfaces.d/*.cfg\nsource-directory /etc/network/more\n")
        for name in ("interfaces.d/links.cfg", "interfaces.d/links.bak", "more/cards", "other/cards"):
            machine.write(f"/etc/network/{name}", "iface nic1 inet manual\n")
        read = [FILE, "/etc/network/interfaces.d/links.cfg", "/etc/network/more/cards"]
        assert sorted(interfaces_file.files(machine)) == read

    def test_a_reboot_before_the_confirmation_puts_it_back_too(self, machine: FakeMachine, timers: Timers) -> None:
        run(machine, node_network.STEP, WANTED)
        timers.boot()
        assert machine.read(FILE) == BEFORE
        assert machine.names(AT_BOOT) == []
        with pytest.raises(StepError) as reverted:
            run(machine, confirm_network.STEP, None)
        assert "restart of the machine" in reverted.value.observed

    def test_a_reboot_after_the_confirmation_changes_nothing(self, machine: FakeMachine, timers: Timers) -> None:
        run(machine, node_network.STEP, WANTED)
        assert machine.names(AT_BOOT)
        run(machine, confirm_network.STEP, None)
        assert not machine.exists(AT_BOOT)
        after = machine.read(FILE)
        timers.boot()
        assert machine.read(FILE) == after != BEFORE

    def test_a_stanza_of_an_included_file_comes_back_too(self, machine: FakeMachine, timers: Timers) -> None:
        own = "iface nic1 inet manual\n\tethtool-ethernet-wol g\n"
        machine.write("/etc/network/interfaces.d/links", own)
        run(machine, node_network.STEP, WANTED)
        assert machine.read(FILE) == BEFORE
        assert "address 10.10.1.186/24" in (machine.read("/etc/network/interfaces.d/links") or "")
        timers.fire()
        assert machine.read("/etc/network/interfaces.d/links") == own

    def test_a_machine_that_cannot_arm_is_not_changed(self, machine: FakeMachine, timers: Timers) -> None:
        timers.breaks = 1
        with pytest.raises(StepError) as failed:
            run(machine, node_network.STEP, WANTED)
        assert failed.value.code == "command-failed"
        assert machine.read(FILE) == BEFORE
        assert machine.ran("ifreload") == []
        machine.write(FILE, "what the user wrote later\n")
        timers.boot()
        assert machine.read(FILE) == "what the user wrote later\n"

    def test_a_shutdown_in_the_middle_of_the_undoing_is_ended_at_boot(
        self, machine: FakeMachine, timers: Timers
    ) -> None:
        run(machine, node_network.STEP, WANTED)
        machine.path(network_guard.ARMED).rename(machine.path(network_guard.REVERTED))
        timers.boot()
        assert machine.read(FILE) == BEFORE

    def test_an_address_that_does_not_come_up(self, machine: FakeMachine, timers: Timers) -> None:
        machine.programs["ifreload"] = lambda *_: Result(("ifreload",), 1, err="error: nic1: cable is missing")
        with pytest.raises(StepError) as failed:
            run(machine, node_network.STEP, WANTED)
        assert failed.value.code == "network-failed"
        assert "missing 10.10.1.186/24" in failed.value.observed
        assert "cable is missing" in failed.value.observed
        assert machine.read(FILE) == BEFORE
        assert timers.running is None

    def test_addresses_that_the_kernel_took_along_come_up_the_second_time(
        self, machine: FakeMachine, timers: Timers
    ) -> None:
        del timers
        ifreload, calls = machine.programs["ifreload"], []

        def failing_once(arguments: list[str], stdin: str) -> Result | str | int:
            calls.append(arguments)
            if len(calls) == 1:
                return Result(
                    ("ifreload",), 1, err="warning: netlink: nic1: cannot delete address 10.10.1.187/24 dev nic1"
                )
            return ifreload(arguments, stdin)

        machine.programs["ifreload"] = failing_once
        twice(machine, node_network.STEP, WANTED)
        assert calls == [["-a"]] * 2

    def test_ifreload_complains_about_something_else(self, machine: FakeMachine, timers: Timers) -> None:
        del timers
        ifreload = machine.programs["ifreload"]

        def complaining(arguments: list[str], stdin: str) -> Result:
            ifreload(arguments, stdin)
            return Result(("ifreload",), 1, err="warning: vmbr9")

        machine.programs["ifreload"] = complaining
        twice(machine, node_network.STEP, WANTED)

    def test_a_run_that_was_killed_before_it_confirmed(self, machine: FakeMachine, timers: Timers) -> None:
        run(machine, node_network.STEP, WANTED)
        machine.write(FILE, BEFORE)  # half of the change is gone; what is put back is still what was there first
        machine.programs["ifreload"](["-a"], "")
        moved = dataclasses.replace(WANTED, interfaces=[LinkInterface("10.10.1.187/24", name="nic1")])
        run(machine, node_network.STEP, moved)
        timers.fire()
        assert machine.read(FILE) == BEFORE

    def test_an_address_of_ours_gives_way_and_no_other(self, machine: FakeMachine, timers: Timers) -> None:
        del timers
        run(machine, node_network.STEP, WANTED)
        run(machine, confirm_network.STEP, None)
        assert originals.addresses(machine) == {"nic1": "10.10.1.186/24"}
        moved = dataclasses.replace(WANTED, interfaces=[LinkInterface("10.10.1.187/24", name="nic1")])
        run(machine, node_network.STEP, moved)
        assert "10.10.1.186" not in (machine.read(FILE) or "")
        assert "gateway 192.168.0.1" in (machine.read(FILE) or "")

    @pytest.mark.parametrize(
        ("wanted", "code"),
        [
            (LinkInterface("10.10.1.186/24", name="vmbr0"), "management-interface"),
            (LinkInterface("192.168.0.186/24", name="vmbr0", mtu=9000), "management-interface"),
            (LinkInterface("10.10.1.186/24", name="lo"), "interface-in-use"),
        ],
    )
    def test_refused_with_nothing_changed(
        self, machine: FakeMachine, timers: Timers, wanted: LinkInterface, code: str
    ) -> None:
        with pytest.raises(StepError) as refused:
            run(machine, node_network.STEP, dataclasses.replace(WANTED, interfaces=[wanted]))
        assert refused.value.code == code
        assert machine.read(FILE) == BEFORE
        assert machine.ran("ifreload") == []
        assert timers.running is None


CONF = """\
totem {
  cluster_name: home
  config_version: 3
}
nodelist {
  node {
    name: proxmox02
    nodeid: 2
    quorum_votes: 1
    ring0_addr: 10.10.1.186
  }
}
"""


class TestDrift:
    """What somebody edits by hand, on a node that is a member by now."""

    @pytest.fixture
    def member(self, machine: FakeMachine, timers: Timers) -> Timers:
        run(machine, node_network.STEP, WANTED)
        run(machine, confirm_network.STEP, None)
        machine.write("/etc/corosync/corosync.conf", CONF)
        return timers

    def seen(self, machine: FakeMachine) -> dict[str, Any]:
        asked = LookStep("network", "node-network", json.dumps(document(WANTED)))
        found: dict[str, Any] = converge(look.STEP, machine, Look([asked])).facts["steps"][0]
        return found

    def test_nothing_is_told_where_all_is_as_it_was_made(self, machine: FakeMachine, member: Timers) -> None:
        del member
        found = self.seen(machine)
        assert (found["actions"], found["refusal"]) == ([], None)

    def test_an_edited_stanza_is_told_and_healed_under_the_guard(self, machine: FakeMachine, member: Timers) -> None:
        edited = (machine.read(FILE) or "").replace("address 10.10.1.186/24", "address 10.10.1.99/24")
        machine.write(FILE, edited)
        told = self.seen(machine)["actions"]
        assert f"write {FILE} (for nic1 10.10.1.99/24, MTU 1500)" in told
        assert machine.read(FILE) == edited, "who looks changes nothing"
        assert run(machine, node_network.STEP, WANTED).facts["armed"] is True
        assert member.running is not None
        assert "address 10.10.1.186/24" in (machine.read(FILE) or "")
        assert machine.ran("ifreload") == [], (
            "what is live is right, and a member's network is not reloaded for nothing"
        )

    def test_an_address_taken_away_live_comes_back(self, machine: FakeMachine, member: Timers) -> None:
        del member
        shown = json.loads(machine.check(["ip", "-j", "-d", "addr"]))
        ip, ifreload = machine.programs["ip"], machine.programs["ifreload"]
        gone = [{**one, "addr_info": [] if one["ifname"] == "nic1" else one["addr_info"]} for one in shown]
        machine.programs["ip"] = lambda *_: json.dumps(gone)

        def reloaded(arguments: list[str], stdin: str) -> str | int | Result:
            machine.programs["ip"] = ip
            return ifreload(arguments, stdin)

        machine.programs["ifreload"] = reloaded
        assert "reload ifreload -a (nic1 has no address, MTU 1500)" in self.seen(machine)["actions"]
        run(machine, node_network.STEP, WANTED)
        assert live(machine)["nic1"] == ["10.10.1.186"]


OLD_WORDS = """\
iface bond0 inet manual
\tslaves nic4 nic5
iface vmbr5 inet static
\taddress 10.5.0.1
\tnetmask 255.255.255.0
\tbridge_ports bond0
iface vmbr5 inet6 static
\taddress fd00::5
\tnetmask 64
"""
NEW_WORDS = """\
iface bond0 inet manual
\tbond-slaves nic4 nic5
\tbond-miimon 100
iface vmbr5 inet static
\taddress 10.5.0.1/24
\tbridge-ports bond0
\tbridge-stp off
\tbridge-fd 0
iface vmbr5 inet6 static
\taddress fd00::5/64
"""


class TestOuterHost:
    CHANGE = ArmNetwork("bridge vmbr1 of stack dev", "1")

    def test_a_bridge_that_cuts_the_host_off_is_undone(self, machine: FakeMachine, timers: Timers) -> None:
        assert run(machine, arm_network.STEP, self.CHANGE).changed
        machine.write(FILE, BEFORE + "iface vmbr1 inet static\n\tbridge-ports nic0\n")  # as the API does
        machine.write(network_guard.WAITING, "half of the next change")
        timers.fire()
        assert machine.read(FILE) == BEFORE
        assert not machine.exists(network_guard.WAITING), "it would be applied at the next boot"
        with pytest.raises(StepError) as reverted:
            run(machine, confirm_network.STEP, None)
        assert "bridge vmbr1 of stack dev" in reverted.value.observed

    @pytest.mark.parametrize(
        ("plan", "named"),
        [
            (BEFORE.replace("192.168", "192.169"), "vmbr0"),
            (BEFORE + "auto vmbr7\niface vmbr7 inet6 static\n\taddress fd00::1/64\n", "vmbr7"),
            (BEFORE + "iface vmbr1 inet manual\niface vmbr8 inet manual\n\tbridge_ports nic7 nic8\n", "vmbr8"),
            ("", "vmbr0"),
        ],
        ids=["an address", "another bridge", "ours and another's", "all goes"],
    )
    def test_what_somebody_else_has_planned_is_not_applied_with_ours(
        self, machine: FakeMachine, timers: Timers, plan: str, named: str
    ) -> None:
        """A bridge's creation reloads the whole plan: edits of the GUI that nobody had applied yet went live."""
        del timers
        machine.write(originals.PATH, json.dumps({"stacks": {"dev": {"bridges": ["vmbr1"]}}}))
        machine.write(network_guard.WAITING, plan)
        with pytest.raises(StepError) as refused:
            run(machine, arm_network.STEP, self.CHANGE)
        assert refused.value.code == "network-planned"
        assert named in refused.value.observed
        assert "vmbr1" not in refused.value.observed
        assert "pvesh delete /nodes/" in refused.value.fix
        assert machine.read(network_guard.WAITING) == plan
        assert network_guard.state(machine) == "none"

    def test_a_plan_of_our_own_and_what_proxmox_adds_is_nobody_elses(
        self, machine: FakeMachine, timers: Timers
    ) -> None:
        """A run that died between writing a bridge down and bringing it up."""
        del timers
        machine.write(originals.PATH, json.dumps({"stacks": {"dev": {"bridges": ["vmbr1"]}}}))
        ours = "auto vmbr1\niface vmbr1 inet static\n\taddress 10.10.1.1/24\n\tbridge-ports none\n#stack-dev\n"
        machine.write(FILE, BEFORE + OLD_WORDS)
        machine.write(network_guard.WAITING, f"iface nic9 inet manual\n\tmtu 1500\n\n{BEFORE}\n{NEW_WORDS}\n{ours}")
        assert run(machine, arm_network.STEP, self.CHANGE).changed

    def test_a_change_of_a_killed_run_is_good_when_a_login_came_after_it(
        self, machine: FakeMachine, timers: Timers
    ) -> None:
        run(machine, arm_network.STEP, self.CHANGE)
        machine.write(FILE, BEFORE + "iface vmbr1 inet static\n\tbridge-ports none\n")
        run(machine, arm_network.STEP, ArmNetwork("bridge vmbr2 of stack dev", "2"))
        machine.write(FILE, BEFORE + "garbage\n")
        timers.fire()
        assert "vmbr1" in (machine.read(FILE) or "")
        assert "garbage" not in (machine.read(FILE) or "")
