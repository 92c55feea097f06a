"""The journal of originals: how a file was before this product first changed it, written once, before the change.

One file per machine, since what it remembers (repositories, KVM options) belongs to the machine and not to a stack.
Each stack that uses the machine is entered with the bridges that it may call its own; when the last one leaves,
`restore` puts the originals back.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from onnode.errors import StepError
from onnode.system.machine import UTF_8

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

PATH = "/var/lib/nested-pve-ha/journal.json"


def load(machine: ThisMachine) -> dict[str, Any]:
    """The journal; an empty one if there is none yet.

    Raises:
        StepError: journal-damaged.
    """
    text = machine.read(PATH)
    empty: dict[str, Any] = {
        "stacks": {},
        "files": {},
        "packages": [],
        "kvm": {},
        "directories": [],
        "addresses": {},
        "former_addresses": {},
    }
    if text is None:
        return empty
    try:
        found = {**empty, **json.loads(text)}
    except (ValueError, TypeError) as error:
        raise _damaged(str(error)) from None
    if other := [key for key, value in empty.items() if not isinstance(found[key], type(value))]:
        raise _damaged(f"{', '.join(other)} is not what this program writes there")
    return found


def _damaged(observed: str) -> StepError:
    return StepError(
        "journal-damaged",
        "the journal of originals cannot be read",
        observed=f"{PATH}: {observed}",
        expected="JSON, as this program writes it",
    )


def save(machine: ThisMachine, journal: dict[str, Any]) -> None:
    """Write the journal; an original may hold a secret, so only root reads it."""
    machine.write(PATH, json.dumps(journal, indent=1, sort_keys=True) + "\n", mode=0o600)


def replace_file(machine: ThisMachine, path: str, text: str) -> None:
    """Change a file, remembering first how it was, and then what this product made of it."""
    journal = load(machine)
    entry = journal["files"].setdefault(path, {"original": machine.read(path), "ours": []})
    digest = fingerprint(text)
    if digest not in entry["ours"]:
        entry["ours"].append(digest)
    save(machine, journal)
    machine.write(path, text)


def remember_packages(machine: ThisMachine, names: list[str]) -> None:
    """Remember packages that were not there and are about to be installed."""
    journal = load(machine)
    journal["packages"] = sorted({*journal["packages"], *names})
    save(machine, journal)


def remember_parameter(machine: ThisMachine, module: str, value: str | None) -> None:
    """Remember a kernel module's live parameter as it was found; None if the module was not loaded."""
    journal = load(machine)
    if module not in journal["kvm"]:
        journal["kvm"][module] = value
        save(machine, journal)


def remember_directory(machine: ThisMachine, path: str) -> None:
    """Remember a directory that was not there and is about to be made."""
    journal = load(machine)
    journal["directories"] = sorted({*journal["directories"], path})
    save(machine, journal)


def remember_address(machine: ThisMachine, interface: str, address: str) -> None:
    """Remember an address that was not there and is about to be written for an interface."""
    journal = load(machine)
    former = journal["addresses"].get(interface)
    if former not in (None, address):
        journal["former_addresses"].setdefault(interface, []).append(former)
    journal["addresses"][interface] = address
    save(machine, journal)


def forget_address(machine: ThisMachine, interface: str, address: str) -> None:
    """An address that this product wrote is gone: whoever writes it again owns it."""
    journal = load(machine)
    former = [one for one in journal["former_addresses"].pop(interface, []) if one != address]
    if former:
        journal["former_addresses"][interface] = former
    if journal["addresses"].get(interface) == address:
        del journal["addresses"][interface]
    save(machine, journal)


def former_addresses(machine: ThisMachine) -> dict[str, list[str]]:
    """The addresses that this product wrote before the present ones, by interface; not all of them have gone yet."""
    former: dict[str, list[str]] = load(machine)["former_addresses"]
    return former


def addresses(machine: ThisMachine) -> dict[str, str]:
    """The addresses that this product wrote, by interface."""
    own: dict[str, str] = load(machine)["addresses"]
    return own


def bridges(machine: ThisMachine, stack: str) -> list[str]:
    """The bridges that a stack may call its own."""
    own: list[str] = load(machine)["stacks"].get(stack, {}).get("bridges", [])
    return own


def fingerprint(text: str | None) -> str:
    """What a file's content is recognised by; an absent file has one, too."""
    return "absent" if text is None else hashlib.sha256(text.encode(*UTF_8)).hexdigest()
