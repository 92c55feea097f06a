"""An outer host that cannot be used as described: refused by name, and nothing on it is made.

The tests share one fresh host and leave nothing behind that another would notice.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.support.bad_world import refusal, succeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.bad_world import BadWorld

OUTER = "192.168.0.180"
API_LISTENS = "timeout 2 bash -c '</dev/tcp/127.0.0.1/8006'"
BOOT_S = 120
FILE = "/etc/network/interfaces"
HOOK = "/usr/local/sbin/of-the-owner"
# An interface of the owner's that takes the management address away as soon as the host's network is another than now:
# no check of ours foresees it.
OF_THE_OWNER = f"""
auto owners
iface owners inet manual
\tpre-up ip link add owners type bridge
\tpost-up {HOOK}
"""
CUTS_OFF = f"""#!/bin/sh
cmp -s {FILE} {FILE}.now || ip address flush dev vmbr0
"""
LOOK = "ls -R /etc/network/interfaces* /var/lib/vz; cat /etc/network/interfaces; qm list"


def made_on(world: BadWorld) -> str:
    """VMs, bridges and images of the host."""
    seen = world.ssh(OUTER, LOOK)
    assert seen.code == 0, seen.output
    assert "iface vmbr0" in seen.output  # the look sees bridges
    return seen.output


def is_up(world: BadWorld) -> bool:
    """Whether the host answers on both ways, and has started its VMs again."""
    seen = world.ssh(OUTER, f"{LOOK} && {API_LISTENS}")
    return seen.code == 0 and "stopped" not in seen.output


def new_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def other_login(secrets: dict[str, Any]) -> None:
    pem = new_key().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    secrets["sshPrivateKey"] = pem.decode()


def other_host_key(secrets: dict[str, Any]) -> None:
    line = new_key().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    secrets["outerHosts"]["virtual"]["hostKey"] = line.decode()


def other_password(secrets: dict[str, Any]) -> None:
    secrets["outerHosts"]["virtual"]["password"] = "not the password"


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        (other_login, "ssh-auth-failed", "virtual"),
        (other_host_key, "host-key-mismatch", "virtual"),
        (other_password, "api-login-failed", "virtual"),
    ],
)
def test_wrong_secrets_are_named_and_nothing_is_made(
    outer_host: BadWorld, change: Callable[[dict[str, Any]], None], code: str, named: str
) -> None:
    before = made_on(outer_host)
    with outer_host.other_secrets(change):
        run = outer_host.admin("up")
    assert named in refusal(run, code)
    assert made_on(outer_host) == before
    assert "not the password" not in run.output


def test_without_a_terminal_nothing_is_made_unless_told_so(outer_host: BadWorld) -> None:
    before = made_on(outer_host)
    run = outer_host.run(outer_host.command(".venv/bin/python", "-m", "cli", "up", "--stack", outer_host.stack))
    assert "--yes" in refusal(run, "not-confirmed")
    assert "planned:" in run.output
    assert made_on(outer_host) == before


def test_a_host_that_is_off_is_named(outer_host: BadWorld) -> None:
    outer_host.lab("node", "kill", "virtual")
    try:
        run = outer_host.admin("up")
    finally:
        outer_host.lab("node", "start", "virtual")
    # The next test, whichever it is, finds the host as this one did.
    assert outer_host.eventually(lambda: is_up(outer_host), BOOT_S)
    said = refusal(run, "host-unreachable")
    assert "virtual" in said
    assert OUTER in said


def test_a_missing_installer_image_is_named_before_anything_is_made(outer_host: BadWorld) -> None:
    before = made_on(outer_host)
    missing = "/var/lib/vz/template/iso/not-there.iso"

    def change(values: dict[str, Any]) -> None:
        values["outerHosts"][0]["installer"] = {"path": missing}

    with outer_host.described_otherwise(change):
        run = outer_host.admin("up")
    assert missing in refusal(run, "iso-missing")
    assert made_on(outer_host) == before


def wrong_checksum(values: dict[str, Any]) -> None:
    values["outerHosts"][0]["installer"]["checksum"] = f"sha256:{'0' * 64}"


def test_an_image_with_another_checksum_is_named_and_not_kept(outer_host: BadWorld) -> None:
    with outer_host.described_otherwise(wrong_checksum):
        run = outer_host.admin("up")
    assert "virtual-installer" in refusal(run, "iso-checksum")
    assert ".iso" not in made_on(outer_host)


def test_a_wrong_password_that_was_recorded_does_not_outlive_its_correction(outer_host: BadWorld) -> None:
    """The engine refreshes with the credentials that it has recorded, unless told otherwise: no later run got past it."""

    with outer_host.described_otherwise(wrong_checksum):
        refusal(outer_host.admin("up"), "iso-checksum")
        assert "iface vmbr1" in made_on(outer_host)  # so there is something to refresh
        with outer_host.other_secrets(other_password):
            refusal(outer_host.admin("up"), "api-login-failed")
        refusal(outer_host.admin("up"), "iso-checksum")
        with outer_host.other_secrets(other_password):
            refusal(outer_host.admin("up"), "api-login-failed")
        succeeded(outer_host.admin("down", "--yes"))
    assert "iface vmbr1" not in made_on(outer_host)


def begin(world: BadWorld) -> None:
    """Let the stack have a state: a run that ended at the host's first step."""

    def change(values: dict[str, Any]) -> None:
        values["outerHosts"][0]["installer"] = {"path": "/var/lib/vz/template/iso/not-there.iso"}

    with world.described_otherwise(change):
        refusal(world.admin("up"), "iso-missing")
    assert recorded(world)


def recorded(world: BadWorld) -> int:
    """How many resources the stack's state has."""
    text = succeeded(world.pulumi("stack", "export")).output
    return len(json.loads(text[text.index("{") :])["deployment"].get("resources") or [])


def test_a_lab_that_was_started_anew_is_not_taken_for_the_old_one(outer_host: BadWorld) -> None:
    """Once the state of a lab that was gone could neither be built on nor destroyed."""
    begin(outer_host)
    succeeded(outer_host.admin("preview"))  # in the same lab nothing is wrong with that state
    succeeded(outer_host.lab("reset"))
    assert "make up" in refusal(outer_host.admin("preview"), "site-is-new")
    assert recorded(outer_host)
    succeeded(outer_host.admin("down", "--yes"))
    assert not recorded(outer_host)
    succeeded(outer_host.admin("preview"))


def test_a_second_stack_in_the_lab_is_refused(outer_host: BadWorld) -> None:
    """Both have the same machines; taking the second one down once stopped the lab below the first."""
    begin(outer_host)
    before = made_on(outer_host)
    for command in ("up", "down"):
        run = outer_host.run(outer_host.command(".venv/bin/python", "-m", "cli", command, "--stack", "dev", "--yes"))
        assert "make down STACK=twonode" in refusal(run, "site-in-use")
    assert made_on(outer_host) == before


@contextmanager
def tied_to_the_next_change(world: BadWorld) -> Iterator[str]:
    """What the owner has tied to the network's next change; yields its configuration."""
    succeeded(world.ssh(OUTER, f"cp {FILE} {FILE}.kept; cat > {HOOK} <<'EOF'\n{CUTS_OFF}EOF\nchmod +x {HOOK}"))
    succeeded(world.ssh(OUTER, f"cat >> {FILE} <<'EOF'\n{OF_THE_OWNER}EOF\ncp {FILE} {FILE}.now"))
    try:
        with world.a_guard_that_waits_less():
            yield succeeded(world.ssh(OUTER, f"cat {FILE}")).output
    finally:
        back = f"rm -f {HOOK} {FILE}.now; ip link delete owners; mv {FILE}.kept {FILE}"
        assert world.eventually(lambda: world.ssh(OUTER, back).code == 0)


def test_a_bridge_that_cuts_the_host_off_is_put_back_when_it_comes_and_when_it_goes(outer_host: BadWorld) -> None:
    succeeded(outer_host.admin("down", "--yes"))
    with outer_host.described_otherwise(wrong_checksum), tied_to_the_next_change(outer_host) as before:
        run = outer_host.admin("up")
        assert succeeded(outer_host.ssh(OUTER, f"cat {FILE}")).output == before
    assert "vmbr1" in refusal(run, "network-reverted")
    with outer_host.described_otherwise(wrong_checksum):
        refusal(outer_host.admin("up"), "iso-checksum")
    assert "iface vmbr1" in made_on(outer_host)
    with tied_to_the_next_change(outer_host) as before:
        run = outer_host.pulumi("destroy", "--yes", "--skip-preview")
        assert succeeded(outer_host.ssh(OUTER, f"cat {FILE}")).output == before
    assert run.code != 0
    assert "error[network-reverted]: virtual could not be reached without the bridge vmbr" in run.output
    # What arms the removal is recorded until the bridge is gone, also for plain `pulumi destroy`.
    succeeded(outer_host.pulumi("destroy", "--yes", "--skip-preview"))
    assert not recorded(outer_host)
    assert "iface vmbr1" not in made_on(outer_host)
