"""What the guests' operations need to know of high availability: which guests its manager owns."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from pvelab import cfs, sections
from pvelab.errors import die

if TYPE_CHECKING:
    from pvelab.api.context import Context
    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log

RESOURCES = "ha/resources.cfg"
RULES = "ha/rules.cfg"


def is_configured(guest: Guest) -> bool:
    """Whether the guest is an HA resource, in whatever state."""
    return _name(guest) in sections.parse(cfs.read(RESOURCES))


def is_managed(guest: Guest) -> bool:
    """Whether the HA manager decides if and where the guest runs."""
    section = sections.parse(cfs.read(RESOURCES)).get(_name(guest))
    return section is not None and section.options.get("state", "started") != "ignored"


def _name(guest: Guest) -> str:
    """The section's id; its type is "vm" or "ct", so the number alone."""
    return str(guest.vmid)


def request(log: Log, *arguments: str) -> None:
    """Ask the HA manager for something through its command-line tool.

    Raises:
        PveError: it refused.
    """
    done = subprocess.run(["ha-manager", *arguments], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        log(line)
    if done.returncode:
        raise die(
            done.stderr.strip() or f"command 'ha-manager {' '.join(arguments)}' failed: exit code {done.returncode}"
        )


def request_in_task(ctx: Context, guest: Guest, kind: str, wanted: str, *arguments: str) -> str:
    """Ask the HA manager in a task that says what is wanted."""

    def ask(log: Log) -> None:
        log(f"Requesting HA {wanted}")
        request(lambda _text: None, *arguments)

    return ctx.start_task(kind, str(guest.vmid), ask)


def forget(guest: Guest) -> None:
    """Take a guest that goes away out of the HA resources and the rules that name it."""
    with cfs.lock("domain-ha"):
        resources = sections.parse(cfs.read(RESOURCES))
        if resources.pop(_name(guest), None) is None:
            return
        cfs.write(RESOURCES, sections.render(resources))
        _forget_in_rules(guest.ha_sid)


def _forget_in_rules(sid: str) -> None:
    text = cfs.read(RULES)
    if not text:
        return
    rules = sections.parse(text)
    for name, rule in list(rules.items()):
        kept = [item for item in rule.options.get("resources", "").split(",") if item != sid]
        rule.options["resources"] = ",".join(kept)
        if not kept:
            del rules[name]
    cfs.write(RULES, sections.render(rules))
