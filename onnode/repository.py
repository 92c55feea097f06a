"""repository: the chosen Proxmox repository is on, the others are off, and the wanted packages are installed.

A freshly installed node has the enterprise repositories of PVE and Ceph on, and apt fails on them without a
subscription: they are dealt with before anything is fetched.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode import originals, packages, sources
from onnode.desired import Repository
from onnode.errors import StepError
from onnode.machine import UTF_8
from onnode.step import Action, Step

if TYPE_CHECKING:
    from onnode.machine import Machine

LIST = "/etc/apt/sources.list"
DIRECTORY = "/etc/apt/sources.list.d"
OWN_FILE = f"{DIRECTORY}/nested-pve-ha.sources"
STAMP = "/var/lib/nested-pve-ha/apt-updated"
FRESH_S = 6 * 3600.0
KEYRINGS = (
    "/usr/share/keyrings/proxmox-archive-keyring.gpg",  # PVE 9
    "/etc/apt/trusted.gpg.d/proxmox-release-{suite}.gpg",  # PVE 8 and before
)
# The no-subscription repository has mirrors; this one has not.
ENTERPRISE_URI = "https://enterprise.proxmox.com/debian/pve"
COMPONENTS = {"no-subscription": "pve-no-subscription", "enterprise": "pve-enterprise"}


@dataclass(frozen=True)
class Observed:
    """The source lists, and what is installed."""

    suite: str
    keyring: str | None
    files: dict[str, str] = field(default_factory=dict)
    installed: list[str] = field(default_factory=list)
    unfinished: bool = False
    proven: bool = False  # apt could fetch from exactly these source lists
    fresh: bool = False  # and did so not long ago

    def sources(self) -> list[sources.Source]:
        """All enabled repositories."""
        return [source for path, text in self.files.items() for source in sources.parse(path, text)]


def parse_suite(os_release: str) -> str:
    """The Debian release that a machine's /etc/os-release names, "" if it names none."""
    found = re.search(r'^VERSION_CODENAME="?([a-z]+)"?$', os_release, re.MULTILINE)
    return found[1] if found else ""


def observe(machine: Machine, desired: Repository) -> Observed:
    """Read the source lists and ask dpkg."""
    names = [name for name in machine.names(DIRECTORY) if name.endswith((".list", ".sources"))]
    paths = [LIST, *(f"{DIRECTORY}/{name}" for name in names)]
    files = {path: text for path in paths if (text := machine.read(path)) is not None}
    suite = parse_suite(machine.read("/etc/os-release") or "")
    keyrings = [path for pattern in KEYRINGS if machine.exists(path := pattern.format(suite=suite))]
    return Observed(
        suite,
        keyrings[0] if keyrings else None,
        files,
        packages.installed(machine, *desired.packages) if desired.packages else [],
        packages.unfinished(machine),
        *_updated(machine, files),
    )


def _updated(machine: Machine, files: dict[str, str]) -> tuple[bool, bool]:
    digest, _, when = (machine.read(STAMP) or "").partition(" ")
    proven = digest == _digest(files)
    return proven, proven and abs(machine.time() - float(when)) < FRESH_S


def _digest(files: dict[str, str]) -> str:
    whole = "\0".join(f"{path}\0{text}" for path, text in sorted(files.items()))
    return hashlib.sha256(whole.encode(*UTF_8)).hexdigest()


def wanted(observed: Observed, desired: Repository) -> sources.Source:
    """The repository that the machine is to use."""
    uri = ENTERPRISE_URI if desired.mode == "enterprise" else desired.uri.rstrip("/")
    return sources.Source(uri, observed.suite, (COMPONENTS[desired.mode],))


def decide(observed: Observed, desired: Repository) -> list[Action]:
    """First the source lists and what a killed dpkg left, then apt's own lists, then the missing packages.

    Raises:
        StepError: keyring-missing.
    """
    actions = _edits(observed, desired)
    missing = sorted(set(desired.packages) - set(observed.installed))
    if observed.unfinished:
        actions.append(Action("finish", "dpkg --configure -a"))
    if actions or (missing and not observed.fresh) or (desired.mode != "keep" and not observed.proven):
        actions.append(Action("update", "package lists"))
    if missing:
        actions.append(Action("install", " ".join(missing)))
    return actions


def _edits(observed: Observed, desired: Repository) -> list[Action]:
    if desired.mode == "keep":
        return []
    edits = []
    if desired.mode == "no-subscription":
        for path, text in observed.files.items():
            if (off := sources.disable_enterprise(path, text)) != text:
                edits.append(Action("disable-enterprise", path, off))
    if not _has(observed, wanted(observed, desired)):
        edits.append(Action("add-repository", OWN_FILE, sources.stanza(wanted(observed, desired), _keyring(observed))))
    return edits


def _has(observed: Observed, source: sources.Source) -> bool:
    return any(
        found.kind == "deb"
        and found.uri == source.uri
        and found.suite == source.suite
        and set(source.components) <= set(found.components)
        for found in observed.sources()
    )


def _keyring(observed: Observed) -> str:
    if observed.keyring is None:
        raise StepError(
            "keyring-missing",
            "packages of Proxmox could not be verified",
            observed="no Proxmox keyring",
            expected=" or ".join(pattern.format(suite=observed.suite) for pattern in KEYRINGS),
        )
    return observed.keyring


def act(machine: Machine, desired: Repository, action: Action) -> None:
    """Edit a source list, or call apt-get."""
    if action.text:
        originals.replace_file(machine, action.what, action.text)
    elif action.do == "finish":
        packages.finish(machine)
    elif action.do == "update":
        packages.apt(machine, "update")
        machine.write(STAMP, f"{_digest(observe(machine, desired).files)} {machine.time():.0f}")
    else:
        names = action.what.split()
        install = ("install", "--no-install-recommends", *names)
        originals.remember_packages(machine, packages.parse_new(packages.apt(machine, "-s", *install)))
        packages.apt(machine, *install)


def facts(observed: Observed, _desired: Repository) -> dict[str, Any]:
    """The repositories in use."""
    return {"repositories": sorted({f"{found.uri} {found.suite}" for found in observed.sources()})}


def unchanged(observed: Observed, desired: Repository) -> str:
    """Say what was found."""
    return f"repository mode {desired.mode} on {observed.suite}, {len(desired.packages)} packages are installed"


STEP = Step(Repository, observe, decide, act, facts, unchanged)
