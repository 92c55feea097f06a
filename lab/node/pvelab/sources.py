"""The package repositories of a node: /etc/apt/sources.list and the files in sources.list.d."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pvelab import cfs, sections
from pvelab.errors import die
from pvelab.paths import path

if TYPE_CHECKING:
    from pathlib import Path

SUITE = "trixie"
KEYRING = "/usr/share/keyrings/proxmox-archive-keyring.gpg"
_LISTS = ("Types", "URIs", "Suites", "Components")
_LINE = re.compile(
    r"(?P<off>#\s*)?(?P<type>deb|deb-src)\s+(?:\[[^]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<rest>[^#]*)(?:#(?P<note>.*))?"
)


@dataclass
class AptRepository:
    """One repository: a paragraph of a .sources file or a line of a .list file."""

    fields: dict[str, str]
    comment: str = ""
    enabled: bool = True

    def words(self, name: str) -> list[str]:
        """A field that holds a list."""
        return self.fields.get(name, "").split()


@dataclass
class SourceFile:
    """One file with its repositories; `format` is "sources" or "list"."""

    name: str
    format: str
    repositories: list[AptRepository] = field(default_factory=list)


@dataclass(frozen=True)
class Standard:
    """A repository that Proxmox offers by name."""

    handle: str
    name: str
    description: str
    uri: str
    component: str
    file: str


_MAIN = "/etc/apt/sources.list.d/proxmox.sources"
_CEPH = "/etc/apt/sources.list.d/ceph.sources"
_PVE = "download.proxmox.com/debian/pve"
STANDARD = [
    Standard(
        "enterprise",
        "Enterprise",
        "This is the default, stable, and recommended repository, available for all Proxmox subscription users.",
        "https://enterprise.proxmox.com/debian/pve",
        "pve-enterprise",
        "/etc/apt/sources.list.d/pve-enterprise.sources",
    ),
    Standard(
        "no-subscription",
        "No-Subscription",
        "This is the recommended repository for testing and non-production use. Its packages are not as heavily"
        " tested and validated as the production ready enterprise repository. You don't need a subscription key to"
        " access this repository.",
        f"http://{_PVE}",
        "pve-no-subscription",
        _MAIN,
    ),
    Standard(
        "test",
        "Test",
        "This repository contains the latest packages and is primarily used for test labs and by developers to test"
        " new features.",
        f"http://{_PVE}",
        "pve-test",
        _MAIN,
    ),
    *(
        Standard(
            f"ceph-squid-{handle}",
            f"Ceph Squid {name}",
            f"This repository holds the {name} Proxmox Ceph 19.2 Squid packages.",
            f"{scheme}.proxmox.com/debian/ceph-squid",
            handle,
            _CEPH,
        )
        for handle, name, scheme in (
            ("enterprise", "Enterprise", "https://enterprise"),
            ("no-subscription", "No-Subscription", "http://download"),
            ("test", "Test", "http://download"),
        )
    ),
]


def _paragraph(text: str) -> AptRepository | None:
    comments, fields, last = [], dict[str, str](), ""
    for line in text.splitlines():
        if line.startswith("#"):
            comments.append(line[1:].strip())
        elif line[:1].isspace() and last:
            fields[last] += f"\n{line.rstrip()}"
        elif ":" in line:
            last, _, value = line.partition(":")
            fields[last] = value.strip()
    if "URIs" not in fields:
        return None
    enabled = fields.pop("Enabled", "yes").lower() not in ("no", "false", "0", "off")
    return AptRepository(fields, "\n".join(comments), enabled)


def _line(text: str) -> AptRepository | None:
    found = _LINE.fullmatch(text.strip())
    if found is None:
        return None
    fields = {
        "Types": found["type"],
        "URIs": found["uri"],
        "Suites": found["suite"],
        "Components": found["rest"].strip(),
    }
    return AptRepository(fields, (found["note"] or "").strip(), found["off"] is None)


def _parse(name: str, text: str) -> SourceFile:
    if name.endswith(".sources"):
        found = [_paragraph(part) for part in re.split(r"\n\s*\n", text)]
        return SourceFile(name, "sources", [repository for repository in found if repository])
    lines = [_line(line) for line in text.splitlines()]
    return SourceFile(name, "list", [repository for repository in lines if repository])


def _render(file: SourceFile) -> str:
    if file.format == "list":
        return "".join(
            f"{'' if r.enabled else '# '}{' '.join(r.fields[key] for key in _LISTS if r.fields[key])}"
            f"{f' # {r.comment}' if r.comment else ''}\n"
            for r in file.repositories
        )
    parts = []
    for repository in file.repositories:
        notes = [f"# {line}" for line in repository.comment.splitlines()]
        state = [] if repository.enabled else ["Enabled: no"]
        parts.append(
            "\n".join([*notes, *(f"{key}: {value}" for key, value in repository.fields.items()), *state]) + "\n"
        )
    return "\n".join(parts)


def _files() -> list[Path]:
    directory = path("/etc/apt/sources.list.d")
    found = (
        sorted(file for file in directory.glob("*") if file.suffix in (".list", ".sources"))
        if directory.is_dir()
        else []
    )
    main = path("/etc/apt/sources.list")
    return [main, *found] if main.exists() else found


def load() -> list[SourceFile]:
    """All files that hold repositories."""
    root = path("/")
    return [_parse(f"/{file.relative_to(root)}", file.read_text()) for file in _files()]


def digest() -> str:
    """Changes whenever one of the files does."""
    return sections.digest("\0".join(file.read_text() for file in _files()))


def _matches(repository: AptRepository, standard: Standard) -> bool:
    uris = [uri.split("://")[-1].rstrip("/") for uri in repository.words("URIs")]
    return standard.uri.split("://")[-1] in uris and standard.component in repository.words("Components")


def _configured(files: list[SourceFile], standard: Standard) -> list[AptRepository]:
    return [repository for file in files for repository in file.repositories if _matches(repository, standard)]


def view() -> dict[str, Any]:
    """The repositories as the API answers them."""
    files = load()
    standard = []
    for item in STANDARD:
        found = _configured(files, item)
        state = {"status": int(any(repository.enabled for repository in found))} if found else {}
        standard.append({"handle": item.handle, "name": item.name, "description": item.description, **state})
    return {
        "digest": digest(),
        "errors": [],
        "infos": [],
        "files": [_file_view(file) for file in files],
        "standard-repos": standard,
    }


def _file_view(file: SourceFile) -> dict[str, Any]:
    repositories = []
    for repository in file.repositories:
        shown: dict[str, Any] = {key: repository.words(key) for key in _LISTS}
        shown |= {"Enabled": int(repository.enabled), "FileType": file.format}
        if repository.comment:
            shown["Comment"] = f"{repository.comment}\n"
        extra = [{"Key": key, "Values": value.split()} for key, value in repository.fields.items() if key not in _LISTS]
        if extra:
            shown["Options"] = extra
        repositories.append(shown)
    return {"path": file.name, "file-type": file.format, "repositories": repositories}


def _save(file: SourceFile) -> None:
    cfs.replace_file(path(file.name), _render(file), mode=0o644)


def check_digest(given: str | None) -> None:
    """Refuse to work on files that somebody changed meanwhile."""
    if given and given != digest():
        raise die("detected modified configuration - file changed by other user? Try again.")


def set_enabled(name: str, index: int, *, enabled: bool) -> None:
    """Switch one repository on or off.

    Raises:
        PveError: there is no such file or repository.
    """
    file = next((item for item in load() if item.name == name), None)
    if file is None or index >= len(file.repositories):
        raise die(f"invalid index - {index}" if file else f"no such file: {name}")
    file.repositories[index].enabled = enabled
    _save(file)


def add(handle: str) -> None:
    """Add a standard repository; one that is there but off is switched on.

    Raises:
        PveError: there is no such repository.
    """
    standard = next((item for item in STANDARD if item.handle == handle), None)
    if standard is None:
        raise die(f"unknown repository handle '{handle}'")
    files = load()
    for file in files:
        if any(_matches(repository, standard) for repository in file.repositories):
            for repository in file.repositories:
                repository.enabled = repository.enabled or _matches(repository, standard)
            _save(file)
            return
    file = next((item for item in files if item.name == standard.file), SourceFile(standard.file, "sources"))
    fields = {"Types": "deb", "URIs": standard.uri, "Suites": SUITE, "Components": standard.component}
    file.repositories.append(AptRepository({**fields, "Signed-By": KEYRING}))
    _save(file)
