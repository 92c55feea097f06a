"""A libvirt host: real libvirt, whose domains become nodes; what they do to their power, libvirt sees, and the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.conftest import Lab, eventually
from tests.lab.libvirt.domains import HOST, IMAGES, ISO, NETWORK, Domain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VMIDS = iter(range(220, 250))
MODULE = "modprobe -r kvm_intel && modprobe kvm_intel nested={}"


@pytest.fixture(scope="module")
def host(libvirt_lab: Lab) -> Lab:
    """The libvirt host with a network, a pool, and the installer's image in it."""
    libvirt_lab.sh(
        HOST,
        f"""
        set -e
        cat > network.xml <<'END'
{NETWORK}
END
        virsh net-define network.xml
        virsh net-start vmbr1
        virsh net-autostart vmbr1
        virsh pool-define-as nested dir --target {IMAGES}
        virsh pool-build nested
        virsh pool-start nested
        virsh pool-autostart nested
        curl -sSf -o {ISO} http://download.proxmox.com/iso/proxmox-ve_9.1-1.iso
        ! command -v xorriso
        export DEBIAN_FRONTEND=noninteractive
        apt-get update
        apt-get install --yes libvirt-daemon-system libvirt-clients qemu-system-x86 dnsmasq-base xorriso
        command -v xorriso
        """,
    )
    return libvirt_lab


@pytest.fixture
def make(host: Lab) -> Iterator[Callable[..., Domain]]:
    """Domains that are gone after the test."""
    made: list[Domain] = []

    def build(*edits: tuple[str, str]) -> Domain:
        domain = Domain(host, next(VMIDS), list(edits))
        made.append(domain)
        domain.prepare()
        return domain

    yield build
    for domain in made:
        domain.remove()


@pytest.fixture
def nested_on(host: Lab) -> Iterator[None]:
    """Nested virtualization on the host, as a reload of the module turns it on."""
    host.sh(HOST, MODULE.format(1))
    yield
    host.sh(HOST, MODULE.format(0))


def wait_until_up(domain: Domain) -> None:
    eventually(domain.up, f"{domain.name} answers; its console: {domain.console[-500:]}")


def wait_until(domain: Domain, state: str) -> None:
    eventually(lambda: domain.state == state, f"{domain.name} is {state}")


def test_it_is_a_debian_machine_with_libvirt_and_a_bridge(host: Lab) -> None:
    assert "192.168.0.170/24" in host.sh(HOST, "ip -brief address show br0")
    assert "master br0" in host.sh(HOST, "ip link show eth0")
    assert host.sh(HOST, "systemctl is-active libvirtd virtlogd").split() == ["active"] * 2
    assert "Welcome" in host.sh(HOST, "virsh --version=long >/dev/null && echo Welcome")
    assert host.ssh(HOST, "command -v pveversion || dpkg-query -W pve-manager || ls /etc/pve").returncode != 0


def test_a_network_is_a_bridge_with_a_server_for_addresses(host: Lab) -> None:
    assert host.sh(HOST, "ip -brief address show vmbr1").split()[2] == "10.10.1.1/24"
    assert "10.10.1.50" in host.sh(HOST, "cat /var/lib/libvirt/dnsmasq/vmbr1.conf")
    assert "vmbr1.conf" in host.sh(HOST, "pgrep --full --list-full dnsmasq")


def test_a_node_from_its_installation_to_its_end(host: Lab, make: Callable[..., Domain]) -> None:
    domain = make()
    domain.virsh("start")
    wait_until_up(domain)
    assert host.sh(domain.address, "hostname -f").strip() == f"{domain.name}.lab.internal"
    assert "bridge-ports enp1s0" in host.sh(domain.address, "cat /etc/network/interfaces")
    assert host.sh(domain.address, "cat /sys/class/net/enp1s0/address").strip() == domain.mac
    assert "enp2s0" in host.sh(domain.address, "ls /sys/class/net")
    assert domain.state == "running (booted)"
    assert host.power(domain.name)

    # Both cards are on their bridges; the spanning tree of libvirt's takes some seconds.
    eventually(lambda: "fully-up" in host.ssh(domain.address, "cat /root/first-boot-ran").stdout, "first boot ran")
    host.sh(domain.address, "ip link set enp2s0 up; ip address add 10.10.1.7/24 dev enp2s0")
    eventually(
        lambda: host.ssh(domain.address, "ping -c1 -W1 10.10.1.1").returncode == 0, "the second card is connected"
    )

    # Its end, seen from both sides.
    host.sh(domain.address, "touch /root/mark")
    domain.virsh("change-media", "sdb", "--eject", "--live", "--config")
    host.ssh(domain.address, "systemctl poweroff")
    wait_until(domain, "shut off (shutdown)")
    assert not host.power(domain.name)

    # The disk alone.
    domain.virsh("start")
    wait_until_up(domain)
    assert host.sh(domain.address, "ls /root/mark").strip() == "/root/mark"
    assert "DVD" not in domain.console.rpartition("--- power on")[2]

    # The plug.
    domain.virsh("destroy")
    assert domain.state == "shut off (destroyed)"
    assert not host.power(domain.name)
    assert not domain.up()

    # A volume that is made again is empty.
    assert "pve-lab-disk" in host.sh(HOST, f"head -c 100 {domain.disk}")
    domain.virsh("undefine", "--remove-all-storage")
    assert host.ssh(HOST, f"test -e {domain.disk}").returncode != 0
    assert domain.name not in host.sh(HOST, "virsh list --all --name")
    domain.edits.append((f"<source file='{domain.cd}'/>", ""))
    domain.prepare()
    domain.virsh("start")
    eventually(lambda: "not a bootable disk" in domain.console.rpartition("--- power on")[2], "nothing boots")
    assert domain.state == "running (booted)"
    assert not domain.up()

    # What is put into its drive now is found by the next boot.
    domain.virsh("change-media", "sdb", domain.cd, "--insert", "--live")
    domain.virsh("reset")
    wait_until_up(domain)
    assert host.ssh(domain.address, "ls /root/mark").returncode != 0


def test_power_as_libvirt_and_as_the_node_have_it(host: Lab, make: Callable[..., Domain]) -> None:
    domain = make()
    domain.virsh("start")
    wait_until_up(domain)
    boots = "Booting from Hard Disk..."

    def boot_id() -> str:
        return host.ssh(domain.address, "cat /proc/sys/kernel/random/boot_id").stdout

    # A reboot inside is none of libvirt's business.
    before = boot_id()
    pid = host.sh(HOST, f"cat /run/libvirt/qemu/{domain.name}.pid")
    host.ssh(domain.address, "systemctl reboot")
    eventually(lambda: boot_id() not in ("", before), "rebooted")
    assert host.sh(HOST, f"cat /run/libvirt/qemu/{domain.name}.pid") == pid
    assert domain.state == "running (booted)"

    # The buttons: shutdown, and reboot, which is a shutdown and a reset.
    before = boot_id()
    domain.virsh("reboot")
    eventually(lambda: boot_id() not in ("", before), "rebooted by libvirt")
    assert host.sh(HOST, f"cat /run/libvirt/qemu/{domain.name}.pid") == pid
    domain.virsh("shutdown")
    wait_until(domain, "shut off (shutdown)")
    assert "--- poweroff" in domain.console[-200:]

    # From the lab: a pulled plug, and a start as the administrator would do it.
    domain.virsh("start")
    wait_until_up(domain)
    host.do("node", "kill", domain.name)
    eventually(lambda: domain.state.startswith("shut off"), "libvirt sees it")
    host.do("node", "start", domain.name)
    assert domain.state.startswith("running")
    wait_until_up(domain)

    # The other plug: QEMU's process is killed.
    host.sh(HOST, f"kill -KILL $(cat /run/libvirt/qemu/{domain.name}.pid)")
    wait_until(domain, "shut off (crashed)")
    eventually(lambda: not host.power(domain.name), "the node is off")
    assert domain.console.count(boots) > 2


def test_the_host_reboots_and_starts_what_is_to_be_started(host: Lab, make: Callable[..., Domain]) -> None:
    domain, other = make(), make()
    domain.virsh("autostart")
    for one in (domain, other):
        one.virsh("start")
        wait_until_up(one)
    boot_id = host.sh(HOST, "cat /proc/sys/kernel/random/boot_id")
    host.do("node", "reboot", "kvmhost")
    eventually(lambda: host.ssh(HOST, "cat /proc/sys/kernel/random/boot_id").stdout not in ("", boot_id), "rebooted")
    wait_until_up(domain)
    assert domain.state.startswith("running")
    assert other.state.startswith("shut off")
    assert not host.power(other.name)

    # Its end is theirs.
    host.do("node", "kill", "kvmhost")
    assert not host.power(domain.name)
    host.do("node", "start", "kvmhost")
    eventually(lambda: host.answers(HOST), "the host is back")
    wait_until_up(domain)


@pytest.mark.usefixtures("nested_on")
@pytest.mark.parametrize(("mode", "virtualized"), [("host-passthrough", True), ("host-model", False)])
def test_the_processor_decides_about_nested_virtualization(
    host: Lab, make: Callable[..., Domain], mode: str, *, virtualized: bool
) -> None:
    domain = make(("host-passthrough", mode))
    domain.virsh("start")
    wait_until_up(domain)
    assert (host.ssh(domain.address, "grep -qE 'vmx|svm' /proc/cpuinfo").returncode == 0) == virtualized
    assert (host.ssh(domain.address, "test -c /dev/kvm").returncode == 0) == virtualized
    assert "in use" in host.ssh(HOST, "modprobe -r kvm_intel").stderr
    domain.virsh("destroy")


def test_without_nested_on_the_host_no_processor_helps(host: Lab, make: Callable[..., Domain]) -> None:
    assert host.sh(HOST, "cat /sys/module/kvm_intel/parameters/nested").strip() == "N"
    domain = make()
    domain.virsh("start")
    wait_until_up(domain)
    assert host.ssh(domain.address, "grep -qE 'vmx|svm' /proc/cpuinfo").returncode != 0


def test_what_libvirt_refuses(host: Lab, make: Callable[..., Domain]) -> None:
    domain = make(("type='kvm'", "type='qemu'"))
    assert "CPU mode 'host-passthrough'" in domain.refused("start")

    missing = make(("<source bridge='br0'/>", "<source bridge='vmbr77'/>"))
    assert "Cannot get interface MTU on 'vmbr77': No such device" in missing.refused("start")
    assert not any(machine["name"] == missing.name for machine in host.status()["machines"])


def test_kvm_that_is_closed_or_away_is_refused(host: Lab, make: Callable[..., Domain]) -> None:
    domain = make()
    capabilities = "virsh domcapabilities --virttype kvm"
    assert "<mode name='host-passthrough' supported='yes'>" in host.sh(HOST, capabilities)
    host.sh(HOST, "chmod 600 /dev/kvm")
    try:
        assert "Could not access KVM kernel module" in domain.refused("start")
        assert domain.state == "shut off (failed)"
    finally:
        host.sh(HOST, "chmod 660 /dev/kvm")
    domain.virsh("start")
    assert domain.state == "running (booted)"
    domain.virsh("destroy")

    host.sh(HOST, "modprobe -r kvm_intel")
    try:
        assert "Domain requires KVM, but it is not available" in domain.refused("start")
        assert "the accel 'kvm' is not supported" in host.ssh(HOST, capabilities).stderr
    finally:
        host.sh(HOST, "modprobe kvm_intel")
    domain.virsh("start")
