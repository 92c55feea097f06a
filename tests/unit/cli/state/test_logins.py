"""What goes is removed with the keys and passwords of today, also where others were recorded."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from cli.run import removal_logins
from cli.run.loaded import LoadedStack
from cli.state import logins
from cli.state.logins import secret
from cluster.contract import SECRETS_VARIABLE
from components.recorded import PROVIDER_TYPE
from config import topology
from tests.unit.cli.run.test_comparison import Engine

if TYPE_CHECKING:
    from cli.description import Description

OTHER_ENDPOINT = "https://yesterday.lab.internal:8006"
HOST_KEY = "ecdsa-sha2-nistp256 of-yesterday"


def entry(type_: str, name: str, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - any value of a state
    urn = f"urn:pulumi:dev::p::{type_}::{name}"
    return {"urn": urn, "type": type_, "inputs": inputs, "outputs": {**copy.deepcopy(inputs), "id": "1"}}


def recorded(dev: Description, key: str, password: str, host_key: str = HOST_KEY, user: str = "") -> dict[str, Any]:
    """A state of a run that was given these."""
    _, host = topology.proxmox_ve_hosts(dev.config)[0]
    user, endpoint = user or dev.config.cluster.api.user, f"{OTHER_ENDPOINT if user else host.endpoint}"
    machine = {"name": host.name, "address": f"{host.address}", "host_key": host_key}
    given = {SECRETS_VARIABLE: secret(json.dumps({"ssh_private_key": key, "api_password": password}))}
    resources = [
        entry(PROVIDER_TYPE, "virtual-api", endpoint=endpoint, username="root@pam", password=secret(password)),
        entry(PROVIDER_TYPE, "cluster-api", username=user, password=secret(password)),
        entry(PROVIDER_TYPE, "left-out-api", username="root@pam", password=secret("of a host that is not described")),
        entry(
            "command:remote:Command",
            "virtual-journal",
            connection=secret(
                {"host": f"{host.address}", "hostKey": host_key, "privateKey": key, "dialErrorLimit": 10}
            ),
            delete="undo",
            stdin='{"stack": "dev"}',
        ),
        entry(
            "command:local:Command",
            "vm01-claim",
            environment=given,
            stdin=json.dumps({"members": [machine]}),
            create="x",
        ),
        entry("proxmoxve:index/poolLegacy:PoolLegacy", "pool", poolId="guests"),
    ]
    return {"deployment": {"resources": resources}}


def with_todays(dev: Description) -> dict[str, Any]:
    """What the same run would record today."""
    credentials, host = dev.credentials, dev.config.outer_hosts[0]
    found = recorded(
        dev,
        credentials.ssh_private_key.get_secret_value(),
        credentials.api_password.get_secret_value(),
        logins.today(dev).host_keys[f"{host.address}"],
    )
    own = credentials.password_of("virtual")
    for part in ("inputs", "outputs"):
        found["deployment"]["resources"][0][part]["password"] = secret(own)
    return found


def names(urns: set[str]) -> set[str]:
    return {urn.rpartition("::")[2] for urn in urns}


ALL = {"virtual-api", "cluster-api", "virtual-journal", "vm01-claim"}


@pytest.mark.parametrize(
    ("given", "old"),
    [
        (("another key", None, None), {"virtual-journal", "vm01-claim"}),
        ((None, "another password", None), {"virtual-api", "cluster-api", "vm01-claim"}),
        ((None, None, HOST_KEY), {"virtual-journal", "vm01-claim"}),
        (("another key", "another password", HOST_KEY), ALL),
    ],
)
def test_what_was_recorded_with_other_logins_gets_those_of_today(
    dev: Description, given: tuple[str | None, str | None, str | None], old: set[str]
) -> None:
    today, wanted = logins.today(dev), with_todays(dev)
    key, password, host_key = given
    shown = recorded(
        dev,
        key or dev.credentials.ssh_private_key.get_secret_value(),
        password or dev.credentials.api_password.get_secret_value(),
        host_key or today.host_keys[f"{dev.config.outer_hosts[0].address}"],
    )
    if password is None:
        shown["deployment"]["resources"][0] = copy.deepcopy(wanted["deployment"]["resources"][0])
    assert names(logins.outdated(shown, today)) == old
    found = logins.renewed(shown, shown, today, logins.outdated(shown, today))
    assert logins._in_clear(found) == logins._in_clear(wanted)
    hidden = [_without_secrets(each) for each in found["deployment"]["resources"]]
    for kept in (dev.credentials.ssh_private_key, dev.credentials.api_password):
        assert json.dumps(kept.get_secret_value())[1:-1] not in json.dumps(hidden)


def _without_secrets(value: Any) -> Any:  # noqa: ANN401 - any value of a state
    if isinstance(value, list):
        return [_without_secrets(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: _without_secrets(each) for key, each in value.items()} if "plaintext" not in value else "secret"


def test_another_user_and_another_endpoint_count_too(dev: Description) -> None:
    wanted, credentials, host = with_todays(dev), dev.credentials, dev.config.outer_hosts[0]
    today = logins.today(dev)
    key, password = credentials.ssh_private_key.get_secret_value(), credentials.api_password.get_secret_value()
    shown = recorded(dev, key, password, today.host_keys[f"{host.address}"], user="yesterday@pve")
    old = logins.outdated(shown, today)
    assert names(old) == {"virtual-api", "cluster-api"}
    assert logins.renewed(shown, shown, today, old) == wanted


def test_todays_logins_are_no_change(dev: Description) -> None:
    shown = with_todays(dev)
    assert logins.outdated(shown, logins.today(dev)) == set()
    every = {each["urn"] for each in shown["deployment"]["resources"]}
    assert logins.renewed(shown, shown, logins.today(dev), every) == shown


def test_nothing_is_outdated_where_nothing_is_recorded(dev: Description) -> None:
    assert logins.outdated({"deployment": {}}, logins.today(dev)) == set()


class Recording(Engine):
    """Would remove the VM's claim."""

    def run(self, operation: str, *_arguments: str, on_event: Any) -> Any:  # noqa: ANN401 - a run of the engine
        found = super().run(operation, on_event=on_event)
        claim = next(each["urn"] for each in self.state["deployment"]["resources"] if "claim" in each["urn"])
        found.events = [
            {"resourcePreEvent": {"metadata": {"op": "delete", "urn": claim}}},
            {"resourcePreEvent": {"metadata": {"op": "update", "urn": claim.replace("vm01-claim", "virtual-journal")}}},
            {"summaryEvent": {}},
        ]
        return found


@pytest.mark.parametrize(("all_goes", "renewed", "ran"), [(True, ALL, []), (False, {"vm01-claim"}, ["preview"])])
def test_only_what_goes_is_given_todays(
    dev: Description, capsys: pytest.CaptureFixture[str], *, all_goes: bool, renewed: set[str], ran: list[str]
) -> None:
    """What stays is renewed by the run, which does again what depends on it: the user of the API gets its password."""
    engine = Recording(recorded(dev, "another key", "another password"))
    before = engine.export()
    loaded: Any = LoadedStack(dev, engine, before)  # type: ignore[arg-type]
    loaded = removal_logins.renewed(loaded, all_goes=all_goes)
    assert engine.ran == ran
    pairs = zip(before["deployment"]["resources"], engine.state["deployment"]["resources"], strict=True)
    assert {now["urn"].rpartition("::")[2] for then, now in pairs if then != now} == renewed
    assert loaded.state == engine.state
    said = capsys.readouterr().out
    assert all(name in said for name in renewed)
    assert "another" not in said


def test_a_run_with_the_same_logins_is_neither_planned_twice_nor_recorded_anew(
    dev: Description, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Recording(with_todays(dev))
    loaded: Any = LoadedStack(dev, engine, engine.export())  # type: ignore[arg-type]
    assert removal_logins.renewed(loaded, all_goes=False) is loaded
    assert (engine.ran, capsys.readouterr().out) == ([], "")
