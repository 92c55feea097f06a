"""repository: the chosen Proxmox repository is on, the others are off, and the wanted packages are installed.

A freshly installed node has the enterprise repositories of PVE and Ceph on, and apt fails on them without a
subscription: they are dealt with before anything is fetched.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from onnode.contract.node import Repository
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import originals, ours, packages, sources
from onnode.system.machine import UTF_8

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

LIST = "/etc/apt/sources.list"
DIRECTORY = "/etc/apt/sources.list.d"
OWN_FILE = f"{DIRECTORY}/nested-pve-ha.sources"
STAMP = "/var/lib/nested-pve-ha/apt-updated"
TRIAL = "/var/lib/nested-pve-ha/apt-trial"
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
    proven: bool = False  # apt could fetch since this program last changed a source list; others' changes do not count
    fresh: bool = False  # apt fetched not long ago, from exactly these source lists

    def of(self, path: str) -> list[sources.Source]:
        """The enabled repositories of one file."""
        return sources.parse(path, self.files.get(path, ""))

    def sources(self) -> list[sources.Source]:
        """All enabled repositories."""
        return [source for path in self.files for source in self.of(path)]


def parse_suite(os_release: str) -> str:
    """The Debian release that a machine's /etc/os-release names, "" if it names none."""
    found = re.search(r'^VERSION_CODENAME="?([a-z]+)"?$', os_release, re.MULTILINE)
    return found[1] if found else ""


def observe(machine: ThisMachine, desired: Repository) -> Observed:
    """Read the source lists and ask dpkg."""
    files = _files(machine)
    suite = parse_suite(machine.read("/etc/os-release") or "")
    keyrings = [path for pattern in KEYRINGS if machine.exists(path := pattern.format(suite=suite))]
    age = lists_age_s(machine)
    return Observed(
        suite,
        keyrings[0] if keyrings else None,
        files,
        packages.installed(machine, *desired.packages) if desired.packages else [],
        packages.unfinished(machine),
        machine.exists(STAMP),
        age is not None and age < FRESH_S,
    )


def _files(machine: ThisMachine) -> dict[str, str]:
    """The source lists, by path."""
    names = [name for name in machine.names(DIRECTORY) if name.endswith((".list", ".sources"))]
    paths = [LIST, *(f"{DIRECTORY}/{name}" for name in names)]
    return {path: text for path in paths if (text := machine.read(path)) is not None}


def lists_age_s(machine: ThisMachine) -> float | None:
    """How long ago this program fetched package lists from exactly the present sources; None if it never did."""
    digest, _, when = (machine.read(STAMP) or "").partition(" ")
    return abs(machine.time() - float(when)) if digest == _digest(_files(machine)) else None


def update(machine: ThisMachine) -> None:
    """Fetch the package lists.

    Raises:
        StepError: as :func:`onnode.system.packages.apt`.
    """
    packages.apt(machine, "update")
    machine.write(STAMP, f"{_digest(_files(machine))} {machine.time():.0f}")


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
        StepError: keyring-missing, foreign-file.
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
    if (own := _own_file(observed, wanted(observed, desired))) != observed.files.get(OWN_FILE) and own is not None:
        ours.refuse_foreign(OWN_FILE, observed.files.get(OWN_FILE))
        edits.append(Action("add-repository", OWN_FILE, own))
    return edits


def _own_file(observed: Observed, source: sources.Source) -> str | None:
    """What our file has to be; None if it is not needed."""
    others = [found for path in observed.files if path != OWN_FILE for found in observed.of(path)]
    own = [found for found in observed.of(OWN_FILE) if sources.provides(found, source)]
    if own and not _conflicts(observed, own[0]):
        return observed.files[OWN_FILE]
    if not own and any(sources.provides(found, source) for found in others):
        return None
    beside = [found.options for found in others if sources.same_place(found, source)]
    usual = [] if beside and observed.keyring is None else [{"Signed-By": _keyring(observed)}]
    # Ours follows the others where it must: apt reads no source at all when two of one place differ.
    fitting = (one for one in (*usual, *beside) if not _conflicts(observed, replace(source, options=one)))
    return sources.stanza(source, next(fitting, (*beside, *usual)[0]))


def _conflicts(observed: Observed, own: sources.Source) -> bool:
    """Whether apt could not read ours beside the others; it reads the files in this order."""
    paths = sorted({*observed.files, OWN_FILE}, key=lambda path: (path != LIST, path))
    found = [one for path in paths for one in ([own] if path == OWN_FILE else observed.of(path))]
    return sources.conflict([one for one in found if sources.same_place(one, own)])


def _keyring(observed: Observed) -> str:
    if observed.keyring is None:
        raise StepError(
            "keyring-missing",
            "packages of Proxmox could not be verified",
            observed="no Proxmox keyring",
            expected=" or ".join(pattern.format(suite=observed.suite) for pattern in KEYRINGS),
        )
    return observed.keyring


def act(machine: ThisMachine, desired: Repository, action: Action) -> None:
    """Edit a source list, or call apt-get."""
    if action.text:
        _try_out(machine, desired, action)
        machine.remove(STAMP)
        originals.replace_file(machine, action.what, action.text)
    elif action.do == "finish":
        packages.finish(machine)
    elif action.do == "update":
        update(machine)
    else:
        names = action.what.split()
        install = ("install", "--no-install-recommends", *names)
        plan = packages.apt(machine, "-s", *install)
        _refuse_removals(names, packages.parse_removed(plan))
        originals.remember_packages(machine, packages.parse_new(plan))
        packages.apt(machine, *install)


def _refuse_removals(wanted: list[str], removed: list[str]) -> None:
    """What conflicts with a package goes without a question, Proxmox VE itself not excepted."""
    if removed:
        raise StepError(
            "install-removes",
            f"the installation of {', '.join(wanted)} would remove other packages",
            observed=", ".join(removed),
            expected="no package that goes",
        )


def _try_out(machine: ThisMachine, desired: Repository, action: Action) -> None:
    """Let apt read copies of the source lists with the change in them, before anything is changed.

    Raises:
        StepError: sources-unreadable.
    """
    files = observe(machine, desired).files
    after = _unreadable(machine, {**files, action.what: action.text})
    if after is None:
        return
    before = _unreadable(machine, files)
    cause = "even before a change" if before else f"with the change of {action.what}, so it was not made"
    raise StepError(
        "sources-unreadable",
        f"apt cannot read its source lists {cause}",
        observed=before or after,
        expected="source lists that apt can read",
    )


def _unreadable(machine: ThisMachine, files: dict[str, str]) -> str | None:
    """What apt complains about when it reads these source lists; None if they are well."""
    machine.remove_tree(TRIAL)
    try:
        machine.path(f"{TRIAL}/parts").mkdir(mode=0o700, parents=True)
        for path, text in files.items():
            machine.write(_trial(path), text)
        lists = ("-o", f"Dir::Etc::SourceList={machine.path(_trial(LIST))}")
        parts = ("-o", f"Dir::Etc::SourceParts={machine.path(f'{TRIAL}/parts')}")
        result = machine.run(["apt-get", *lists, *parts, "indextargets"])
        complaints = [line for line in result.err.splitlines() if line.startswith("E:")]
        return " | ".join(complaints).replace(f"{machine.path(TRIAL)}/parts", DIRECTORY) or None
    finally:
        machine.remove_tree(TRIAL)


def _trial(path: str) -> str:
    return f"{TRIAL}/sources.list" if path == LIST else f"{TRIAL}/parts/{path.rpartition('/')[2]}"


def facts(observed: Observed, _desired: Repository) -> dict[str, Any]:
    """The repositories in use."""
    return {"repositories": sorted({f"{found.uri} {found.suite}" for found in observed.sources()})}


def unchanged(observed: Observed, desired: Repository) -> str:
    """Say what was found."""
    return f"repository mode {desired.mode} on {observed.suite}, {len(desired.packages)} packages are installed"


STEP = Step(Repository, observe, decide, act, facts, unchanged)
