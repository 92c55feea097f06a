"""kvm-nested: nested virtualization is on now and after a reboot, on Intel and on AMD (F22).

The option is written first and the module reloaded after: killed in between, a reboot finishes the work.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.contract.host import KvmNested
from onnode.errors import StepError
from onnode.host import kind
from onnode.host.hypervisor import RunningVm  # noqa: TC001 - the tests' cases are read by these types
from onnode.step import Action, Step
from onnode.system import originals, ours, processor
from onnode.system.machine import NOT_FOUND, tail

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

OPTIONS_FILE = "/etc/modprobe.d/nested-pve-ha.conf"
# Where modprobe.d(5) looks, most important first; a file shadows its namesakes in the later directories.
OPTION_DIRECTORIES = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/lib/modprobe.d")
CMDLINE = "/proc/cmdline"
DEVICES = ("/dev/kvm", "anon_inode:kvm-vm", "anon_inode:kvm-vcpu")
RELOAD_S = 30.0
LOG_LINES = 400
# The first that matches says why `modprobe` did not load the module; the kernel's own words come from its log.
COMPLAINTS = (
    (
        "kvm-refused-by-firmware",
        re.compile(r"disabled by (?:the )?(?:bios|firmware)|SVM disabled|VMX not enabled", re.IGNORECASE),
    ),
    ("kvm-module-missing", re.compile(r"Module \S+ not found")),
    ("kvm-command-line", re.compile(r"module_blacklist|is blacklisted")),
    # The processor shows the flag, and the kernel cannot use it: only the firmware stands in between.
    ("kvm-refused-by-firmware", re.compile(r"Operation not supported")),
)
KERNEL_SAYS = re.compile(r"\b(?:kvm|svm|vmx|module \S+ is blacklisted)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Option:
    """A `nested` option for the module in use, and the file that sets it."""

    file: str
    value: str


@dataclass(frozen=True)
class Observed:
    """The processor, the module's live parameter, the configured options, and who uses the module."""

    virtualization: str | None
    live: str | None  # None: the module is not loaded
    options: list[Option] = field(default_factory=list)  # in the order in which modprobe applies them
    running: list[RunningVm] = field(default_factory=list)  # only asked for when the module must be reloaded
    users: int = 0  # the module's reference count
    own_file: str | None = None
    holders: list[str] = field(default_factory=list)  # processes that have the module's devices open
    built_in: bool = False
    command_line: list[str] = field(default_factory=list)  # its words that concern the module


def options_text(*, enabled: bool) -> str:
    """Our file: the processor may be exchanged, so both modules are named."""
    value = 1 if enabled else 0
    return f"# Made by nested-pve-ha.\noptions kvm-intel nested={value}\noptions kvm-amd nested={value}\n"


def parse_options(text: str, module: str) -> list[str]:
    """The values that a modprobe.d file gives to a module's `nested` parameter; `-` and `_` are the same there."""
    values = []
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split()
        if words[:1] == ["options"] and words[1:2] and words[1].replace("-", "_") == module:
            values += [value for key, _, value in (word.partition("=") for word in words[2:]) if key == "nested"]
    return values


def observe(machine: ThisMachine, desired: KvmNested) -> Observed:
    """Look at the processor, the live parameter and the configuration."""
    virtualization = processor.virtualization(machine)
    if virtualization is None:
        return Observed(None, None)
    module = processor.MODULES[virtualization]
    live = machine.read(f"/sys/module/{module}/parameters/nested")
    return Observed(
        virtualization,
        live if live is None else live.strip(),
        _options(machine, module),
        kind.hypervisor(machine).running() if live is not None and processor.is_on(live) != desired.enabled else [],
        int(machine.read(f"/sys/module/{module}/refcnt") or 0),
        machine.read(OPTIONS_FILE),
        _holders(machine) if live is not None and processor.is_on(live) != desired.enabled else [],
        # A loaded module has a state; one that is part of the kernel has parameters only.
        live is not None and not machine.exists(f"/sys/module/{module}/initstate"),
        command_line(machine.read(CMDLINE) or "", module),
    )


def command_line(text: str, module: str) -> list[str]:
    """The words of the kernel's command line that concern a module; `-` and `_` are the same there."""
    found = []
    for word in text.split():
        key, _, value = word.partition("=")
        key = key.replace("-", "_")
        if key == f"{module}.nested" or (
            key in ("module_blacklist", "modprobe.blacklist") and module in value.replace("-", "_").split(",")
        ):
            found.append(word)
    return found


def _holders(machine: ThisMachine) -> list[str]:
    """The processes that have KVM open; the module's reference count is no number of users."""
    found = []
    for pid in filter(str.isdigit, machine.names("/proc")):
        for descriptor in machine.names(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(machine.path(f"/proc/{pid}/fd/{descriptor}")).startswith(DEVICES):  # noqa: PTH115
                    found.append(f"{(machine.read(f'/proc/{pid}/comm') or '?').strip()} (process {pid})")
                    break
    return found


def _options(machine: ThisMachine, module: str) -> list[Option]:
    files: dict[str, str] = {}
    for directory in OPTION_DIRECTORIES:
        for name in machine.names(directory):
            if name.endswith(".conf"):
                files.setdefault(name, f"{directory}/{name}")
    return [
        Option(path, value)
        for _, path in sorted(files.items())
        for value in parse_options(machine.read(path) or "", module)
    ]


def decide(observed: Observed, desired: KvmNested) -> list[Action]:
    """Write the option, load the module, or reload it; refuse while VMs run.

    Raises:
        StepError: no-virtualization, kvm-built-in, kvm-command-line, kvm-conflicting-options, kvm-in-use, foreign-file.
    """
    if observed.virtualization is None:
        raise StepError(
            "no-virtualization",
            "this machine cannot run KVM guests",
            observed=f"neither vmx nor svm in {processor.CPUINFO}",
            expected="vmx or svm",
        )
    module = processor.MODULES[observed.virtualization]
    _refuse_command_line(observed, desired, module)
    if observed.built_in:
        _refuse_built_in(observed, desired, module)
        return []
    if not _persisted(observed, desired):
        ours.refuse_foreign(OPTIONS_FILE, observed.own_file)
        _refuse_overriding(observed, desired)
        return [Action("write", OPTIONS_FILE), *([] if _in_use_by(observed) else _load(observed, desired, module))]
    actions = _load(observed, desired, module)
    if actions and (users := _in_use_by(observed)):
        raise _in_use(module, users)
    return actions


def _load(observed: Observed, desired: KvmNested, module: str) -> list[Action]:
    if observed.live is None:
        return [Action("load", module)]
    return [] if processor.is_on(observed.live) == desired.enabled else [Action("reload", module)]


def _persisted(observed: Observed, desired: KvmNested) -> bool:
    return bool(observed.options) and processor.is_on(observed.options[-1].value) == desired.enabled


def _refuse_command_line(observed: Observed, desired: KvmNested, module: str) -> None:
    """What stands on the kernel's command line comes after all files, and wins."""
    nested = [word for word in observed.command_line if ".nested=" in word]
    wrong = [word for word in nested[-1:] if processor.is_on(word.partition("=")[2]) != desired.enabled]
    kept_out = [word for word in observed.command_line if word not in nested] if observed.live is None else []
    if wrong or kept_out:
        raise StepError(
            "kvm-command-line",
            f"the kernel's command line overrides the configuration of {module}",
            observed=f"{CMDLINE}: {' '.join([*wrong, *kept_out])}",
            expected=f"{module}.nested={1 if desired.enabled else 0}, or no such word",
        )


def _refuse_built_in(observed: Observed, desired: KvmNested, module: str) -> None:
    if processor.is_on(observed.live or "") != desired.enabled:
        raise StepError(
            "kvm-built-in",
            f"{module} is built into the running kernel, and nested virtualization is {'off' if desired.enabled else 'on'}",
            observed=f"/sys/module/{module}/parameters/nested: {observed.live}; no {module} to unload",
            expected=f"{module}.nested={1 if desired.enabled else 0} on the kernel's command line",
        )


def _refuse_overriding(observed: Observed, desired: KvmNested) -> None:
    last = observed.options[-1] if observed.options else None
    if last is not None and last.file.rpartition("/")[2] > OPTIONS_FILE.rpartition("/")[2]:
        raise StepError(
            "kvm-conflicting-options",
            "another file would override the option for nested virtualization",
            observed=f"{last.file}: nested={last.value}",
            expected=f"nested={1 if desired.enabled else 0}, or no such line",
        )


def _in_use_by(observed: Observed) -> str:
    if observed.running:
        return f"running: {', '.join(map(str, observed.running))}"
    if observed.holders:
        return f"no VM that this host lists, but KVM is open in {', '.join(observed.holders)}"
    return f"the kernel counts {observed.users} references, of no process that can be seen" if observed.users else ""


def _in_use(module: str, observed: str) -> StepError:
    return StepError(
        "kvm-in-use",
        f"{module} cannot be reloaded now; the new option takes effect at the next boot",
        observed=observed,
        expected="nothing that uses KVM, or a reboot",
    )


def act(machine: ThisMachine, desired: KvmNested, action: Action) -> None:
    """Write our options file, or (re)load the module, which then reads it."""
    if action.do == "write":
        originals.replace_file(machine, OPTIONS_FILE, options_text(enabled=desired.enabled))
        return
    live = machine.read(f"/sys/module/{action.what}/parameters/nested")
    originals.remember_parameter(machine, action.what, live if live is None else live.strip())
    if action.do == "reload":
        removed = machine.run(["modprobe", "-r", action.what], timeout_s=RELOAD_S)
        if removed.code != 0:
            raise _in_use(action.what, removed.text)
    _load_module(machine, action.what)


def _load_module(machine: ThisMachine, module: str) -> None:
    result = machine.run(["modprobe", module], timeout_s=RELOAD_S)
    if result.code == 0:
        return
    if result.timed_out or result.code == NOT_FOUND:
        machine.check(["modprobe", module], timeout_s=RELOAD_S)
    log = [line for line in machine.run(["dmesg"]).out.splitlines()[-LOG_LINES:] if KERNEL_SAYS.search(line)]
    said = "\n".join([result.text, *log])
    raise StepError(
        next((code for code, pattern in COMPLAINTS if pattern.search(said)), "kvm-load-failed"),
        f"`modprobe {module}` failed",
        observed=f"exit {result.code}: {tail(said)}",
        expected=f"{module} is loaded",
    )


def facts(observed: Observed, _desired: KvmNested) -> dict[str, Any]:
    """Which module, and what it says."""
    return {
        "virtualization": observed.virtualization,
        "nested": observed.live is not None and processor.is_on(observed.live),
    }


def unchanged(observed: Observed, desired: KvmNested) -> str:
    """Say what was found."""
    state = "on" if desired.enabled else "off"
    return f"nested virtualization ({observed.virtualization}) is {state}, now and after a reboot"


def differs(observed: Observed, _desired: KvmNested, action: Action) -> str:
    """What is configured, or what the module says."""
    if action.do != "write":
        return f"nested is {observed.live or 'not there: the module is not loaded'}"
    last = observed.options[-1] if observed.options else None
    return f"{last.file} says nested={last.value}" if last else "no file sets nested"


STEP = Step(KvmNested, observe, decide, act, facts, unchanged, differs=differs)
