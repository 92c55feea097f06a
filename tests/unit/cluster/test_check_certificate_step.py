"""The step that makes the engine trust an API: refused unless a machine that was read over SSH holds what is presented."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from cluster import surroundings
from cluster.call import Call
from cluster.contract import CheckCertificate, Machine, Secrets
from cluster.errors import AdminError
from cluster.steps import check_certificate
from cluster.transport import bundle
from onnode.errors import StepError
from onnode.step import Outcome
from tests.support.tls import Authority
from tests.unit.cli.looks.test_trust import ADDRESSES, NODES, World
from tests.unit.cli.looks.test_trust import world as world  # noqa: PLC0414 - a fixture

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINES = [Machine(name, ADDRESSES[name], "ssh-ed25519 AAAA") for name in NODES]


@contextmanager
def running(world: World, monkeypatch: pytest.MonkeyPatch, asked: str = "proxmox02") -> Iterator[str]:
    """The machines serve, and the engine runs in its environment; what it trusted before."""
    with world:
        monkeypatch.setenv(bundle.VARIABLE, str(bundle.of("dev")))
        monkeypatch.setenv(surroundings.ENDPOINT, world.endpoint(asked))
        yield trusted()


def trusted() -> str:
    return bundle.of("dev").read_text()


def bring_about(endpoint: str | None = None) -> Outcome:
    return asyncio.run(check_certificate.bring_about(CheckCertificate(MACHINES, endpoint), Call(Secrets("key"))))


@pytest.mark.parametrize("name", NODES)
def test_the_machine_that_answers_is_named_and_nothing_counts_as_changed(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with running(world, monkeypatch, name):
        assert bring_about() == Outcome(changed=False, facts={"machine": name})


def test_a_described_endpoint_is_asked_and_not_that_of_the_environment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(world, monkeypatch, "proxmox01"):
        assert bring_about(world.endpoint("proxmox03")).facts == {"machine": "proxmox03"}


def test_machines_that_do_not_answer_are_done_without(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    del world.held["proxmox01"]
    with running(world, monkeypatch):
        assert bring_about().facts == {"machine": "proxmox02"}


def test_a_certificate_that_no_machine_holds_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.shown["proxmox02"] = [Authority("somebody").issue(ADDRESSES["proxmox02"])]
    with running(world, monkeypatch), pytest.raises(AdminError) as refused:
        bring_about()
    assert refused.value.code == "api-certificate"
    assert "which is for" in refused.value.expected


def test_an_endpoint_where_nobody_answers_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(world, monkeypatch), pytest.raises(AdminError) as refused:
        bring_about("https://127.0.0.99:1")
    assert refused.value.code == "api-unreachable"


def test_without_any_machine_that_answers_nothing_more_is_trusted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.held = {}
    with running(world, monkeypatch) as before:
        with pytest.raises(StepError) as refused:
            bring_about()
        assert refused.value.code == "host-unreachable"
        assert trusted() == before
