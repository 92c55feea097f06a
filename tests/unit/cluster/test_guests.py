"""Template, container and HA checks: what is decided from what the API says, as cases."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cluster import downloads, guests, waiting
from cluster.contract import ApiAccess, Container, HaReady, Image, Machine, Template, VerifyGuest
from cluster.errors import AdminError
from cluster.steps import container, ha_ready, template, verify_guest
from cluster.transport import cluster_api, members
from cluster.transport.cluster_api import ApiError
from cluster.transport.ssh import Completed
from onnode.system.pve import owned, split_tags, stack_tag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

API = ApiAccess("https://pve.lab.internal:8006", "pulumi@pve", "pinned")
TEMPLATE = Template(
    members=[],
    api=API,
    stack_tag="stack-dev",
    vmid=9000,
    name="debian-template",
    node="proxmox01",
    storage="shared",
    disk_gib=1,
    cores=1,
    memory_mib=512,
    cpu_type="qemu64",
    kvm=False,
    bridge="vmbr0",
    image=None,
)
TEMPLATE_CONFIG = {
    "name": "debian-template",
    "cores": 1,
    "memory": "512",
    "cpu": "qemu64",
    "kvm": 0,
    "agent": "1",
    "tags": "nested-pve-ha;stack-dev",
    "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
    "scsi0": "shared:9000/base-9000-disk-0.raw,size=1G",
    "template": 1,
}
CONTAINER = Container(
    members=[],
    api=API,
    stack_tag="stack-dev",
    vmid=300,
    name="ct01",
    node="proxmox02",
    storage="shared",
    disk_gib=1,
    cores=1,
    memory_mib=512,
    swap_mib=0,
    bridge="vmbr0",
    address="dhcp",
    gateway=None,
    template=None,
    template_volume="shared:vztmpl/debian.tar.zst",
)
CONTAINER_CONFIG = {
    "hostname": "ct01",
    "cores": 1,
    "memory": 512,
    "swap": 0,
    "tags": "nested-pve-ha;stack-dev",
    "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:BB:CC,ip=dhcp,type=veth",
    "rootfs": "shared:300/vm-300-disk-0.raw,size=1G",
}


def test_a_template_as_wanted_needs_no_correction() -> None:
    assert template.corrections(TEMPLATE, TEMPLATE_CONFIG) == {}


@pytest.mark.parametrize(
    ("found", "correction"),
    [
        ({"kvm": 1}, {"kvm": "0"}),
        ({"kvm": None}, {"kvm": "0"}),
        ({"agent": "0"}, {"agent": "1"}),
        ({"cpu": "host"}, {"cpu": "qemu64"}),
        ({"cpu": "host,flags=+aes"}, {"cpu": "qemu64,flags=+aes"}),
        ({"agent": "0,fstrim_cloned_disks=1"}, {"agent": "1,fstrim_cloned_disks=1"}),
        ({"tags": "customer;stack-dev"}, {"tags": "customer;nested-pve-ha;stack-dev"}),
        ({"net0": None}, {"net0": "virtio,bridge=vmbr0"}),
        ({"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr1"}, {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"}),
        (
            {"net0": "e1000=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=7"},
            {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=7"},
        ),
        ({"ide2": "none,media=cdrom"}, {"delete": "ide2"}),
        ({"ide2": "media=cdrom,file=local:iso/x.iso,size=1G"}, {"delete": "ide2"}),
        (
            {"ide2": "/mnt/x.iso,media=cdrom", "ide0": "shared:9000/vm-9000-cloudinit.qcow2,media=cdrom"},
            {"delete": "ide2"},
        ),
        ({"ide2": "local:iso/x.iso,media=cdrom", "ide3": "none,media=cdrom"}, {"delete": "ide2,ide3"}),
    ],
)
def test_a_template_is_corrected_where_it_differs(found: dict[str, Any], correction: dict[str, str]) -> None:
    config = {key: value for key, value in {**TEMPLATE_CONFIG, **found}.items() if value is not None}
    assert template.corrections(TEMPLATE, config) == correction


@pytest.mark.parametrize(
    "theirs",
    [
        {"ide2": "shared:cloudinit"},
        {"ide2": "shared:9000/vm-9000-cloudinit.qcow2,media=cdrom"},
        {"ide2": "shared:vm-9000-cloudinit,media=cdrom,size=4M"},
        {"ide2": "cdrom,media=cdrom"},
        {"tags": "customer;nested-pve-ha;stack-dev"},
        {"tags": "stack-dev;nested-pve-ha;Zone"},
        {"cpu": "qemu64,flags=+aes"},
        {"agent": "1,fstrim_cloned_disks=1"},
        {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,queues=2,tag=7"},
        {"net0": "virtio=BC:24:11:00:00:01,firewall=1,bridge=vmbr0"},
        {"scsi1": "shared:9000/base-9000-disk-1.raw,size=8G", "net1": "virtio=BC:24:11:00:00:02,bridge=vmbr9"},
        {"description": "theirs", "cicustom": "user=local:snippets/u.yaml", "onboot": 1, "serial0": "socket"},
    ],
)
def test_what_a_user_put_into_a_template_stays(theirs: dict[str, Any]) -> None:
    assert template.corrections(TEMPLATE, TEMPLATE_CONFIG | theirs) == {}


def test_a_users_tags_of_a_container_stay() -> None:
    config = CONTAINER_CONFIG | {"tags": "customer;nested-pve-ha;stack-dev"}
    assert guests.changes(container.options(CONTAINER), config) == {}
    config = CONTAINER_CONFIG | {"tags": "customer;stack-dev"}
    assert guests.changes(container.options(CONTAINER), config) == {"tags": "customer;nested-pve-ha;stack-dev"}


def test_a_container_as_wanted_needs_no_change() -> None:
    container.refuse_different(CONTAINER, CONTAINER_CONFIG)
    assert guests.changes(container.options(CONTAINER), CONTAINER_CONFIG) == {}


def test_memory_is_changed_where_the_container_runs() -> None:
    wanted = replace(CONTAINER, memory_mib=640)
    container.refuse_different(wanted, CONTAINER_CONFIG)
    assert guests.changes(container.options(wanted), CONTAINER_CONFIG) == {"memory": "640"}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (replace(CONTAINER, storage="other"), "storage other"),
        (replace(CONTAINER, bridge="vmbr1"), "bridge=vmbr1"),
        (replace(CONTAINER, address="192.168.0.200/24", gateway="192.168.0.1"), "ip=192.168.0.200/24,gw=192.168.0.1"),
    ],
)
def test_what_would_need_a_new_container_is_refused(changed: Container, named: str) -> None:
    with pytest.raises(AdminError) as caught:
        container.refuse_different(changed, CONTAINER_CONFIG)
    assert caught.value.code == "guest-differs"
    assert named in caught.value.expected


FOUND = guests.Found(
    300,
    "lxc",
    "proxmox02",
    node_online=True,
    tags=frozenset({"nested-pve-ha", "stack-dev"}),
    ha_state=None,
)


def test_a_guest_of_this_stack_may_be_touched() -> None:
    guests.refuse_foreign(FOUND, "lxc", "stack-dev")


@pytest.mark.parametrize(
    "found",
    [
        replace(FOUND, tags=frozenset()),
        replace(FOUND, tags=frozenset({"nested-pve-ha", "stack-prod"})),
        replace(FOUND, kind="qemu"),
    ],
)
def test_a_foreign_guest_is_never_touched(found: guests.Found) -> None:
    with pytest.raises(AdminError) as caught:
        guests.refuse_foreign(found, "lxc", "stack-dev")
    assert caught.value.code == "guest-foreign"


@pytest.mark.parametrize(("size", "gib"), [("1T", 1024), ("1536G", 1536), ("2T", 2048), ("524288M", 512), ("1G", 1)])
def test_sizes_are_compared_as_numbers(size: str, gib: int) -> None:
    """Proxmox VE stores them in the largest unit that divides them: 1024 GiB becomes 1T."""
    assert guests.disk_gib({"rootfs": f"shared:300/vm-300-disk-0.raw,size={size}"}, "rootfs") == gib
    assert guests.disk_gib({"scsi0": f"shared:200/vm-200-disk-0.raw,iothread=1,size={size},ssd=1"}, "scsi0") == gib


def test_a_disk_whose_size_is_not_told_has_none() -> None:
    assert guests.disk_gib({"rootfs": "shared:300/vm-300-disk-0.raw"}, "rootfs") is None
    assert guests.disk_gib({}, "rootfs") is None


def test_the_guests_of_a_stack_with_capitals_in_its_name_are_its_own() -> None:
    """Proxmox VE stores tags in lower case."""
    assert stack_tag("Home") == "stack-home"
    home = replace(CONTAINER, stack_tag=stack_tag("Home"))
    stored = container.options(home)["tags"].lower()
    assert guests.changes(container.options(home), {**CONTAINER_CONFIG, "tags": stored}) == {}
    for tags in (stored, "nested-pve-ha;stack-Home"):  # the second: a cluster whose tag style minds the case
        found = guests.Found(300, "lxc", "pve1", True, frozenset(split_tags(tags)), None)  # noqa: FBT003 - of the class
        guests.refuse_foreign(found, "lxc", home.stack_tag)
        assert owned(split_tags(tags), "Home")


@pytest.mark.parametrize("text", ["a;b", "A;b", "a,b", "a b", "a; b", "a;b;"])
def test_tags_are_read_in_every_form_proxmox_accepts(text: str) -> None:
    assert split_tags(text) == ["a", "b"]


class FakeApi:
    """The calls of a guest's search, answered from a script: one answer per look; the nodes that are down say nothing."""

    def __init__(self, *looks: list[dict[str, Any]]) -> None:
        self._looks = list(looks)

    def get(self, path: str, **_parameters: Any) -> Any:  # noqa: ANN401 - JSON
        if path.startswith("/nodes/"):
            dead = path.startswith("/nodes/proxmox02/")
            raise ApiError("GET", path, *((595, "No route to host") if dead else (500, "no such configuration")))
        assert path == "/cluster/resources"
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]


def resources(node: str, ha: str | None, **nodes: str) -> list[dict[str, Any]]:
    guest = {"type": "lxc", "vmid": 300, "node": node, "tags": "stack-dev", "hastate": ha}
    return [guest, *({"type": "node", "node": name, "status": status} for name, status in nodes.items())]


NODES = {"proxmox01": "online", "proxmox02": "offline"}


def test_ha_is_given_the_time_to_recover_a_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "POLL_S", 0)
    api: Any = FakeApi(
        resources("proxmox02", "started", **NODES),
        resources("proxmox02", "fence", **NODES),
        resources("proxmox01", "started", **NODES),
    )
    found = guests.find(api, 300)
    assert found is not None
    recovered = guests.wait_until_reachable(api, found)
    assert recovered is not None
    assert recovered.node == "proxmox01"


def test_a_guest_that_moves_at_this_moment_is_no_reason_to_stop() -> None:
    api: Any = FakeApi(resources("proxmox01", "migrate", **NODES))
    found = guests.find(api, 300)
    assert found is not None
    assert guests.wait_until_reachable(api, found) == found


def test_a_node_that_has_just_died_counts_as_online_and_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refresh of a destroy that came a second after the death once ended with HTTP 595."""
    monkeypatch.setattr(guests, "POLL_S", 0)
    api: Any = FakeApi(
        resources("proxmox02", "started", proxmox01="online", proxmox02="online"),
        resources("proxmox02", "fence", **NODES),
        resources("proxmox01", "started", **NODES),
    )
    found = guests.find(api, 300)
    assert found is not None
    assert found.node_online
    recovered = guests.wait_until_reachable(api, found)
    assert recovered is not None
    assert recovered.node == "proxmox01"


@pytest.mark.parametrize(("ha", "timeout_s"), [(None, 60), ("fence", 0)])
def test_a_guest_that_nobody_recovers_is_named(
    ha: str | None, timeout_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guests, "POLL_S", 0)
    api: Any = FakeApi(resources("proxmox02", ha, **NODES))
    found = guests.find(api, 300)
    assert found is not None
    with pytest.raises(AdminError) as caught:
        guests.wait_until_reachable(api, found, timeout_s)
    assert caught.value.code == "guest-node-down"
    assert "proxmox02 is offline" in caught.value.observed


def test_a_node_that_has_not_told_its_state_yet_is_not_a_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """pvestatd reports some seconds after a start; a template on such a node must not be taken away from it."""
    monkeypatch.setattr(guests, "POLL_S", 0)
    api: Any = FakeApi(
        resources("proxmox01", None, proxmox01="unknown", proxmox02="unknown"),
        resources("proxmox01", None, proxmox01="online", proxmox02="unknown"),
    )
    found = guests.find(api, 300)
    assert found is not None
    assert found.node_online


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([{"proxmox01": "unknown", "proxmox02": "unknown"}, {"proxmox01": "online", "proxmox02": "unknown"}], "proxmox01"),
        ([{"proxmox01": "unknown", "proxmox02": "online"}, {"proxmox01": "online", "proxmox02": "online"}], "proxmox01"),
        ([{"proxmox01": "offline", "proxmox02": "online"}], "proxmox02"),
        ([{"proxmox01": "offline", "proxmox02": "unknown"}, {"proxmox01": "offline", "proxmox02": "online"}], "proxmox02"),
    ],
)  # fmt: skip
def test_a_node_is_waited_for_until_it_tells_its_state(
    looks: list[dict[str, str]], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guests, "POLL_S", 0)
    answers = [[{"node": name, "status": status} for name, status in look.items()] for look in looks]
    api: Any = SimpleNamespace(get=lambda _path: answers.pop(0) if len(answers) > 1 else answers[0])
    assert guests.live_node(api, "proxmox01") == expected


def test_nodes_that_never_tell_their_state_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "POLL_S", 0)
    monkeypatch.setattr(guests, "UNKNOWN_S", 0)
    api: Any = SimpleNamespace(get=lambda _path: [{"node": "proxmox01", "status": "unknown"}])
    with pytest.raises(AdminError) as caught:
        guests.live_node(api, "proxmox01")
    assert caught.value.observed == "proxmox01 unknown"


def still(answers: list[Any]) -> Any:  # noqa: ANN401 - a double
    """An API whose last answer comes late."""

    def get(_path: str) -> Any:  # noqa: ANN401 - JSON
        if len(answers) > 1:
            return answers.pop(0)
        time.sleep(0.2)
        return answers[0]

    return SimpleNamespace(get=get)


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        (
            lambda: guests.find(
                still([resources("proxmox01", None, proxmox01=state) for state in ("unknown", "online")]), 300
            ),
            "waiting until the node of guest 300 reports its state\n",
        ),
        (
            lambda: guests.live_node(
                still([[{"node": "proxmox01", "status": state}] for state in ("unknown", "online")]), "proxmox01"
            ),
            "waiting until proxmox01 reports its state\n",
        ),
        (
            lambda: guests.wait_until_reachable(
                still([{}]), guests.Found(300, "lxc", "proxmox01", node_online=True, tags=frozenset(), ha_state=None)
            ),
            "waiting for proxmox01 to answer for guest 300\n",
        ),
        (
            lambda: guests.wait_until_released(still([[{"sid": "vm:200"}], []]), "vm:200"),
            "waiting: the HA manager still has vm:200\n",
        ),
    ],
)
@pytest.mark.parametrize("quiet_s", [0.05, 5.0])
def test_a_wait_that_takes_long_says_once_what_for(
    wait: Callable[[], object],
    said: str,
    quiet_s: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They were silent for up to ten minutes."""
    monkeypatch.setattr(guests, "POLL_S", 0)
    monkeypatch.setattr(waiting, "QUIET_S", quiet_s)
    wait()
    assert capsys.readouterr().err == (said if quiet_s < 1 else "")


def test_a_guest_that_is_not_there_is_not_found() -> None:
    api: Any = FakeApi(resources("proxmox01", None, **NODES))
    assert guests.find(api, 301) is None


QUORUM = {"type": "quorum", "quorate": 1}
MASTER = {"type": "master", "node": "proxmox01", "status": "proxmox01 (active, Sat Nov 21)"}
AGENT = {"type": "lrm", "node": "proxmox02", "status": "proxmox02 (idle, Sat Nov 21)"}
DEAD = {"type": "lrm", "node": "proxmox02", "status": "proxmox02 (old timestamp - dead?, Sat Nov 21)"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ([QUORUM], []),  # no guest was ever under HA
        ([QUORUM, MASTER, AGENT], []),
        ([{"type": "quorum", "quorate": 0}], ["no quorum"]),
        ([], ["no quorum"]),
        ([QUORUM, MASTER, DEAD], ["lrm proxmox02 (old timestamp - dead?, Sat Nov 21)"]),
    ],
)
def test_ha_is_ready_when_nothing_in_it_is_dead(status: list[dict[str, Any]], expected: list[str]) -> None:
    assert ha_ready.problems(status) == expected


READY = {"pve1": ["module="], "pve2": ["module=ipmi_watchdog"]}


def test_members_that_have_what_ha_needs_are_ready() -> None:
    ha_ready.refuse_missing(READY)
    ha_ready.refuse_other_watchdogs(READY, {"pve1": "softdog", "pve2": "ipmi_watchdog"})


def test_a_member_without_a_watchdog_is_named() -> None:
    with pytest.raises(AdminError) as refused:
        ha_ready.refuse_missing({**READY, "pve2": ["watchdog-mux", "/dev/watchdog", "module="]})
    assert refused.value.code == "ha-not-ready"
    assert refused.value.observed == "pve2 lacks watchdog-mux, /dev/watchdog"


def test_another_watchdog_than_described_is_named() -> None:
    with pytest.raises(AdminError) as refused:
        ha_ready.refuse_other_watchdogs(READY, {"pve1": "iTCO_wdt", "pve2": "softdog"})
    assert refused.value.code == "watchdog-differs"
    assert refused.value.observed == "pve1 uses softdog; pve2 uses ipmi_watchdog"
    assert refused.value.expected == "pve1 iTCO_wdt; pve2 softdog"


@pytest.mark.parametrize(
    "said", ["ipmi_watchdog", "ipmi-watchdog", '"ipmi_watchdog"', "'ipmi_watchdog action=power_cycle'"]
)
def test_a_watchdogs_module_is_read_as_modprobe_reads_it(said: str) -> None:
    ha_ready.refuse_other_watchdogs({"pve1": [f"module={said}"]}, {"pve1": "ipmi_watchdog"})


GUEST = VerifyGuest([], API, "vm:200", "started", ["proxmox01", "proxmox02"], 10)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"sid": "vm:200", "crm_state": "started", "node": "proxmox02"}, True),
        ({"sid": "vm:200", "crm_state": "started", "node": "proxmox03"}, False),
        ({"sid": "vm:200", "crm_state": "starting", "state": "started", "node": "proxmox01"}, False),
        ({"sid": "vm:200", "state": "error", "node": "proxmox01"}, False),
    ],
)
def test_a_guest_is_as_described_in_its_state_on_an_allowed_node(entry: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a case
    seen = verify_guest.placement("vm:200", [QUORUM, entry])
    assert seen is not None
    assert verify_guest.fits(GUEST, *seen) is expected


def test_a_guest_that_ha_does_not_know_has_no_place() -> None:
    assert verify_guest.placement("vm:200", [QUORUM, {"sid": "vm:201", "node": "proxmox01"}]) is None


class Storage:
    """A storage that holds files, asked through a node."""

    def __init__(self, *volumes: str) -> None:
        self.volumes = set(volumes)

    def get(self, path: str, **_parameters: Any) -> Any:  # noqa: ANN401 - JSON
        if path == "/nodes":
            return [{"node": "proxmox03", "status": "online"}, {"node": "proxmox02", "status": "offline"}]
        return [{"volid": volume} for volume in self.volumes]

    def delete(self, path: str) -> str:
        before, _, volume = path.rpartition("/content/")
        assert before == "/nodes/proxmox03/storage/shared"
        self.volumes.remove(volume)
        return "UPID"

    def wait(self, upid: str, _timeout_s: float) -> None:
        assert upid == "UPID"


def test_a_download_is_removed_through_a_node_that_is_up_and_only_once() -> None:
    image = Image("http://download.example/ct.tar.zst", "stack-dev-ct.tar.zst", None, "shared")
    storage = Storage("shared:vztmpl/stack-dev-ct.tar.zst", "shared:vztmpl/ct.tar.zst")
    for _ in range(2):
        guests.forget_download(storage, "proxmox02", image, "vztmpl")  # type: ignore[arg-type]
        assert storage.volumes == {"shared:vztmpl/ct.tar.zst"}


def drop_stale(monkeypatch: pytest.MonkeyPatch, answer: Completed, storage: Storage | None = None) -> Storage:
    """The storage after a look at its volume, which the node answers so."""
    ran: list[str] = []

    async def run(command: str, **_options: Any) -> Completed:  # noqa: ANN401 - as Connection.run
        await asyncio.sleep(0)
        ran.append(command)
        return answer

    @asynccontextmanager
    async def connections(machines: list[Any], *_: object, **__: object) -> AsyncIterator[dict[str, Any]]:
        await asyncio.sleep(0)
        yield {machine.name: SimpleNamespace(machine=machine, run=run) for machine in machines}

    monkeypatch.setattr(members, "connections", connections)
    image = Image("http://download.example/ct.tar.zst", "stack-dev-ct.tar.zst", "sha256:aa11", "shared")
    machines = [Machine(name, "10.0.0.1", "key") for name in ("proxmox02", "proxmox03")]
    volume = "shared:vztmpl/stack-dev-ct.tar.zst"
    found: Any = storage or Storage(volume, "shared:vztmpl/ct.tar.zst")
    try:
        asyncio.run(downloads.drop_stale(found, machines, "key", "proxmox03", image, "vztmpl"))
    finally:
        assert ran == [f'path=$(pvesm path {volume}) && sha256sum -- "$path"']
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "said",
    ["sha256sum: /mnt/x: Input/output error", "storage 'shared' is not online", "sha256sum: /mnt/x: Stale file handle"],
)
def test_a_download_that_cannot_be_read_for_a_moment_stays(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    storage = Storage("shared:vztmpl/stack-dev-ct.tar.zst")
    with pytest.raises(AdminError) as caught:
        drop_stale(monkeypatch, Completed(1, "", said), storage)
    assert (caught.value.code, caught.value.observed) == ("image-unreadable", said)
    assert storage.volumes == {"shared:vztmpl/stack-dev-ct.tar.zst"}


@pytest.mark.parametrize(
    ("printed", "kept"),
    [("aa11  /mnt/x", True), ("bb22  /mnt/x", False)],
    ids=["as described", "of an earlier description"],
)
def test_a_download_that_is_there_is_used_only_if_it_is_what_is_described(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], printed: str, *, kept: bool
) -> None:
    """A new checksum in the stack file made the next guest from the old file, without a word."""
    volume, storage = "shared:vztmpl/stack-dev-ct.tar.zst", drop_stale(monkeypatch, Completed(0, printed, ""))
    assert storage.volumes == {"shared:vztmpl/ct.tar.zst"} | ({volume} if kept else set())
    assert ("downloaded again" in capsys.readouterr().err) is not kept


class Downloading(Storage):
    """A storage whose downloads end so."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.end = end

    def post(self, path: str, **_options: object) -> str:
        assert path.endswith("/download-url")
        return "UPID"

    def wait(self, upid: str, timeout_s: float) -> None:
        super().wait(upid, timeout_s)
        if self.end != "OK":
            raise AdminError("task-failed", "a task failed", observed=f"{self.end} (UPID)")
        self.volumes.add("shared:vztmpl/stack-dev-ct.tar.zst")


@pytest.mark.parametrize(
    ("end", "code", "step"),
    [
        ("checksum mismatch: got 'bb22' != expect 'aa11'", "iso-checksum", "correct checksum or url in the stack file"),
        (
            "download failed: 404 Not Found",
            "task-failed",
            "make sure that proxmox03 can download http://download.example/ct",
        ),
    ],
)
def test_a_download_that_fails_says_that_the_stale_file_is_gone_and_what_the_next_run_does(
    end: str, code: str, step: str
) -> None:
    image = Image("http://download.example/ct.tar.zst", "stack-dev-ct.tar.zst", "sha256:aa11", "shared")
    storage: Any = Downloading(end)
    with pytest.raises(AdminError) as failed:
        guests.download(storage, "proxmox03", image, "vztmpl")
    assert failed.value.code == code
    assert end in failed.value.observed
    assert (
        "shared:vztmpl/stack-dev-ct.tar.zst does not exist now: a file with another checksum is removed"
        in failed.value.observed
    )
    assert failed.value.fix.startswith(step)
    assert "then run the same command again: it downloads the file" in failed.value.fix
    storage.end = "OK"
    assert guests.download(storage, "proxmox03", image, "vztmpl") == "shared:vztmpl/stack-dev-ct.tar.zst"


def test_where_there_is_no_download_nobody_is_asked() -> None:
    image = Image("http://download.example/ct.tar.zst", "stack-dev-ct.tar.zst", "sha256:aa11", "shared")
    storage: Any = Storage("shared:vztmpl/ct.tar.zst")
    asyncio.run(downloads.drop_stale(storage, [], "key", "proxmox03", image, "vztmpl"))
    assert storage.volumes == {"shared:vztmpl/ct.tar.zst"}


class Manager:
    """An HA manager that lets go of a removed service some looks after its registration is gone."""

    def __init__(self, *, registered: bool, looks: int) -> None:
        self.registered = registered
        self.looks = looks

    def get(self, path: str) -> list[dict[str, str]]:
        if path == "/cluster/ha/resources":
            return [{"sid": "vm:200"}] if self.registered else []
        self.looks -= 1
        return [{"sid": "vm:200"}, {"sid": "vm:201"}] if self.looks >= 0 else [{"sid": "vm:201"}]

    def delete(self, path: str) -> None:
        assert path == "/cluster/ha/resources/vm:200"
        self.registered = False


@pytest.mark.parametrize("registered", [True, False])
def test_a_guest_is_let_go_of_before_it_is_touched_even_when_somebody_else_unregistered_it(
    monkeypatch: pytest.MonkeyPatch,
    *,
    registered: bool,
) -> None:
    """The provider removes a VM's registration; the manager once started the VM again that was then stopped."""
    monkeypatch.setattr(guests, "POLL_S", 0)
    manager = Manager(registered=registered, looks=3)
    guests.release_from_ha(manager, "vm:200")  # type: ignore[arg-type]
    assert not manager.registered
    assert manager.looks == -1


def test_an_ha_manager_that_does_not_let_go_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "POLL_S", 0)
    manager = Manager(registered=True, looks=10**9)
    with pytest.raises(AdminError) as failed:
        guests.release_from_ha(manager, "vm:200", timeout_s=0)  # type: ignore[arg-type]
    assert failed.value.code == "task-timeout"
    assert "vm:200" in failed.value.observed


def test_a_guest_stays_registered_until_ha_has_recovered_it_from_a_dead_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the registration went first, and the guest of a node that had just died could be reached by nobody."""
    looks = [resources("proxmox02", ha, **NODES) for ha in ("started", "fence", "recovery")]
    api: Any = FakeApi(*looks, resources("proxmox01", "started", **NODES))

    async def connect(*_: object) -> FakeApi:
        return api  # type: ignore[no-any-return]

    monkeypatch.setattr(guests, "POLL_S", 0)
    monkeypatch.setattr(cluster_api, "connect", connect)
    call: Any = SimpleNamespace(secrets=None)
    asyncio.run(verify_guest.remove(replace(GUEST, sid="ct:300"), call))
    found = guests.find(api, 300)
    assert found is not None
    assert found.node == "proxmox01"


def test_ha_is_let_go_of_where_a_guest_is_deleted_between_its_registration_and_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manager = Manager(registered=False, looks=2)

    async def connect(*_: object) -> Manager:
        return manager

    monkeypatch.setattr(guests, "POLL_S", 0)
    monkeypatch.setattr(cluster_api, "connect", connect)
    call: Any = SimpleNamespace(secrets=None)
    outcome = asyncio.run(ha_ready.remove(HaReady([], API, "vm:200", 30, {}), call))
    assert outcome.facts == {"sid": "vm:200"}
    assert manager.looks == -1


class Cluster:
    """A cluster with one guest and its registration, that notes what is asked of it besides looking."""

    def __init__(self, tags: str | None, comment: str | None, kind: str = "qemu") -> None:
        self.guest = {"type": kind, "vmid": 200, "node": "proxmox01", "tags": tags}
        self.there = tags is not None
        self.comment = comment
        self.asked: list[str] = []

    def get(self, path: str, **_parameters: Any) -> Any:  # noqa: ANN401 - JSON
        if path == "/cluster/resources":
            node = {"type": "node", "node": "proxmox01", "status": "online"}
            return [node, *([self.guest] if self.there else [])]
        if path == "/cluster/ha/resources":
            return [] if self.comment is None else [{"sid": "vm:200", "comment": self.comment}]
        if path == "/nodes":
            return [{"node": "proxmox01", "status": "online"}]
        if path.endswith("/config"):
            return {}
        return {"status": "stopped"} if path.endswith("/status/current") and "/nodes/" in path else []

    def delete(self, path: str, **_parameters: object) -> str:
        self.asked.append(path)
        return "UPID"

    def wait(self, _upid: str, _timeout_s: float) -> None:
        """At once."""


def removed(step: Any, desired: Any, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - any step
    async def connect(*_: object) -> Cluster:
        return cluster

    monkeypatch.setattr(guests, "POLL_S", 0)
    monkeypatch.setattr(step.cluster_api, "connect", connect)
    call: Any = SimpleNamespace(secrets=None)
    return asyncio.run(step.remove(desired, call))


OURS = "nested-pve-ha;stack-dev"
REMOVALS = [(container, replace(CONTAINER, vmid=200), "lxc"), (template, replace(TEMPLATE, vmid=200), "qemu")]


@pytest.mark.parametrize("removal", REMOVALS)
@pytest.mark.parametrize("tags", ["customer", "nested-pve-ha;stack-prod", ""])
def test_what_took_the_number_of_ours_is_not_removed(
    removal: tuple[Any, Any, str], tags: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step, desired, kind = removal
    cluster = Cluster(tags, None, kind)
    outcome = removed(step, desired, cluster, monkeypatch)
    assert (outcome.changed, cluster.asked) == (False, [])
    assert "left alone" in capsys.readouterr().err
    assert removed(step, desired, Cluster(OURS, None, kind), monkeypatch).changed  # the control


READY_200 = HaReady([], API, "vm:200", 30, {}, "stack-dev")
REGISTRATION = "/cluster/ha/resources/vm:200"


def test_a_vm_that_took_the_number_of_ours_is_refused_before_the_provider_destroys_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster("customer", "theirs")
    with pytest.raises(AdminError) as refused:
        removed(ha_ready, READY_200, cluster, monkeypatch)
    assert refused.value.code == "guest-foreign"
    assert cluster.asked == []


@pytest.mark.parametrize(
    ("tags", "comment", "asked"),
    [
        (OURS, "stack-dev", [REGISTRATION]),
        (OURS, "edited by hand", [REGISTRATION]),
        (None, "stack-dev", [REGISTRATION]),
        (None, "theirs", []),
    ],
)
def test_only_a_registration_of_our_guest_or_with_our_mark_is_taken_away(
    tags: str | None, comment: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tags, comment)
    removed(ha_ready, READY_200, cluster, monkeypatch)
    assert cluster.asked == asked
