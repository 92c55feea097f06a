"""The step that makes the user of the API, on nodes that answer: made by a working member, and tried at the API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from cluster.call import Call
from cluster.contract import ApiAccess, ClusterApiUser, Secrets
from cluster.errors import AdminError
from cluster.steps import api_user
from cluster.transport import cluster_api
from onnode.contract.formation import ApiUser
from onnode.errors import StepError
from onnode.step import Outcome
from tests.support.program import PRIVATE_KEY
from tests.unit.cluster.live_nodes import CALL, DOWN
from tests.unit.cluster.worlds import CLUSTER, members

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cluster.contract import Machine
    from tests.unit.cluster.live_nodes import LiveNodes

API = ApiAccess("https://pve.lab.internal:8006", "pulumi@pve", "pinned")
USER = ClusterApiUser([*members(3)], API, "stack-dev", "NestedPveHa", CLUSTER)
FACTS = {"user": "pulumi@pve", "role": "NestedPveHa"}


class Logins:
    """Who logged in at the API; or why nobody is let in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nodes: LiveNodes) -> None:
        self._nodes = nodes
        self.seen: list[tuple[str, str | None, int]] = []
        self.refusal: AdminError | None = None
        monkeypatch.setattr(cluster_api, "connect", self.connect)

    async def connect(self, machines: Sequence[Machine], described: ApiAccess, secrets: Secrets) -> None:
        await asyncio.sleep(0)
        assert list(machines) == members(3)
        self.seen.append((described.user, secrets.api_password, len(self._nodes.acts)))
        if self.refusal is not None:
            raise self.refusal


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch, nodes: LiveNodes) -> Logins:
    return Logins(monkeypatch, nodes)


def bring_about(call: Call = CALL) -> Outcome:
    return asyncio.run(api_user.bring_about(USER, call))


def test_the_user_is_made_once_and_logs_in_each_time(nodes: LiveNodes, logins: Logins) -> None:
    nodes.form(1, 2, 3)
    assert bring_about() == Outcome(changed=True, facts=FACTS)
    wanted = ApiUser("stack-dev", "pulumi@pve", "api-secret", "NestedPveHa")
    assert [(act.node, act.what, act.wanted) for act in nodes.acts] == [("proxmox01", "api-user", wanted)]
    assert bring_about() == Outcome(changed=False, facts=FACTS)
    assert logins.seen == [("pulumi@pve", "api-secret", 1), ("pulumi@pve", "api-secret", 2)], "after it was made"


def test_no_user_is_made_in_a_foreign_cluster_that_all_of_them_joined(nodes: LiveNodes, logins: Logins) -> None:
    nodes.form(1, 2, 3)
    for number in (1, 2, 3):
        nodes.change(number, cluster="office")
    with pytest.raises(AdminError) as refused:
        bring_about()
    assert refused.value.code == "other-cluster"
    assert (nodes.acts, logins.seen) == ([], [])


def first_is_silent(nodes: LiveNodes) -> None:
    nodes.silent["proxmox01"] = DOWN


def first_is_not_quorate(nodes: LiveNodes) -> None:
    nodes.change(1, quorate=False)


def first_is_read_only(nodes: LiveNodes) -> None:
    nodes.change(1, pve_writable=False)


@pytest.mark.parametrize("world", [first_is_silent, first_is_not_quorate, first_is_read_only])
@pytest.mark.usefixtures("logins")
def test_a_member_that_works_makes_it(nodes: LiveNodes, world: Callable[[LiveNodes], None]) -> None:
    nodes.form(1, 2, 3)
    world(nodes)
    assert bring_about().changed
    assert nodes.done == [("proxmox02", "api-user")]


def all_are_silent(nodes: LiveNodes) -> None:
    nodes.silent = dict.fromkeys(nodes.reports, DOWN)


def none_is_quorate(nodes: LiveNodes) -> None:
    for number in (1, 2, 3):
        nodes.change(number, quorate=False, pve_writable=False)


def none_is_a_member(nodes: LiveNodes) -> None:
    assert all(report.state == "absent" for report in nodes.reports.values())


@pytest.mark.parametrize(
    ("formed", "world", "code"),
    [
        (True, all_are_silent, "host-unreachable"),
        (True, none_is_quorate, "member-not-working"),
        (False, none_is_a_member, "member-not-working"),
    ],
)
def test_without_a_working_member_nobody_is_made_and_nobody_logs_in(
    nodes: LiveNodes,
    logins: Logins,
    formed: bool,  # noqa: FBT001 - a case
    world: Callable[[LiveNodes], None],
    code: str,
) -> None:
    if formed:
        nodes.form(1, 2, 3)
    world(nodes)
    with pytest.raises(StepError) as refused:
        bring_about()
    assert (refused.value.code, nodes.acts, logins.seen) == (code, [], [])


def test_without_a_password_no_machine_is_asked(nodes: LiveNodes, logins: Logins) -> None:
    nodes.form(1, 2, 3)
    with pytest.raises(AdminError) as refused:
        bring_about(Call(Secrets(PRIVATE_KEY)))
    assert (refused.value.code, nodes.logins, logins.seen) == ("bad-call", [], [])


def test_a_user_that_is_not_let_in_fails_the_step(nodes: LiveNodes, logins: Logins) -> None:
    nodes.form(1, 2, 3)
    logins.refusal = AdminError("api-login-failed", "the API refused the login of pulumi@pve", observed="401")
    with pytest.raises(AdminError) as refused:
        bring_about()
    assert refused.value.code == "api-login-failed"


def test_what_the_member_says_itself_is_passed_on_and_nobody_logs_in(nodes: LiveNodes, logins: Logins) -> None:
    nodes.form(1, 2, 3)
    nodes.errors["api-user"] = AdminError("api-user-foreign", "there is such a user", observed="pulumi@pve")
    with pytest.raises(StepError) as refused:
        bring_about()
    assert (refused.value.code, logins.seen) == ("api-user-foreign", [])
    assert "on: proxmox01" in refused.value.render()
