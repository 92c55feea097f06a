"""The steps on an outer host with libvirt, whole: once with work, once without, killed anywhere, changed, and undone."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import pytest

from onnode.contract.host import Bridge, Journal
from onnode.contract.libvirt import DomainCard, LibvirtDomain, LibvirtNetwork, LibvirtPool, VerifyLibvirt
from onnode.errors import StepError
from onnode.host import (
    install_node,
    journal,
    journal_restore,
    libvirt_domain,
    libvirt_domain_remove,
    libvirt_network,
    libvirt_network_remove,
    libvirt_pool,
    libvirt_pool_remove,
    verify_libvirt,
)
from onnode.host.libvirt_files import DOMAINS, LIVE, NETWORKS, POOLS, parse_domain, parse_network
from tests.support.libvirt_host import LibvirtHost
from tests.support.onnode_worlds import run, twice

if TYPE_CHECKING:
    from onnode.step import Outcome, Step
    from tests.support.fake_machine import FakeMachine

NETWORK = LibvirtNetwork("dev", Bridge("vmbr1", "10.10.1.1/24", "10.10.1.10", "10.10.1.20"))
POOL = LibvirtPool("dev", "/srv/nested")
DOMAIN = LibvirtDomain(
    "dev", "kvmhost", 101, "proxmox01", 4, 8192, 64, "host", "/srv/nested", [DomainCard("vmbr1", "52:54:00:aa:00:01")]
)
DISK = "/srv/nested/dev-101.raw"
VERIFY = VerifyLibvirt("dev", {101: "proxmox01"}, [NETWORK.bridge], ["eth0"], 4096, 64, "/srv/nested")
MAKE: list[tuple[Step[Any, Any], Any]] = [
    (libvirt_pool.STEP, POOL),
    (libvirt_network.STEP, NETWORK),
    (libvirt_domain.STEP, DOMAIN),
]
UNDO: list[tuple[Step[Any, Any], Any]] = [
    (libvirt_domain_remove.STEP, DOMAIN),
    (libvirt_network_remove.STEP, NETWORK),
    (libvirt_pool_remove.STEP, POOL),
]


def built(host: LibvirtHost) -> LibvirtHost:
    """With all that a stack of one node has there."""
    for step, wanted in MAKE:
        run(host.machine, step, wanted)
    return host


@pytest.fixture
def host(machine: FakeMachine) -> LibvirtHost:
    return LibvirtHost(machine)


def files(machine: FakeMachine) -> dict[str, str]:
    """All that is on the host, but for the journal, identities and locks."""
    root = machine.path("/")
    found = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file() and not path.is_symlink()}
    skipped = ("var/lib/nested-pve-ha/journal", "run/")
    return {
        name: ""
        if path.suffix == ".raw"
        else "".join(line for line in path.read_text().splitlines() if "uuid" not in line)
        for name, path in found.items()
        if not name.startswith(skipped)
    }


def at(host: LibvirtHost, text: str) -> list[str]:
    """The calls of libvirt's client that begin so."""
    return [command for command in host.asked if command.startswith(text)]


def killed_once(machine: FakeMachine, step: Step[Any, Any], wanted: Any) -> Outcome:  # noqa: ANN401 - of any step
    """Run a step; when it is killed, again."""
    try:
        return run(machine, step, wanted)
    except StepError as error:
        assert error.code == "interrupted"  # noqa: PT017 - not each step is killed
        machine.note("killed")
        return run(machine, step, wanted)


def state(host: LibvirtHost) -> tuple[Any, ...]:
    machine = host.machine
    links = [machine.names(f"{directory}/autostart") for directory in (DOMAINS, NETWORKS, POOLS)]
    return links, set(host.active), host.pools, set(host.running), sorted(files(machine))


class TestWhole:
    def test_made_once_and_undone(self, machine: FakeMachine, host: LibvirtHost) -> None:
        before = files(machine)
        for step, wanted in MAKE:
            twice(machine, step, wanted)
        assert host.active.keys() == {"vmbr1"}
        assert host.pools == {"nested-pve-ha-dev"}
        assert host.running == {}, "the installation starts it"
        assert machine.path(DISK).stat().st_size == 64 << 30
        assert machine.path(DISK).stat().st_blocks == 0, "it takes up what the node writes"
        for step, wanted in UNDO:
            twice(machine, step, wanted)
        assert files(machine) == before
        assert not machine.exists("/srv/nested")
        assert (host.active, host.pools) == ({}, set())
        assert not any(machine.names(f"{directory}/autostart") for directory in (DOMAINS, NETWORKS, POOLS))

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("call", range(1, 24))
    def test_killed_at_any_call_while_it_is_made(
        self, machine: FakeMachine, host: LibvirtHost, call: int, *, after: bool
    ) -> None:
        host.killed_at, host.killed_after = call, after
        for step, wanted in MAKE:
            killed_once(machine, step, wanted)
            assert not killed_once(machine, step, wanted).changed
        assert machine.notes.count("killed") == (len(host.asked) >= call)
        again = LibvirtHost(type(machine)(machine.path("/again")))
        assert state(built(again))[:4] == state(host)[:4]
        assert sorted(files(again.machine)) == sorted(name for name in files(machine) if not name.startswith("again/"))

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("call", range(1, 14))
    def test_killed_at_any_call_while_it_is_undone(
        self, machine: FakeMachine, host: LibvirtHost, call: int, *, after: bool
    ) -> None:
        before = files(machine)
        built(host)._start("proxmox01")
        host.asked.clear()
        host.killed_at, host.killed_after = call, after
        for step, wanted in UNDO:
            killed_once(machine, step, wanted)
            assert not killed_once(machine, step, wanted).changed
        assert machine.notes.count("killed") == (len(host.asked) >= call)
        assert files(machine) == before
        assert (host.active, host.pools, host.running) == ({}, set(), {})

    def test_nothing_answers_and_nothing_is_changed(self, machine: FakeMachine, host: LibvirtHost) -> None:
        run(machine, libvirt_pool.STEP, POOL)
        before = files(machine)
        host.down = True
        for step, wanted in [*MAKE, (verify_libvirt.STEP, VERIFY)]:
            with pytest.raises(StepError) as failed:
                run(machine, step, wanted)
            assert failed.value.code == "libvirt-down"
            assert files(machine) == before


class TestNetwork:
    def test_as_described(self, machine: FakeMachine, host: LibvirtHost) -> None:
        run(machine, libvirt_network.STEP, NETWORK)
        found = parse_network(host.active["vmbr1"], "vmbr1")
        assert (found.stack, found.addresses, found.ranges) == ("dev", ["10.10.1.1/24"], ["10.10.1.10 10.10.1.20"])
        assert found.isolated
        text = machine.read(f"{NETWORKS}/vmbr1.xml") or ""
        assert "<forward" not in text
        assert '<dns enable="no" />' in text, "dnsmasq would offer itself as name server"

    def test_a_range_changes_under_those_that_are_connected(self, machine: FakeMachine, host: LibvirtHost) -> None:
        built(host)._start("proxmox01")
        wider = dataclasses.replace(NETWORK, bridge=dataclasses.replace(NETWORK.bridge, dhcp_end="10.10.1.90"))
        twice(machine, libvirt_network.STEP, wider)
        assert parse_network(host.active["vmbr1"], "").ranges == ["10.10.1.10 10.10.1.90"]
        none = dataclasses.replace(NETWORK, bridge=Bridge("vmbr1", "10.10.1.1/24"))
        twice(machine, libvirt_network.STEP, none)
        assert parse_network(host.active["vmbr1"], "").ranges == []
        twice(machine, libvirt_network.STEP, wider)
        assert at(host, "net-destroy") == []

    def test_an_address_only_while_nobody_is_connected(self, machine: FakeMachine, host: LibvirtHost) -> None:
        built(host)._start("proxmox01")
        moved = dataclasses.replace(NETWORK, bridge=Bridge("vmbr1", "10.10.1.9/24"))
        before = files(machine)
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_network.STEP, moved)
        assert refused.value.code == "network-in-use"
        assert "VM proxmox01, vnet0" in refused.value.observed
        assert files(machine) == before
        host._destroy("proxmox01")
        identity = parse_network(host.active["vmbr1"], "").uuid
        twice(machine, libvirt_network.STEP, moved)
        found = parse_network(host.active["vmbr1"], "")
        assert (found.addresses, found.uuid) == (["10.10.1.9/24"], identity)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("vmbr1", "<network><name>vmbr1</name><bridge name='virbr5'/></network>"),
            ("lab", "<network><name>lab</name><bridge name='vmbr1'/></network>"),
            ("vmbr1", "<network><name>vmb"),
        ],
    )
    def test_somebody_elses_is_refused_and_stays(
        self, machine: FakeMachine, host: LibvirtHost, name: str, text: str
    ) -> None:
        machine.write(f"{NETWORKS}/{name}.xml", text)
        before = files(machine)
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_network.STEP, NETWORK)
        assert refused.value.code == "foreign-bridge"
        assert not run(machine, libvirt_network_remove.STEP, NETWORK).changed
        assert files(machine) == before
        assert (host.active, at(host, "net-define")) == ({}, [])

    @pytest.mark.parametrize("name", ["aaa", "zzz"])
    def test_another_network_with_the_bridge_of_ours(self, machine: FakeMachine, host: LibvirtHost, name: str) -> None:
        run(machine, libvirt_network.STEP, NETWORK)
        machine.write(f"{NETWORKS}/{name}.xml", f"<network><name>{name}</name><bridge name='vmbr1'/></network>")
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_network.STEP, NETWORK)
        assert f"as network {name}" in refused.value.observed
        assert host.active.keys() == {"vmbr1"}

    def test_cards_of_its_vms_are_connected_again_after_somebody_stopped_it(
        self, machine: FakeMachine, host: LibvirtHost
    ) -> None:
        built(host)._start("proxmox01")
        host._net_destroy("vmbr1")
        assert host.loose == {"vnet0"}
        twice(machine, libvirt_network.STEP, NETWORK)
        assert host.loose == set()
        mail = "<domain><name>mail</name><devices><interface><source bridge='vmbr1'/><target dev='vnet1'/></interface></devices></domain>"
        host.running["mail"] = mail
        machine.write(f"{LIVE}/mail.xml", f"<domstatus state='running'>{mail}</domstatus>")
        host.loose = {"vnet1"}
        assert not run(machine, libvirt_network.STEP, NETWORK).changed, "what others unplugged is their affair"

    def test_a_bridge_of_the_hosts_own_is_refused(self, machine: FakeMachine, host: LibvirtHost) -> None:
        host.interfaces.append({"name": "vmbr1", "kind": "bridge"})
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_network.STEP, NETWORK)
        assert refused.value.code == "foreign-bridge"
        host.interfaces.pop()

    def test_it_does_not_go_while_somebodys_vm_has_a_card_there(self, machine: FakeMachine, host: LibvirtHost) -> None:
        run(machine, libvirt_network.STEP, NETWORK)
        mail = "<domain><name>mail</name><devices><interface><source network='vmbr1'/></interface></devices></domain>"
        machine.write(f"{DOMAINS}/mail.xml", mail)
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_network_remove.STEP, NETWORK)
        assert refused.value.code == "network-in-use"
        assert "VM mail" in refused.value.observed
        assert host.active.keys() == {"vmbr1"}
        machine.remove(f"{DOMAINS}/mail.xml")
        twice(machine, libvirt_network_remove.STEP, NETWORK)

    @pytest.mark.parametrize("defined", [True, False])
    def test_it_does_not_go_while_somebodys_vm_has_a_card_there_that_no_definition_has(
        self, machine: FakeMachine, host: LibvirtHost, *, defined: bool
    ) -> None:
        """`virsh create`, and `virsh attach-interface --live`."""
        run(machine, libvirt_network.STEP, NETWORK)
        mail = "<domain><name>mail</name><devices><interface><source bridge='vmbr1'/></interface></devices></domain>"
        host.running["mail"] = mail
        machine.write(f"{LIVE}/mail.xml", f"<domstatus state='running'>{mail}</domstatus>")
        if defined:
            machine.write(f"{DOMAINS}/mail.xml", "<domain><name>mail</name></domain>")
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_network_remove.STEP, NETWORK)
        assert refused.value.code == "network-in-use"
        assert "VM mail, vnet0" in refused.value.observed
        assert host.active.keys() == {"vmbr1"}
        host.running.clear()
        host._unlink(LIVE, "mail")
        host._unlink(DOMAINS, "mail")
        twice(machine, libvirt_network_remove.STEP, NETWORK)


class TestPool:
    def test_a_directory_of_the_users_is_used_and_stays(self, machine: FakeMachine, host: LibvirtHost) -> None:
        machine.write("/srv/nested/lost+found/x", "")
        twice(machine, libvirt_pool.STEP, POOL)
        twice(machine, libvirt_pool_remove.STEP, POOL)
        assert machine.names("/srv/nested") == ["lost+found"]
        assert host.pools == set()

    def test_what_others_put_there_stays(self, machine: FakeMachine, host: LibvirtHost) -> None:
        run(machine, libvirt_pool.STEP, POOL)
        assert machine.path("/srv/nested").stat().st_mode & 0o777 == 0o711
        machine.write("/srv/nested/notes.txt", "theirs")
        outcome = twice(machine, libvirt_pool_remove.STEP, POOL)
        assert outcome.facts["left"] == ["notes.txt"]
        assert machine.read("/srv/nested/notes.txt") == "theirs"
        assert host.pools == set()

    def test_the_directories_above_it_go_with_the_stack_unless_something_is_in_them(self, machine: FakeMachine) -> None:
        LibvirtHost(machine)
        run(machine, journal.STEP, Journal("dev", []))
        pool = LibvirtPool("dev", "/srv/a/b/dev")
        run(machine, libvirt_pool.STEP, pool)
        machine.path("/srv/a/theirs").mkdir()
        machine.write("/srv/a/theirs/x", "")
        run(machine, libvirt_pool_remove.STEP, pool)
        run(machine, journal_restore.STEP, Journal("dev", []))
        assert not machine.exists("/srv/a/b")
        assert machine.exists("/srv/a/theirs/x")

    def test_killed_before_the_mark(self, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
        LibvirtHost(machine)
        with monkeypatch.context() as patched:
            patched.setattr(
                "onnode.system.claims.claim", lambda *_: (_ for _ in ()).throw(StepError("interrupted", ""))
            )
            with pytest.raises(StepError):
                run(machine, libvirt_pool.STEP, POOL)
        assert machine.exists("/srv/nested")
        run(machine, libvirt_pool_remove.STEP, POOL)
        assert not machine.exists("/srv/nested"), "the journal knows who made it"

    def test_somebodys_pool_is_refused_and_stays(self, machine: FakeMachine, host: LibvirtHost) -> None:
        machine.path("/srv/nested").mkdir(parents=True)
        host._pool_define_as("default", "dir", "--target", "/srv/nested")
        before = files(machine)
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_pool.STEP, POOL)
        assert refused.value.code == "foreign-pool"
        assert not run(machine, libvirt_pool_remove.STEP, POOL).changed
        assert files(machine) == before


class TestDomain:
    def test_as_described(self, machine: FakeMachine, host: LibvirtHost) -> None:
        built(host)
        text = machine.read(f"{DOMAINS}/proxmox01.xml") or ""
        found = parse_domain(text, "")
        assert (found.stack, found.vmid, found.disk, found.drive) == ("dev", 101, DISK, "sdb")
        assert 'machine="pc-q35-7.2"' in text
        assert machine.names(f"{DOMAINS}/autostart") == ["proxmox01.xml"]

    def test_what_differs_is_changed_for_its_next_start(self, machine: FakeMachine, host: LibvirtHost) -> None:
        built(host)._start("proxmox01")
        before = machine.read(f"{DOMAINS}/proxmox01.xml") or ""
        machine.write(f"{DOMAINS}/proxmox01.xml", before.replace("<devices>", "<devices><tpm model='tpm-crb'/>"))
        card = DomainCard("vmbr2", "52:54:00:aa:00:02", 9000)
        more = dataclasses.replace(DOMAIN, cores=8, memory_mib=16384, cards=[*DOMAIN.cards, card])
        outcome = twice(machine, libvirt_domain.STEP, more)
        assert outcome.facts["at_next_start"][:2] == ["8 cores", "16384 MiB"]
        after = machine.read(f"{DOMAINS}/proxmox01.xml") or ""
        assert parse_domain(after, "").uuid == parse_domain(before, "").uuid
        assert "tpm-crb" in after, "what users added stays"
        assert parse_domain(host.running["proxmox01"], "").hardware.cores == 4
        assert any("next powered off and started" in note for note in machine.notes)
        host._destroy("proxmox01")
        assert run(machine, libvirt_domain.STEP, more).facts["at_next_start"] == []

    def test_a_cd_of_an_installation_stays_in(self, machine: FakeMachine, host: LibvirtHost) -> None:
        built(host)._change_media("proxmox01", "sdb", "/srv/nested/a.iso", "--update", "--config")
        twice(machine, libvirt_domain.STEP, dataclasses.replace(DOMAIN, cores=8))
        assert parse_domain(machine.read(f"{DOMAINS}/proxmox01.xml") or "", "").medium == "/srv/nested/a.iso"

    @pytest.mark.parametrize("running", [True, False])
    def test_a_disk_grows(self, machine: FakeMachine, host: LibvirtHost, *, running: bool) -> None:
        built(host).volumes.clear()
        if running:
            host._start("proxmox01")
        twice(machine, libvirt_domain.STEP, dataclasses.replace(DOMAIN, disk_gib=96))
        assert machine.path(DISK).stat().st_size == 96 << 30
        assert bool(at(host, "blockresize")) == running

    def test_a_disk_never_shrinks(self, machine: FakeMachine, host: LibvirtHost) -> None:
        built(host).asked.clear()
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_domain.STEP, dataclasses.replace(DOMAIN, disk_gib=32, cores=8))
        assert refused.value.code == "libvirt-differs"
        assert machine.path(DISK).stat().st_size == 64 << 30
        assert at(host, "define") == []

    def test_a_node_whose_vm_somebody_undefined_keeps_its_disk(self, machine: FakeMachine, host: LibvirtHost) -> None:
        built(host)
        machine.path(DISK).write_bytes(b"a node")
        os.truncate(machine.path(DISK), 64 << 30)
        host._undefine("proxmox01")
        twice(machine, libvirt_domain.STEP, DOMAIN)
        with machine.path(DISK).open("rb") as file:
            assert file.read(6) == b"a node"

    def test_a_model_has_the_flag_of_this_hosts_virtualization(self, machine: FakeMachine, host: LibvirtHost) -> None:
        built(host)
        model = dataclasses.replace(DOMAIN, cpu="EPYC")
        twice(machine, libvirt_domain.STEP, model)
        found = parse_domain(machine.read(f"{DOMAINS}/proxmox01.xml") or "", "").hardware
        assert (found.cpu, found.nesting) == ("EPYC", "svm")
        machine.write("/sys/module/kvm_amd/parameters/nested", "0\n")
        twice(machine, libvirt_domain.STEP, model)
        assert parse_domain(machine.read(f"{DOMAINS}/proxmox01.xml") or "", "").hardware.nesting == ""
        twice(machine, libvirt_domain.STEP, DOMAIN)
        text = machine.read(f"{DOMAINS}/proxmox01.xml") or ""
        assert "EPYC" not in text
        machine.write("/proc/cpuinfo", "flags : fpu\n")
        assert libvirt_domain.observe(machine, DOMAIN).nesting == ""

    @pytest.mark.parametrize(
        ("path", "text", "code"),
        [
            (f"{DOMAINS}/proxmox01.xml", "<domain><name>proxmox01</name></domain>", "foreign-domain"),
            (f"{DOMAINS}/proxmox01.xml", "<domain><na", "foreign-domain"),
            (
                f"{DOMAINS}/pve7.xml",
                "<domain><name>pve7</name><metadata><ha:stack xmlns:ha='urn:nested-pve-ha' name='prod' vmid='101'/></metadata></domain>",
                "foreign-vmid",
            ),
            (DISK, "precious", "foreign-file"),
        ],
    )
    def test_what_is_foreign_is_refused_and_stays(
        self, machine: FakeMachine, host: LibvirtHost, path: str, text: str, code: str
    ) -> None:
        run(machine, libvirt_pool.STEP, POOL)
        machine.write(path, text)
        before = files(machine)
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_domain.STEP, DOMAIN)
        assert refused.value.code == code
        assert not run(machine, libvirt_domain_remove.STEP, DOMAIN).changed
        assert files(machine) == before
        assert at(host, "define") == []
        machine.remove(path)
        twice(machine, libvirt_domain.STEP, DOMAIN)  # the positive control

    def test_one_that_runs_without_a_definition_is_somebody_elses(
        self, machine: FakeMachine, host: LibvirtHost
    ) -> None:
        run(machine, libvirt_pool.STEP, POOL)
        host.running["proxmox01"] = "<domain/>"
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_domain.STEP, DOMAIN)
        assert refused.value.code == "foreign-domain"
        assert not machine.exists(DISK)

    def test_it_goes_while_it_runs_with_all_that_is_remembered(self, machine: FakeMachine, host: LibvirtHost) -> None:
        built(host)._start("proxmox01")
        machine.write("/srv/nested/a.iso", "image")
        record = '{"identity": "u", "digest": "d", "iso": "/srv/nested/a.iso", "installed": true}'
        machine.write(f"{install_node.RECORDS}/dev/101.json", record)
        outcome = twice(machine, libvirt_domain_remove.STEP, DOMAIN)
        assert outcome.facts == {"vmid": 101, "name": "proxmox01", "left": []}
        assert (host.running, machine.names("/srv/nested")) == ({}, [".nested-pve-ha"])
        assert install_node.recorded(machine, "dev") == []

    @pytest.mark.parametrize("name", ["aaa", "zzz"])
    def test_a_copy_that_somebody_made_with_its_mark_stays(
        self, machine: FakeMachine, host: LibvirtHost, name: str
    ) -> None:
        """`virt-clone` copies the metadata, too."""
        built(host)._start("proxmox01")
        text = (machine.read(f"{DOMAINS}/proxmox01.xml") or "").replace("<name>proxmox01<", f"<name>{name}<")
        text = text.replace(DISK, "/srv/nested/dev-101-clone.raw").replace("<uuid>", "<uuid>9")
        machine.write(f"{DOMAINS}/{name}.xml", text)
        machine.write("/srv/nested/dev-101-clone.raw", "precious")
        host._start(name)
        assert not run(machine, libvirt_domain.STEP, DOMAIN).changed
        run(machine, libvirt_domain_remove.STEP, DOMAIN)
        assert host.running.keys() == {name}
        assert machine.exists(f"{DOMAINS}/{name}.xml")
        assert not machine.exists(f"{DOMAINS}/proxmox01.xml")
        assert machine.read("/srv/nested/dev-101-clone.raw") == "precious"
        assert not machine.exists(DISK)
        assert not run(machine, libvirt_domain_remove.STEP, DOMAIN).changed
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_domain.STEP, DOMAIN)
        assert refused.value.code == "libvirt-differs"
        assert f"virsh metadata {name} --uri urn:nested-pve-ha --remove" in refused.value.fix
        host._destroy(name)

    @pytest.mark.parametrize("name", ["proxmox01", "rescue"])
    def test_a_disk_that_somebodys_vm_took_over_stays_and_is_no_more_ours(
        self, machine: FakeMachine, host: LibvirtHost, name: str
    ) -> None:
        built(host)._undefine("proxmox01")
        disk = f"<disk device='disk'><source file='{DISK}'/></disk>"
        text = f"<domain><name>{name}</name><uuid>u9</uuid><devices>{disk}</devices></domain>"
        machine.write(f"{DOMAINS}/{name}.xml", text)
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_domain.STEP, DOMAIN)
        assert name in refused.value.observed
        outcome = twice(machine, libvirt_domain_remove.STEP, DOMAIN)
        assert outcome.facts["left"] == [name]
        assert machine.exists(DISK)
        assert machine.read(f"{DOMAINS}/{name}.xml") == text
        machine.remove(f"{DOMAINS}/{name}.xml")
        with pytest.raises(StepError) as refused:
            run(machine, libvirt_domain.STEP, DOMAIN)
        assert refused.value.code == "foreign-file"

    def test_one_that_was_undefined_while_it_runs_is_defined_again_as_the_same(
        self, machine: FakeMachine, host: LibvirtHost
    ) -> None:
        built(host)._start("proxmox01")
        before = parse_domain(machine.read(f"{DOMAINS}/proxmox01.xml") or "", "")
        host._undefine("proxmox01")
        twice(machine, libvirt_domain.STEP, DOMAIN)
        assert parse_domain(machine.read(f"{DOMAINS}/proxmox01.xml") or "", "") == before
        assert machine.names(f"{DOMAINS}/autostart") == ["proxmox01.xml"]
        host._undefine("proxmox01")
        twice(machine, libvirt_domain_remove.STEP, DOMAIN)
        assert (host.running, machine.exists(DISK)) == ({}, False)

    def test_it_can_be_made_again_though_libvirt_was_not_told_that_its_disk_went(
        self, machine: FakeMachine, host: LibvirtHost
    ) -> None:
        built(host)
        assert at(host, "pool-refresh") == [], "refused while another node's disk is being made"
        run(machine, libvirt_domain_remove.STEP, DOMAIN)
        twice(machine, libvirt_domain.STEP, DOMAIN)

    def test_a_pool_that_is_not_active(self, machine: FakeMachine, host: LibvirtHost) -> None:
        run(machine, libvirt_pool.STEP, POOL)
        host.pools.clear()
        host.refusals["vol-create-as"] = (
            "error: Failed to create vol\nerror: Requested operation is not valid: storage pool is not active"
        )
        with pytest.raises(StepError) as failed:
            run(machine, libvirt_domain.STEP, DOMAIN)
        assert failed.value.code == "command-failed"
        assert "is not active" in failed.value.observed
        assert not machine.exists(f"{DOMAINS}/proxmox01.xml")
        host.refusals.clear()
        run(machine, libvirt_pool.STEP, POOL)
        twice(machine, libvirt_domain.STEP, DOMAIN)

    def test_what_a_killed_removal_left(self, machine: FakeMachine, host: LibvirtHost) -> None:
        built(host)._undefine("proxmox01")
        machine.remove(DISK)
        twice(machine, libvirt_domain_remove.STEP, DOMAIN)
        assert [note for note in machine.notes if note.startswith("delete")] == [
            "delete /srv/nested/.dev-101.raw.nested-pve-ha"
        ]

    def test_a_disk_that_lost_its_mark_goes_with_its_vm(self, machine: FakeMachine, host: LibvirtHost) -> None:
        built(host)
        machine.remove("/srv/nested/.dev-101.raw.nested-pve-ha")
        twice(machine, libvirt_domain_remove.STEP, DOMAIN)
        assert not machine.exists(DISK)


class TestVerify:
    def test_a_fresh_host_on_which_libvirt_is_not_installed(self, machine: FakeMachine, host: LibvirtHost) -> None:
        machine.remove("/usr/sbin/libvirtd")
        host.down = True  # a client without its daemon
        outcome = run(machine, verify_libvirt.STEP, VERIFY)
        assert not outcome.changed
        assert outcome.facts == {"virtualization": "svm", "memory_mib": 32000, "disk_gib_free": 931, "own_vmids": []}
        machine.write("/usr/sbin/libvirtd", "")
        del machine.programs["virsh"]
        run(machine, verify_libvirt.STEP, VERIFY)
        machine.programs["virsh"] = host.virsh
        with pytest.raises(StepError) as refused:
            run(machine, verify_libvirt.STEP, VERIFY)
        assert refused.value.code == "libvirt-down"

    def test_a_host_that_carries_the_stack_already(self, machine: FakeMachine, host: LibvirtHost) -> None:
        run(machine, journal.STEP, Journal("dev", ["vmbr1"]))
        built(host)
        machine.free = 0
        assert run(machine, verify_libvirt.STEP, VERIFY).facts["own_vmids"] == [101]

    def test_room_that_an_own_disk_takes_up_is_no_missing_room(self, machine: FakeMachine, host: LibvirtHost) -> None:
        run(machine, journal.STEP, Journal("dev", ["vmbr1"]))
        built(host)
        machine.path(DISK).write_bytes(b"x" * (4 << 20))
        machine.free = (1 << 30) - (4 << 20)
        two = dataclasses.replace(VERIFY, vms={101: "proxmox01", 102: "proxmox02"}, disk_gib=1)
        run(machine, verify_libvirt.STEP, two)
        machine.free -= 1 << 20
        with pytest.raises(StepError) as refused:
            run(machine, verify_libvirt.STEP, two)
        assert refused.value.code == "host-disk"

    def test_a_subnet_of_a_network_that_is_not_active(self, machine: FakeMachine, host: LibvirtHost) -> None:
        text = "<network><name>lab</name><bridge name='virbr3'/><ip address='10.10.1.1' netmask='255.255.255.0'/></network>"
        machine.write(f"{NETWORKS}/lab.xml", text)
        with pytest.raises(StepError) as refused:
            run(machine, verify_libvirt.STEP, VERIFY)
        assert refused.value.code == "foreign-subnet"
        assert "on virbr3" in refused.value.observed
        assert host.active == {}

    def test_no_iso(self, machine: FakeMachine, host: LibvirtHost) -> None:
        wanted = dataclasses.replace(VERIFY, iso_path="/srv/pve.iso")
        with pytest.raises(StepError) as refused:
            run(machine, verify_libvirt.STEP, wanted)
        assert refused.value.code == "iso-missing"
        machine.write("/srv/pve.iso", "")
        run(host.machine, verify_libvirt.STEP, wanted)
