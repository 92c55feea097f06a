"""What is kept of a lab, to start from later instead of building it again: where it is, and whether it fits.

A save is a directory: `facts.json`, `lab.tar` with the disks, the keys and the identity of the machines, and the states of the stacks
that live on them. It holds the lab's secrets, and only root reads it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import LabError
from lab.image import root_image
from lab.options import Options
from lab.settings import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKED = "lab.tar"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
MOST = 8  # of about 0.15 GB each
PARTIAL = ".partial-"
STACKS = Path(".nested-pve/state/.pulumi/stacks/nested-pve-ha")  # below the project
INSTANCE = "siteInstance"  # as a stack's state records which machines it was made on


@dataclass(frozen=True)
class Kept:
    """A machine as it was: its power, the cards whose cables were cut, and the VMs on it by their numbers."""

    on: bool
    cut: list[str]
    vms: dict[str, Kept]


@dataclass(frozen=True)
class Facts:
    """What is known of a save: the version of the lab that made it, that lab's options, and its machines by name."""

    version: str
    options: Options
    machines: dict[str, Kept]


def version() -> str:
    """Which lab this is: what it is made from, and its own code, which reads what it has written into machines."""
    digest = hashlib.sha256(root_image.cache_key().encode())
    directory = PROJECT / "lab"
    for file in sorted(path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        if file.suffix != ".md":
            digest.update(f"\n{file.relative_to(directory)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def names(directory: Path) -> list[str]:
    """The saves that there are."""
    return sorted(path.parent.name for path in directory.glob("*/facts.json") if NAME.fullmatch(path.parent.name))


def find(directory: Path, name: str) -> Path:
    """A save's directory.

    Raises:
        LabError: lab-save-unknown.
    """
    known = names(directory)
    if name not in known:
        raise LabError(
            "lab-save-unknown",
            f"there is no save {name}",
            observed=f"in {directory}: {', '.join(known) or 'none'}",
            next_step="make up, then make in-lab DO='save NAME'",
        )
    return directory / name


def read(save: Path) -> Facts:
    """What is known of a save that this lab can use.

    Raises:
        LabError: lab-save-differs.
    """
    document: dict[str, Any] = json.loads((save / "facts.json").read_text())
    if document["version"] != (now := version()):
        raise LabError(
            "lab-save-differs",
            f"the save {save.name} was made by another version of the lab",
            observed=str(document["version"]),
            expected=now,
            next_step=f"make in-lab DO='forget {save.name}', then make up and save it anew",
        )
    options = document["options"]
    return Facts(
        document["version"],
        Options(**{**options, "owner": tuple(options["owner"])}),
        machines(document["machines"]),
    )


def machines(document: dict[str, Any]) -> dict[str, Kept]:
    """The machines as they were, from JSON."""
    return {name: Kept(one["on"], one["cut"], machines(one["vms"])) for name, one in document.items()}


def write(save: Path, facts: Facts) -> None:
    """Note what is known of a save."""
    (save / "facts.json").write_text(json.dumps(asdict(facts)) + "\n")


def forget(directory: Path, name: str) -> None:
    """Remove a save.

    Raises:
        LabError: lab-save-unknown.
    """
    save = find(directory, name)
    with _alone(directory):
        # Renamed first: half a save is none.
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=directory))
        save.rename(partial / name)
        shutil.rmtree(partial)


@contextmanager
def making(directory: Path, name: str) -> Iterator[Path]:
    """A place to fill, which becomes the save when the block ends well and leaves nothing when it does not.

    Raises:
        LabError: lab-save-name, lab-save-exists, lab-saves-full, lab-busy.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _alone(directory):
        _refuse(directory, name)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=directory))
        try:
            yield partial
            partial.rename(directory / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _refuse(directory: Path, name: str) -> None:
    if not NAME.fullmatch(name):
        raise LabError(
            "lab-save-name",
            f"{name!r} is no name for a save",
            expected="up to 40 small letters, digits and hyphens",
            next_step="make in-lab DO='save NAME'",
        )
    known = names(directory)
    if name in known:
        raise LabError(
            "lab-save-exists",
            f"there is a save {name} already",
            observed=str(directory / name),
            next_step=f"take another name, or first: make in-lab DO='forget {name}'",
        )
    if len(known) >= MOST:
        raise LabError(
            "lab-saves-full",
            f"there are {len(known)} saves, and no more are kept",
            observed=f"in {directory}: {', '.join(known)}",
            expected=f"fewer than {MOST}",
            next_step=f"make in-lab DO='forget {known[0]}', or another of them",
        )


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One command at a time writes here; it removes what a killed one has left.

    Raises:
        LabError: lab-busy.
    """
    lock = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(
                "lab-busy",
                "another command makes or removes a save",
                observed=f"{directory} is locked",
                expected="one such command at a time",
                next_step=f"wait for it, or look for its process with: fuser -v {directory}",
            ) from None
        for left in directory.glob(f"{PARTIAL}*"):
            shutil.rmtree(left)
        yield
    finally:
        os.close(lock)


def keep_stacks(save: Path, instance: str) -> None:
    """Keep the states of this project's stacks that live on these machines."""
    kept = save / "stacks"
    kept.mkdir()
    for file in sorted((PROJECT / STACKS).glob("*.json")):
        if _instance(file) == instance:
            shutil.copyfile(file, kept / file.name)


def refuse_stacks(save: Path) -> None:
    """Refuse to replace what a stack's state says of machines outside of any lab.

    Raises:
        LabError: lab-save-stack.
    """
    for kept in sorted((save / "stacks").iterdir()):
        file = PROJECT / STACKS / kept.name
        if file.exists() and _resources(file) and _instance(file) is None:
            raise LabError(
                "lab-save-stack",
                f"stack {file.stem} is deployed outside of the lab",
                observed=f"{len(_resources(file))} resources in {file}",
                expected="a state of a lab, or none",
                next_step="restore the save in another checkout of the project",
            )


def put_stacks_back(save: Path, owner: tuple[int, int]) -> None:
    """Give the project the states that belong to these machines; the one before stays beside it, where the engine keeps it, too."""
    for kept in sorted((save / "stacks").iterdir()):
        file = PROJECT / STACKS / kept.name
        _make_directories(file.parent, owner)
        if file.exists():
            file.replace(file.with_name(f"{file.name}.bak"))
        partial = file.with_name(f".{file.name}")
        shutil.copyfile(kept, partial)
        os.chown(partial, *owner)
        partial.chmod(0o600)
        partial.replace(file)


def _make_directories(directory: Path, owner: tuple[int, int]) -> None:
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir()
        os.chown(path, *owner)


def _resources(file: Path) -> list[dict[str, Any]]:
    """What a state lists; nothing where it cannot be read."""
    try:
        document = json.loads(file.read_text())
        return document["checkpoint"]["latest"].get("resources") or []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _instance(file: Path) -> str | None:
    found = (one.get("inputs", {}).get(INSTANCE) for one in _resources(file))
    return next((str(instance) for instance in found if instance), None)
