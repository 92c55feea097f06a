"""The engine's failures, each under the name of an error.

Errors of steps are shown word for word. Errors of the engine and of providers are recognized by patterns. All others are
shown as they are, under one name, with the file of the full output.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.errors import CODES
from components.recorded import FILE_TYPE
from onnode.errors import ON_NODE_CODES
from onnode.system.pve import LOCKED, STORAGE_OFFLINE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cli.engine.engine import Run

BLOCK = re.compile(r"^error\[(?P<code>[a-z0-9-]+)\]: .*(?:\n[ \t]+\S.*)*", re.MULTILINE)

# The first that matches names the failure.
PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (code, re.compile(pattern, re.IGNORECASE))
    for code, pattern in (
        ("stack-locked", r"the stack is currently locked by"),
        # Before the patterns for APIs: the error of a crashed plugin also has a dial and an EOF in it.
        (
            "plugin-crashed",
            (
                r"exited prematurely|^panic:|SIGSEGV|goroutine \d+ \[|plugin exited|transport is closing|error reading from server"
                r"|transport: error while dialing|code = Unavailable|could not read plugin|plugin .*: signal: "
            ),
        ),
        ("stack-secrets", r"incorrect passphrase|passphrase must be set|get stack secrets manager"),
        ("host-key-mismatch", r"host key mismatch|knownhosts: key|host key.*(?:mismatch|does not match)"),
        ("ssh-auth-failed", r"ssh: unable to authenticate|no supported methods remain"),
        ("host-unreachable", r"after \d+ failed attempts|dial tcp \S+:22: "),
        ("api-forbidden", r"Permission check failed"),
        ("api-two-factors", r"NeedTFA|PVE:!tfa!|TFA (?:challenge|required)|one-time password|second factor"),
        ("api-certificate", r"x509: |failed to verify certificate"),
        ("engine-environment", r"Missing Proxmox VE API Endpoint|must specify a (?:valid|secure) endpoint"),
        (
            "api-login-failed",
            r"authentication failure|401 (?:authentication|no ticket|permission|unauthorized)|credentials",
        ),
        (
            "iso-checksum",
            r"checksum (?:mismatch|does not match|verification failed)|wrong checksum|checksum.*expected|mismatch \(got ",
        ),
        ("iso-missing", r"download.*(?:404|not found|failed)|(?:404|not found).*\.iso"),
        ("guest-node-down", r"HTTP 595"),
        ("guest-moved", r"Configuration file '\S*/(?:qemu-server|lxc)/\d+\.conf' does not exist"),
        ("guest-locked", LOCKED.pattern),
        ("storage-offline", STORAGE_OFFLINE.pattern),
        ("api-unreachable", r"dial tcp \S+: (?:connect|i/o timeout)|connection refused|no such host|EOF$"),
        ("node-protected", r"cannot be deleted because it is protected|marked for protection|is protected"),
        ("vm-not-recorded", r"(?:VM|CT|guest) \d+ already exists|config file already exists"),
        ("run-interrupted", r"update cancell?ed|context canceled|cancell?ed by user"),
    )
)
_RECOGNIZED = {code for code, _ in PATTERNS}
DOWNLOADING = re.compile(r"download|mismatch|checksum", re.IGNORECASE)
# Proxmox VE downloads over no file that is there, so the provider removes that before it has the new one.
NO_IMAGE = (
    "no image of that name; an earlier one was removed before the download. Installed nodes run without it, and the "
    "next run downloads it"
)
# Lines that accompany every failure, and are no cause.
NOISE = re.compile(
    r"^(?:update|preview|destroy|refresh) failed:?$|^program exited|unhandled error occurred: program exited",
    re.IGNORECASE,
)
# Progress of the engine, which is no cause either: `@ updating....`, ` +  command:local:Command sleeper creating (0s)`.
PROGRESS = re.compile(
    r"@ \w+\.+$|\s*[-+~<>=±]+\s+\w+:\S+:\w+ |(?:Updating|Previewing \w+|Destroying|Refreshing) \(.*\):$"
)


@dataclass(frozen=True)
class Failure:
    """One failure as it is shown.

    Attributes:
        code: of `cluster.errors.CODES` or `onnode.errors.ON_NODE_CODES`.
        resource: what failed, by its name in the program; empty for the run as a whole.
        text: all that is shown.
    """

    code: str
    resource: str
    text: str


def explain(run: Run, log: str) -> list[Failure]:
    """Name what went wrong in a run; at least one failure."""
    found = _violations(run.violations)
    if run.exit_code < 0:
        found.append(_killed(run, log))
    causes = [(urn, text) for urn, text in run.errors if not NOISE.search(text)]
    found += [failure for urn, text in causes for failure in _named(urn, text, log)]
    if not found:
        found = _named("", error_lines(run.output), log)
    return _distinct(found)


def resource_name(urn: str) -> str:
    """A resource's name in the program."""
    return urn.rpartition("::")[2]


def _violations(found: Iterable[tuple[str, str, str]]) -> list[Failure]:
    """What rules refuse: one that refuses several resources for the same cause, as design and cluster, is shown once."""
    by_cause: dict[tuple[str, str], list[str]] = {}
    for policy, urn, message in found:
        resource = resource_name(urn)
        lines = (line.removeprefix(f"{resource}: ") for line in message.splitlines())
        by_cause.setdefault((policy, "\n".join(lines)), []).append(resource)
    return [_violation(policy, resources, cause) for (policy, cause), resources in by_cause.items()]


def _violation(policy: str, resources: list[str], cause: str) -> Failure:
    named = ", ".join(dict.fromkeys(resources))
    text = f"error[policy-violated]: rule {policy} refuses {named}\n" + _indented(cause)
    return Failure("policy-violated", resources[0], f"{text}\n  next: {CODES['policy-violated'].next}")


def _killed(run: Run, log: str) -> Failure:
    """A signal ended the engine itself. Its last lines show what was under way, and not why it was killed."""
    number = -run.exit_code
    title = f"error[engine-killed]: {CODES['engine-killed'].meaning}"
    observed = f"signal {number} ({signal.strsignal(number)}) after {run.duration_s:.0f} s"
    next_step = CODES["engine-killed"].next
    return Failure("engine-killed", "", f"{title}\n  observed: {observed}\n  next: {next_step}\n  full output: {log}")


def _named(urn: str, text: str, log: str) -> list[Failure]:
    resource = resource_name(urn)
    if blocks := list(BLOCK.finditer(text)):
        return [Failure(block["code"], resource, block[0].rstrip()) for block in blocks]
    code = next((code for code, pattern in PATTERNS if pattern.search(text)), "engine-failed")
    known = CODES.get(code) or ON_NODE_CODES[code]
    title = f"error[{code}]: {known.meaning}" + (f" ({resource})" if resource else "")
    left = f"\n  left: {NO_IMAGE}" if _is_download(urn, text) else ""
    observed = f"{title}\n  observed:\n{_indented(text, 4)}{left}"
    return [Failure(code, resource, f"{observed}\n  next: {known.next}\n  full output: {log}")]


def _is_download(urn: str, text: str) -> bool:
    return urn.rpartition("::")[0].endswith(FILE_TYPE) and bool(DOWNLOADING.search(text))


def _indented(text: str, by: int = 2) -> str:
    return "\n".join(" " * by + line.strip() for line in text.strip().splitlines() if line.strip())


def error_lines(output: str) -> str:
    """The errors that the engine printed; without any, its last lines."""
    lines = [line for line in output.splitlines() if line.strip() and not PROGRESS.match(line)]
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line and not NOISE.search(line)]
    return "\n".join(errors or lines[-5:] or ["nothing"])


def _distinct(failures: Iterable[Failure]) -> list[Failure]:
    """Each failure once.

    The engine repeats a failure for the resource, the component and the stack. It also repeats a provider's failure in its
    own words.
    """
    kept: dict[tuple[str, str], Failure] = {}
    for failure in failures:
        recognized = failure.resource and failure.code in _RECOGNIZED
        kept.setdefault((failure.code, failure.resource if recognized else failure.text), failure)
    return list(kept.values())
