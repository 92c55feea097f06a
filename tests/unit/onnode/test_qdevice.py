"""A witness and a member that exchange what they need, as corosync's own tools write it, and what is left when it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onnode.cluster import qdevice, qdevice_remove, witness, witness_remove
from onnode.contract.qdevice import QDevice, Witness
from onnode.system.machine import Result
from tests.support.fake_machine import FakeMachine
from tests.support.onnode_worlds import Apt, Systemd, run, twice

if TYPE_CHECKING:
    from pathlib import Path

PEM = "-----BEGIN CERTIFICATE-----\r\nMIIB\r\n-----END CERTIFICATE-----\r\n"  # with the line ends that certutil writes
DER = b"\x30\x82\xff\x00".decode("utf-8", "surrogateescape")
CLUSTER = "proxmox"


class Server:
    """A Debian machine on which corosync-qnetd can be installed; `connected` is what it says of its clients."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.apt = Apt(machine, available=[witness.PACKAGE])
        self.apt.needs = {witness.PACKAGE: ["libnss3-tools"]}
        self.systemd = Systemd(machine)
        self.connected = ""
        machine.write("/var/lib/nested-pve-ha/onnode/__main__.py", "")
        machine.programs["corosync-qnetd-certutil"] = self.certutil
        machine.programs["corosync-qnetd-tool"] = lambda *_: self.connected

    def certutil(self, arguments: list[str], _stdin: str) -> int:
        if arguments[0] == "-i":
            self.machine.write(witness.AUTHORITY, f"Certificate:\n    Data:\n{PEM}")
            return 0
        request = self.machine.read(arguments[2])
        assert request
        self.machine.write(f"{witness.DATABASE}/cluster-{arguments[4]}.crt", f"{request} signed")
        return 0


class Node:
    """A member on which corosync-qdevice can be installed."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.apt = Apt(machine, available=[qdevice.PACKAGE])
        self.systemd = Systemd(machine)
        self.key = self.imported = False
        machine.programs["certutil"] = self.certutil
        machine.programs[qdevice.TOOL] = self.tool

    def certutil(self, arguments: list[str], _stdin: str) -> str:
        if "-a" in arguments:
            return (self.machine.read(f"{qdevice.DATABASE}/ca") or "").replace("\n", "\r\n")
        return f"QNet CA     CT,c,c\n{'Cluster Cert     u,u,u' if self.imported else ''}\n"

    def tool(self, arguments: list[str], _stdin: str) -> int:
        if arguments[0] == "-i":
            self.machine.write(f"{qdevice.DATABASE}/ca", self.machine.read(arguments[2]) or "")
            self.key = self.imported = False
        elif arguments[0] == "-r":
            assert arguments[2] == CLUSTER, "qnetd knows a member by its certificate's name"
            self.machine.write(qdevice.REQUEST, DER)
            self.key = True
        else:
            assert self.machine.read(arguments[2]) == f"{DER} signed"
            self.imported = self.key
        return 0


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(FakeMachine(tmp_path / "server"))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(FakeMachine(tmp_path / "node"))


def test_a_member_gets_a_certificate_for_a_key_that_it_made(server: Server, node: Node) -> None:
    twice(server.machine, witness.STEP, Witness(CLUSTER))
    authority = run(server.machine, witness.STEP, Witness(CLUSTER)).facts["authority"]
    assert authority == PEM.replace("\r", "")
    asked = QDevice(CLUSTER, authority)
    twice(node.machine, qdevice.STEP, asked)
    request = run(node.machine, qdevice.STEP, asked).facts["request"]
    twice(server.machine, witness.STEP, Witness(CLUSTER, {"pve1": request}))
    signed = run(server.machine, witness.STEP, Witness(CLUSTER, {"pve1": request})).facts["certificates"]
    twice(node.machine, qdevice.STEP, QDevice(CLUSTER, authority, signed["pve1"]))
    assert run(node.machine, qdevice.STEP, asked).facts == {"request": None}
    assert node.systemd.units == {}, "it starts when it is configured, and not before"
    twice(node.machine, qdevice.STEP, QDevice(CLUSTER, authority, serve=True))
    assert node.systemd.units == {"corosync-qdevice": "active"}
    assert not node.machine.exists(qdevice.PASSED_ON)
    assert [name for name in server.machine.names(witness.DIRECTORY) if name.endswith(".der")] == []


def test_another_key_gets_another_certificate(server: Server) -> None:
    first, second = (witness.encoded(f"{DER}{number}") or "" for number in (1, 2))
    run(server.machine, witness.STEP, Witness(CLUSTER, {"pve1": first}))
    again = run(server.machine, witness.STEP, Witness(CLUSTER, {"pve1": second}))
    assert again.changed
    assert witness.decoded(again.facts["certificates"]["pve1"]) == f"{DER}2 signed"


def test_another_witness_means_another_key(node: Node) -> None:
    run(node.machine, qdevice.STEP, QDevice(CLUSTER, PEM.replace("\r", "").replace("MIIB", "MIIC")))
    twice(node.machine, qdevice.STEP, QDevice(CLUSTER, PEM.replace("\r", "")))
    assert "forget /etc/corosync/qdevice/net/nssdb" in node.machine.notes


def test_the_package_lists_are_fetched_only_where_the_package_is_not_known(server: Server) -> None:
    run(server.machine, witness.STEP, Witness(CLUSTER))
    assert [call for call in server.machine.ran("apt-get") if call.endswith(" update")] == []
    server.apt.installed.clear()
    known = server.machine.programs["apt-get"]

    def forgetful(arguments: list[str], _stdin: str) -> str | int | Result:
        if arguments[-1] != "update":
            return Result(tuple(arguments), 100, err=f"E: Unable to locate package {arguments[-1]}\n")
        server.machine.programs["apt-get"] = known
        return 0

    server.machine.programs["apt-get"] = forgetful
    assert run(server.machine, witness.STEP, Witness(CLUSTER)).changed
    assert len([call for call in server.machine.ran("apt-get") if call.endswith(" update")]) == 1


def test_all_that_was_made_goes_and_nothing_else(server: Server) -> None:
    server.apt.installed.add("vim")
    server.machine.write("/etc/corosync/mine", "text")
    run(server.machine, witness.STEP, Witness(CLUSTER, {"pve1": witness.encoded(DER) or ""}))
    assert server.apt.installed == {"vim", witness.PACKAGE, "libnss3-tools"}
    twice(server.machine, witness_remove.STEP, Witness(CLUSTER))
    assert server.apt.installed == {"vim"}
    assert server.machine.read("/etc/corosync/mine") == "text"
    assert not server.machine.exists(witness.DIRECTORY)
    assert not server.machine.exists("/var/lib/nested-pve-ha")


def test_a_server_that_somebody_else_installed_stays(server: Server) -> None:
    server.apt.installed.add(witness.PACKAGE)
    run(server.machine, witness.STEP, Witness(CLUSTER, {"pve1": witness.encoded(DER) or ""}))
    run(server.machine, witness_remove.STEP, Witness(CLUSTER))
    assert server.apt.installed == {witness.PACKAGE}
    assert [name for name in server.machine.names(witness.DATABASE) if name.endswith(".crt")] == ["qnetd-cacert.crt"]


@pytest.mark.parametrize(("cluster", "kept"), [(CLUSTER, True), ("lab", False)])
def test_a_server_that_is_still_used_stays(server: Server, *, cluster: str, kept: bool) -> None:
    run(server.machine, witness.STEP, Witness(CLUSTER, {"pve1": witness.encoded(DER) or ""}))
    server.connected = f'Cluster "{cluster}":\n    Algorithm: ffsplit\n'
    outcome = run(server.machine, witness_remove.STEP, Witness(CLUSTER))
    assert outcome.facts == {"kept": kept}
    assert witness.PACKAGE in server.apt.installed
    assert server.machine.exists(witness.certificate_file(CLUSTER, "pve1")) is kept


def test_a_package_that_others_need_stays(server: Server) -> None:
    run(server.machine, witness.STEP, Witness(CLUSTER))
    server.apt.installed.add("pcs")
    server.apt.needs["pcs"] = [witness.PACKAGE]
    run(server.machine, witness_remove.STEP, Witness(CLUSTER))
    assert {witness.PACKAGE, "pcs"} <= server.apt.installed
    assert "pcs would be removed with it" in " ".join(server.machine.notes)


def test_a_member_lets_go_of_it(node: Node) -> None:
    authority = PEM.replace("\r", "")
    run(node.machine, qdevice.STEP, QDevice(CLUSTER, authority))
    run(node.machine, qdevice.STEP, QDevice(CLUSTER, authority, witness.encoded(f"{DER} signed"), serve=True))
    assert node.systemd.units == {"corosync-qdevice": "active"}
    twice(node.machine, qdevice_remove.STEP, QDevice(""))
    assert (node.systemd.units, node.systemd.enabled) == ({"corosync-qdevice": "inactive"}, set())
    assert not node.machine.exists(qdevice.DIRECTORY)
