"""What the engine and the providers say becomes a named failure, told once."""

from __future__ import annotations

import pytest

from cli.engine import failures
from cli.engine.engine import Run
from cluster.errors import CODES
from components.recorded import FILE_TYPE
from onnode.errors import ON_NODE_CODES

URN = "urn:pulumi:dev::nested-pve-ha::nested-pve-ha:index:NestedPveNode$command:remote:Command::proxmox02-prepare"
STEP_TEXT = """\
error[repository-unreachable]: the package repository could not be reached
  observed: apt-get update: Could not resolve 'download.proxmox.com'
  expected: an answer
  next: check the machine's gateway and DNS"""


def explain(*errors: tuple[str, str], **more: object) -> list[failures.Failure]:
    run = Run(1, "", errors=list(errors))
    for name, value in more.items():
        setattr(run, name, value)
    return failures.explain(run, "up.log")


def test_a_steps_own_words_come_through_and_only_they() -> None:
    said = f'running "python3 …/onnode prepare-node": Process exited with status 1:\nsome progress\n{STEP_TEXT}\n'
    (failure,) = explain((URN, said), ("", "update failed"))
    assert failure == failures.Failure("repository-unreachable", "proxmox02-prepare", STEP_TEXT)


def test_the_same_failure_said_by_several_resources_is_told_once() -> None:
    assert len(explain((URN, STEP_TEXT), ("", STEP_TEXT))) == 1


def test_what_a_provider_says_twice_of_a_resource_is_told_once() -> None:
    """As it says it of itself, and as the engine says it."""
    said = "#1: received an HTTP 500 response - Reason: VM is locked (migrate)"
    twice = (
        (URN, f"sdk.helper_schema: {said}: provider=proxmoxve@8.6.0"),
        (URN, f"1 error occurred:\n* updating {URN}: {said}"),
    )
    other = URN.replace("proxmox02", "proxmox03")
    assert [failure.resource for failure in explain(*twice, (other, said))] == [
        "proxmox02-prepare",
        "proxmox03-prepare",
    ]
    assert len(explain((URN, "one unknown thing"), (URN, "another unknown thing"))) == 2


def test_two_failures_are_both_told() -> None:
    other = STEP_TEXT.replace("repository-unreachable", "no-virtualization")
    assert [failure.code for failure in explain((URN, STEP_TEXT), (URN, other))] == [
        "repository-unreachable",
        "no-virtualization",
    ]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("after 10 failed attempts: dial tcp 192.168.0.180:22: connect: no route to host", "host-unreachable"),
        ("ssh: handshake failed: ssh: host key mismatch", "host-key-mismatch"),
        ("ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey]", "ssh-auth-failed"),
        (
            "error retrieving version: received an HTTP 401 response - Reason: authentication failure",
            "api-login-failed",
        ),
        (
            'Get "https://pve.lab.internal:8006/": dial tcp 192.168.0.185:8006: connect: connection refused',
            "api-unreachable",
        ),
        (
            "error retrieving VM 200: received an HTTP 595 response - Reason: Connection timed out",
            "guest-node-down",
        ),
        (
            (
                "error retrieving VM 200: received an HTTP 500 response - Reason: Configuration file "
                "'nodes/proxmox02/qemu-server/200.conf' does not exist"
            ),
            "guest-moved",
        ),
        ("error updating VM: received an HTTP 500 response - Reason: VM is locked (migrate)", "guest-locked"),
        (
            "error deleting VM: received an HTTP 500 response - Reason: storage 'shared' is not online",
            "storage-offline",
        ),
        ("error creating VM: VM 101 already exists on node 'virtual'", "vm-not-recorded"),
        ("checksum mismatch: got 'aa' != expect 'bb'", "iso-checksum"),
        ("failed waiting for url download: … exit code: mismatch (got 'aa' != expect 'bb'), aborting", "iso-checksum"),
        ('resource "urn…" cannot be deleted because it is protected', "node-protected"),
        ("panic: runtime error: index out of range", "plugin-crashed"),
        ("error reading from server: EOF", "plugin-crashed"),
        (
            (
                "rpc error: code = Unavailable desc = connection error: desc = "
                '"transport: Error while dialing: dial tcp 127.0.0.1:40751: connect: connection refused"'
            ),
            "plugin-crashed",
        ),
        (
            (
                "Detected that /home/me/plugins/resource-command-v1.2.1/pulumi-resource-command exited prematurely. \n"
                "       This is *always* a bug in the provider."
            ),
            "plugin-crashed",
        ),
        ('Get "https://pve.lab.internal:8006/": EOF', "api-unreachable"),
        ("something nobody has seen before", "engine-failed"),
    ],
)
def test_what_the_engine_and_its_plugins_say_is_recognized(said: str, code: str) -> None:
    (failure,) = explain((URN, said))
    assert failure.code == code
    assert " ".join(said.split()) in " ".join(failure.text.split())
    assert "proxmox02-prepare" in failure.text
    assert "next: " in failure.text
    assert "up.log" in failure.text


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (FILE_TYPE, "failed waiting for url download: checksum mismatch: got 'aa' != expect 'bb'", True),
        (f"nested-pve-ha:index:HostPrep${FILE_TYPE}", "Error downloading file from url: 404 Not Found", True),
        (FILE_TYPE, "could not delete the file: permission denied", False),
        ("command:local:Command", "checksum mismatch: got 'aa' != expect 'bb'", False),
    ],
)
def test_a_download_that_fails_says_what_is_left_and_what_the_next_run_does(
    kind: str, text: str, *, told: bool
) -> None:
    """The earlier image was gone by then, and nothing said so."""
    (failure,) = explain((f"urn:pulumi:dev::p::{kind}::virtual-installer", text))
    assert ("left: no image of that name" in failure.text) is told
    assert ("the next run downloads it" in failure.text) is told
    assert failure.text.index("next: ") < failure.text.index("full output: ")


def test_a_run_that_never_began_is_explained_by_its_output() -> None:
    (failure,) = explain(output="error: the stack is currently locked by 1 lock(s). Either wait …")
    assert failure.code == "stack-locked"


def test_a_run_that_says_nothing_still_has_a_failure() -> None:
    assert [failure.code for failure in explain()] == ["engine-failed"]


def test_a_killed_engine_is_told_as_that_and_what_it_did_last_is_no_observation() -> None:
    (failure,) = explain(output="Updating (dev):\n@ updating....\n + command sleeper creating (0s)", exit_code=-9)
    assert failure.code == "engine-killed"
    assert "signal 9 (Killed)" in failure.text
    assert "updating" not in failure.text
    assert "up.log" in failure.text


def test_progress_is_no_cause() -> None:
    output = "Updating (dev):\n@ updating....\n +  command:local:Command sleeper creating (0s) \nwhat it said last"
    assert failures.error_lines(output) == "what it said last"
    assert failures.error_lines(output.rpartition("\n")[0]) == "nothing"


def test_one_cause_of_a_rule_is_shown_once_with_all_that_it_refuses() -> None:
    """Links of equal priority were refused twice in full: as the design, and as the cluster."""
    rule, demand, cause = (
        "corosync-link-priorities",
        "Links have different priorities.",
        "links 0 and 1 are equal. Fix.",
    )
    urns = {name: f"urn:pulumi:dev::p::some:type::{name}" for name in ("design", "cluster", "vm01-vm")}
    refused = [(rule, urns[name], f"{demand}\n{name}: {cause}") for name in ("design", "cluster")]
    (failure,) = explain(violations=refused)
    assert failure.text.startswith(f"error[policy-violated]: rule {rule} refuses design, cluster\n")
    assert failure.text.count(cause) == 1
    another = (rule, urns["vm01-vm"], f"{demand}\nvm01-vm: links 0 and 2 are equal. Fix.")
    assert [one.resource for one in explain(violations=[*refused, another])] == ["design", "vm01-vm"]
    assert len(explain(violations=[*refused, ("another-rule", *refused[1][1:])])) == 2


def test_a_violation_names_rule_and_resource() -> None:
    (failure,) = explain(violations=[("nested-node-cpu-host", URN, "cpu type is kvm64\nset cpuType: host")])
    assert failure.code == "policy-violated"
    assert "nested-node-cpu-host" in failure.text
    assert "proxmox02-prepare" in failure.text
    assert "set cpuType: host" in failure.text


def test_every_pattern_has_a_documented_code() -> None:
    assert {code for code, _ in failures.PATTERNS} <= CODES.keys() | ON_NODE_CODES.keys()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (
            "failed to authenticate: tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "api-certificate",
        ),
        ("x509: certificate is valid for 127.0.0.1, pve1, not pve.example.com", "api-certificate"),
        ("Missing Proxmox VE API Endpoint: The provider cannot create the Proxmox VE API client", "engine-environment"),
    ],
)
def test_what_the_provider_says_of_a_certificate_or_a_missing_environment_is_named(said: str, code: str) -> None:
    (failure,) = explain((URN, said))
    assert failure.code == code
