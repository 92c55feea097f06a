"""install-node: one nested node is installed unattended on its empty VM, and answers with its pinned host key.

The VM boots from its disk first and from CD second: an empty disk falls through to the installer, an installed one
boots, so that attaching the CD is harmless to an installed node. The CD holds secrets; it is ejected and deleted as
soon as the node is up, and the VM's configuration is then what it was before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import membership
from onnode.contract.host import InstallNode
from onnode.errors import StepError
from onnode.host import demands, kind
from onnode.host.hypervisor import Vm  # noqa: TC001 - the tests' cases are read by these types
from onnode.host.installation_medium import BUILD_S, Parts
from onnode.step import Action, Step
from onnode.system import ours, toml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnode.contract.host import VmPower
    from onnode.system.machine import ThisMachine

RECORDS = "/var/lib/nested-pve-ha/install"
VM_LOOK_EVERY_S = 10.0
KEYSCAN_S = "1"  # without any answer; most often there is no machine yet
KEY_TYPES = {"ecdsa-sha2-nistp256": "ecdsa", "ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}


@dataclass(frozen=True)
class Record:
    """What this host remembers of an installation."""

    identity: str  # of the VM: a vmid can be used again
    digest: str  # of all that the CD is made from
    iso: str  # path of the CD's image
    booted: bool = False  # from the CD: until then the VM may run, but installs nothing
    installed: bool = False


@dataclass(frozen=True)
class Observed:
    """The VM, what it answers with, and what is remembered of its installation."""

    vm: Vm | None
    running: bool = False
    keys: list[str] = field(default_factory=list)
    record: Record | None = None
    iso_there: bool = False
    base_iso_there: bool = True
    leftovers: list[str] = field(default_factory=list)  # of a build that was killed: they hold secrets

    @property
    def identity(self) -> str:
        """What distinguishes this VM from a later one with the same vmid."""
        return self.vm.identity if self.vm else ""


def image_name(machine: ThisMachine, desired: InstallNode) -> str:
    """The name of the node's own installation CD.

    With the host's name: several hosts may share the storage, and vmids are a host's own.
    """
    return f"nested-pve-ha-{desired.stack}-{membership.hostname(machine)}-{desired.vmid}.iso"


def digest(desired: InstallNode) -> str:
    """What the CD is made from, without showing it."""
    whole = json.dumps([desired.answer, desired.first_boot, desired.base_iso_path], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def secrets(desired: InstallNode) -> list[str]:
    """The parts of the input that no message may carry; tools quote the lines that they do not like."""
    root = desired.answer.get("global", {})
    values = [
        root.get(key, "") for key in ("root-password", "root-password-hashed", "root_password", "root_password_hashed")
    ]
    return [*(value for value in values if value), desired.first_boot]


def parse_keys(text: str) -> list[str]:
    """Read `ssh-keyscan`: the host keys, each as "TYPE BASE64"."""
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return [" ".join(row[1:3]) for row in rows if len(row) >= 3]  # noqa: PLR2004


def observe(machine: ThisMachine, desired: InstallNode) -> Observed:
    """Look at the VM, ask its address for a host key, and read what is remembered."""
    record = _record(machine, desired.stack, desired.vmid)
    presented = keys(machine, desired)
    hypervisor = kind.hypervisor(machine)
    return Observed(
        hypervisor.vm(desired.vmid),
        pinned(desired) in presented or hypervisor.runs(desired.vmid),
        presented,
        record,
        record is not None and machine.exists(record.iso),
        machine.exists(desired.base_iso_path),
        leftovers(machine, desired.stack, desired.vmid),
    )


def keys(machine: ThisMachine, desired: InstallNode | VmPower) -> list[str]:
    """The host keys that the node's address presents, of the pinned key's type."""
    key_type = KEY_TYPES[desired.ssh_host_key.split()[0]]
    command = ["ssh-keyscan", "-T", KEYSCAN_S, "-t", key_type, desired.ssh_address]
    return parse_keys(machine.run(command, timeout_s=10).out)


def installed(machine: ThisMachine, stack: str, vmid: int) -> bool:
    """Whether this stack installed a node on this very VM, which still carries its mark."""
    vm, record = kind.hypervisor(machine).vm(vmid), _record(machine, stack, vmid)
    if vm is None or record is None or not vm.owned_by(stack):
        return False
    return record.installed and record.identity == vm.identity


def pinned(desired: InstallNode | VmPower) -> str:
    """The pinned host key without a comment."""
    return " ".join(desired.ssh_host_key.split()[:2])


def decide(observed: Observed, desired: InstallNode) -> list[Action]:
    """Install only what is not installed; wait for what is on its way.

    Raises:
        StepError: vm-missing, foreign-vmid, address-in-use, iso-missing.
    """
    if observed.vm is None:
        raise StepError(
            "vm-missing",
            f"there is no VM {desired.vmid}",
            observed="no such VM",
            expected=f"VM {desired.vmid} ({desired.name})",
        )
    if not observed.vm.owned_by(desired.stack):
        raise demands.foreign_vmid(desired.vmid, observed.vm)
    if observed.leftovers:
        return [Action("sweep", path) for path in observed.leftovers]
    if pinned(desired) in observed.keys:
        return _tidy(observed, observed.vm)
    if observed.record and observed.record.installed and observed.record.identity == observed.identity:
        return [*_start(observed, desired), Action("wait", desired.name)]
    if _on_its_way(observed, desired):
        return [Action("wait", desired.name)]
    if observed.keys:
        raise address_in_use(observed, desired)
    if not observed.base_iso_there:
        raise demands.iso_missing(desired.base_iso_path)
    return [Action(do, desired.name) for do in ("validate", "build", "boot-from-cd", "wait")]


def _tidy(observed: Observed, vm: Vm) -> list[Action]:
    tidy = [Action("eject")] if vm.cd or not vm.disk_only else []
    known = observed.record is not None and observed.record.installed and observed.record.identity == observed.identity
    return [*tidy, *([] if known and not observed.iso_there else [Action("record-installed")])]


def _start(observed: Observed, desired: InstallNode) -> list[Action]:
    return [] if observed.running else [Action("start", desired.name)]


def _on_its_way(observed: Observed, desired: InstallNode) -> bool:
    return (
        observed.running
        and observed.iso_there
        and observed.record is not None
        and observed.record.booted
        and observed.record.identity == observed.identity
        and observed.record.digest == digest(desired)
        and observed.vm is not None
        and observed.vm.cd
    )


def address_in_use(observed: Observed, desired: InstallNode) -> StepError:
    """Another machine answers where the node is to be."""
    return StepError(
        "address-in-use",
        f"another machine answers at {desired.ssh_address}, where {desired.name} is to be installed",
        observed=f"host key {observed.keys[0][:60]}…",
        expected=f"no answer, or {pinned(desired)[:60]}…",
    )


def act(machine: ThisMachine, desired: InstallNode, action: Action) -> None:
    """Build the CD, boot from it, wait, or tidy up."""
    vmid, hypervisor = desired.vmid, kind.hypervisor(machine)
    if action.do == "validate":
        _validate(machine, desired)
    elif action.do == "build":
        _build(machine, desired)
    elif action.do == "boot-from-cd":
        hypervisor.attach_cd(vmid, desired.iso_storage, image_name(machine, desired))
        hypervisor.stop(vmid)
        hypervisor.start(vmid)
        _remember(machine, desired, booted=True)
    elif action.do == "start":
        hypervisor.start(vmid)
    elif action.do == "wait":
        wait(machine, desired)
    elif action.do == "sweep":
        machine.remove_tree(action.what)
    elif action.do == "eject":
        hypervisor.detach_cd(vmid)
    else:
        _forget_image(machine, desired)
        _remember(machine, desired, installed=True)


@contextlib.contextmanager
def _work_files(machine: ThisMachine, desired: InstallNode) -> Iterator[Parts]:
    """The CD's parts as files that only root reads, and only for as long as they are needed."""
    directory = f"{RECORDS}/{desired.stack}/{desired.vmid}"
    answer, first_boot = f"{directory}-answer.toml", f"{directory}-first-boot"
    try:
        machine.write(answer, toml.dumps(desired.answer), mode=0o600)
        machine.write(first_boot, desired.first_boot, mode=0o700)
        yield Parts(desired.base_iso_path, str(machine.path(answer)), str(machine.path(first_boot)), desired.name)
    finally:
        machine.remove(answer)
        machine.remove(first_boot)


@contextlib.contextmanager
def _work_directory(machine: ThisMachine, path: str) -> Iterator[str]:
    """A directory for one build, on the storage that has room for an image."""
    directory = machine.path(path)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    try:
        yield str(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _validate(machine: ThisMachine, desired: InstallNode) -> None:
    with _work_files(machine, desired) as parts:
        kind.medium(machine).validate(parts)


def _build(machine: ThisMachine, desired: InstallNode) -> None:
    path = kind.hypervisor(machine).image_path(desired.iso_storage, image_name(machine, desired))
    _refuse_foreign_image(machine, desired, path)
    _save(machine, desired, Record(_identity(machine, desired.vmid), digest(desired), path))
    machine.remove(path)
    with _work_files(machine, desired) as parts, _work_directory(machine, f"{path}.work") as work:
        kind.medium(machine).build(parts, path, work)
    machine.path(path).chmod(0o600)


def _refuse_foreign_image(machine: ThisMachine, desired: InstallNode, path: str) -> None:
    """The record is written before the image: one without a record is not ours, whatever its name."""
    record = _record(machine, desired.stack, desired.vmid)
    for found in (path, f"{path}.work"):
        if machine.exists(found) and (record is None or record.iso != path):
            raise ours.foreign(found, "no installation of this stack is recorded for it", "no such file")


def wait(machine: ThisMachine, desired: InstallNode | VmPower) -> None:
    """Wait until the node answers with its pinned key.

    Raises:
        StepError: vm-stopped, node-not-up.
    """
    seen: list[str] = []
    look_again = machine.monotonic()

    def answered() -> bool:
        nonlocal look_again
        seen[:] = keys(machine, desired)
        if seen or machine.monotonic() < look_again:
            return pinned(desired) in seen
        look_again = machine.monotonic() + VM_LOOK_EVERY_S
        if not kind.hypervisor(machine).runs(desired.vmid):
            raise StepError(
                "vm-stopped",
                f"the VM of {desired.name} stopped before its node answered",
                observed=f"VM {desired.vmid} is stopped",
                expected="it runs until its node answers",
            )
        return False

    if not machine.wait_for(answered, desired.timeout_s):
        raise StepError(
            "node-not-up",
            f"{desired.name} did not answer with its host key within {desired.timeout_s} s",
            observed=f"{desired.ssh_address} port 22: {f'another key, {seen[0][:60]}…' if seen else 'no answer'}",
            expected=pinned(desired)[:60] + "…",
        )


def _forget_image(machine: ThisMachine, desired: InstallNode) -> None:
    record = _record(machine, desired.stack, desired.vmid)
    if record and record.iso:
        machine.remove(record.iso)


def _remember(machine: ThisMachine, desired: InstallNode, *, booted: bool = False, installed: bool = False) -> None:
    record = _record(machine, desired.stack, desired.vmid) or Record("", digest(desired), "")
    identity = _identity(machine, desired.vmid)
    _save(machine, desired, dataclasses.replace(record, identity=identity, booted=booted, installed=installed))


def _identity(machine: ThisMachine, vmid: int) -> str:
    return Observed(kind.hypervisor(machine).vm(vmid)).identity


def _path(stack: str, vmid: int) -> str:
    return f"{RECORDS}/{stack}/{vmid}.json"


def _record(machine: ThisMachine, stack: str, vmid: int) -> Record | None:
    try:
        return Record(**json.loads(machine.read(_path(stack, vmid)) or ""))
    except (ValueError, TypeError):
        return None  # none, or one that a crash or a hand cut off: nothing is remembered


def _save(machine: ThisMachine, desired: InstallNode, record: Record) -> None:
    machine.write(_path(desired.stack, desired.vmid), json.dumps(record.__dict__), mode=0o600)


def recorded(machine: ThisMachine, stack: str) -> list[int]:
    """The vmids of which this host remembers an installation, if only by what a killed build left."""
    found = [re.match(r"\.?(\d+)[.-]", name) for name in machine.names(f"{RECORDS}/{stack}")]
    return sorted({int(match[1]) for match in found if match})


def leftovers(machine: ThisMachine, stack: str, vmid: int) -> list[str]:
    """Work files of a build that was killed; whoever holds the VM's lock knows that no build is at work."""
    directory = f"{RECORDS}/{stack}"
    names = [name for name in machine.names(directory) if re.match(rf"\.?{vmid}-", name)]
    record = _record(machine, stack, vmid)
    work = f"{record.iso}.work" if record and record.iso else ""
    return [*(f"{directory}/{name}" for name in names), *([work] if work and machine.exists(work) else [])]


def forget(machine: ThisMachine, stack: str, vmid: int) -> None:
    """Delete a CD and work files that may be left, and then the record."""
    for path in leftovers(machine, stack, vmid):
        machine.remove_tree(path)
    record = _record(machine, stack, vmid)
    if record and record.iso:
        machine.remove(record.iso)
    machine.remove(_path(stack, vmid))
    machine.remove_empty(f"{RECORDS}/{stack}")


def facts(_observed: Observed, desired: InstallNode) -> dict[str, Any]:
    """Where the node answers."""
    return {"name": desired.name, "address": desired.ssh_address}


def unchanged(_observed: Observed, desired: InstallNode) -> str:
    """Say what was found."""
    return f"{desired.name} answers at {desired.ssh_address} with its host key"


STEP = Step(
    InstallNode,
    observe,
    decide,
    act,
    facts,
    unchanged,
    lock="shared",  # several nodes install side by side
    scope=lambda desired: f"vm-{desired.vmid}",
    lock_wait_s=lambda desired: desired.timeout_s + BUILD_S,
    secrets=secrets,
)
