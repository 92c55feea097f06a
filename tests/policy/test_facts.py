"""Which settings of a stack file are secrets that everybody can read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.policed import plain_secrets, policed_design
from config.load import load
from tests.support.program import change, settings, stack_file


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("proxmoxve:apiToken", "ci@pve!up=1", ["proxmoxve:apiToken"]),
        ("app:dbPassword", "12345678", ["app:dbPassword"]),
        ("app:db", {"user": "app", "password": "x"}, ["app:db.password"]),
        ("app:dbs", [{"user": "one"}, {"auth": {"private_key": "x"}}], ["app:dbs[1].auth.private_key"]),
        ("app:tokens", {"ci": "x", "ttlMinutes": 5}, ["app:tokens.ci"]),
        ("app:passwords", ["x", "y"], ["app:passwords[0]", "app:passwords[1]"]),
        ("app:text", "password: x", []),
        ("app:json", '"{broken', []),
    ],
)
def test_a_secret_is_known_by_its_name_at_any_depth(key: str, value: Any, found: list[str]) -> None:  # noqa: ANN401 - JSON
    assert plain_secrets({key: value if isinstance(value, str) else json.dumps(value)}, ()) == found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("aws:skipCredentialsValidation", "true"),
        ("app:usePassword", "false"),
        ("x:tokenTtlMinutes", "60"),
        ("x:token", {"ttl": 60, "renew": True, "note": None}),
        ("x:password", ""),
        ("password:region", "eu"),
    ],
)
def test_switches_numbers_and_nothing_are_no_secrets(key: str, value: Any) -> None:  # noqa: ANN401 - JSON
    assert plain_secrets({key: value if isinstance(value, str) else json.dumps(value)}, ()) == []


def test_what_is_encrypted_is_none_of_them() -> None:
    assert plain_secrets({"app:db": '{"password": "x"}', "b:token": "x", "a:token": "y"}, ["app:db"]) == [
        "a:token",
        "b:token",
    ]


def test_a_bridge_says_when_it_is_not_managed() -> None:
    for managed, said in ((True, None), (False, False)):
        config = load(settings(change(stack_file("dev"), {"outerHosts.0.bridges.2.managed": managed})))
        assert policed_design(config, ())["outerHosts"][0]["bridges"][2].get("managed") is said


def cards(stack: str, changes: dict[str, Any]) -> list[dict[str, list[str]]]:
    facts = policed_design(load(settings(change(stack_file(stack), changes))), ())
    return [link["cards"] for link in facts["cluster"]["links"]]


def test_links_say_which_cards_they_are_on_vlans_those_of_their_card() -> None:
    assert cards("dev", {}) == [{}, {}]
    bridge = {"name": "vmbr1", "address": "10.10.1.1/24", "ports": ["eth2", "bond0.10", "eth1.7"]}
    assert cards("dev", {"outerHosts.0.bridges.0": bridge}) == [{"virtual": ["bond0", "eth1", "eth2"]}, {}]
    management = {"address": "192.168.0.101"}
    subnets = {"cluster.links.0.subnet": "192.168.0.0/24"}
    others = {f"nodes.{n}.links.0": {"address": f"192.168.0.10{n + 1}", "interface": "vmbr0"} for n in (1, 2)}
    assert cards("physical", {"nodes.0.links.0": management, **subnets, **others}) == [
        {"pve2": ["vmbr0"], "pve3": ["vmbr0"]},
        {"pve1": ["eth2"], "pve2": ["eth2"], "pve3": ["eth2"]},
    ]
