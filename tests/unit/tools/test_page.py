"""docs/benchmarks.md says what the figures say."""

from __future__ import annotations

import datetime as dt

import pytest

from tools.bench import page
from tools.bench.figures import (
    Change,
    Changes,
    ColdBuild,
    Deployment,
    Failover,
    Link,
    Looks,
    Machine,
    Outage,
    Pack,
    Pair,
    Peak,
    Report,
    Stages,
)
from tools.bench.logins import count

TODAY = dt.date(2026, 3, 2)
HERE = Machine(cpu="CPU", cores=2, memory=8 << 30, kernel="Linux 6.1", system="Debian")


def deployment(took: float) -> Deployment:
    return Deployment(
        took=took,
        forming=took / 5,
        status_took=3,
        path=[Link(resource="host", start=2, end=5), Link(resource="join", start=5.5, end=40)],
        logins={"virtual": 9, "proxmox01": 13},
        memory=Peak(name="up", largest={"pulumi": 200 << 20}, together=700 << 20),
    )


def failover(answering: float) -> Failover:
    guest = Outage(sid="vm:200", last_answer=0.5, fenced=11.0, answering=answering)
    real = {"fenced": "110 to 130 s", "answering": "up to 140 s"}
    return Failover(node="proxmox01", time_scale=0.1, interval_s=0.5, longest_s=0.7, real=real, guests=[guest])


def changes(date: dt.date = TODAY, load: float = 0.2) -> Changes:
    return Changes(
        changes=[
            Change(name="a node leaves", bare=[2, 20, 2], steps=[3, 30, 9], whole=[30, 50, 40]),
            Change(name="four nodes get a QDevice", bare=[2], steps=[3.1], whole=[20]),
        ],
        transitions=14,
        planning=[0.04, 0.05, 0.06],
        doctor=[2, 3, 4],
        date=date,
        machine=HERE,
        load=load,
    )


def report(load: float = 0.2, cold: ColdBuild | None = None) -> Report:
    return Report(
        date=TODAY,
        machine=HERE,
        load=load,
        previews=[
            Pair(name="dev", goal=2, empty=[1, 1], measured=[1.9, 1.9]),
            Pair(name="many", goal=4, empty=[1, 1], measured=[4.5, 4.5]),
        ],
        stages=Stages(empty=[1, 1], imports=[1.25, 1.25], registrations=[1.5, 1.5], ours=[2, 3]),
        pack=Pack(without=[4], idle=[5.5], ours=[5.9]),
        noops=[Pair(name="dev", goal=3, empty=[1], measured=[3])],
        looks=Looks(without=[3, 4], looking=[6, 7]),
        deployments=[deployment(70), deployment(45), deployment(50)],
        changes=changes(),
        failovers=[failover(12.5), failover(13.5), failover(16.5)],
        bare_forming=[7, 8, 9],
        preview_memory=Peak(name="preview", largest={"pulumi": 100 << 20}, together=300 << 20),
        warm_build=[0.5, 0.6, 0.9],
        cold_build=cold,
    )


def row(text: str, start: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_is_current() -> None:
    figures = page.read()
    written = page.PAGE.read_text() if page.PAGE.exists() else None
    assert written == (page.text(figures) if figures else None), "run `make bench`"


def test_a_goal_is_met_up_to_its_value_and_missed_beyond() -> None:
    text = page.text(report())
    assert row(text, "many")[-3:] == ["4.50", "≤ 4", "**missed**"]
    assert row(text.split("no-op `up` |")[1], "dev")[-3:] == ["3.00", "≤ 3", "met"]
    assert row(text, "all of it")[1:] == ["1.90 s", "≤ 0.5 s", "**missed**"]
    assert row(text, "the rest: our rules")[1] == "0.40 s"
    assert row(text, "proxmox01")[-1] == "**missed**"
    assert row(text, "virtual")[-1] == "met"
    assert row(text, "look at all machines")[2:] == ["3.00 s", "≤ 3 s", "met"]
    assert row(text, "create and two joins")[1:] == ["8.0 s", "10.0 s", "1.25", "≤ 1.3", "met"]


def test_the_parts_of_a_preview_add_up() -> None:
    text = page.text(report())
    assert row(text, "imports: the providers' SDKs, the configuration's model, the components")[1] == "0.25 s"
    assert row(text, "the same resources with ready inputs: plugins start, each is checked and compared")[1] == "0.50 s"
    assert (
        row(text, "the rest: the configuration is read, inputs are computed, resources wait for one another")[1]
        == "0.75 s"
    )
    assert "takes 1.50 times an empty program" in text


def test_the_deployment_shown_is_the_median_one() -> None:
    assert row(page.text(report()), "full `up` of stack dev")[1] == "50.0 s"


def test_the_chain_accounts_for_every_second() -> None:
    text = page.text(report())
    assert row(text, "host")[1:] == ["2.0 s", "2.0 s", "3.0 s"]
    assert row(text, "join")[1:] == ["5.5 s", "0.5 s", "34.5 s"]
    assert row(text, "end of the run")[1:3] == ["50.0 s", "10.0 s"]


@pytest.mark.parametrize(("load", "said"), [(0.9, False), (1.1, True)])
def test_a_busy_machine_is_said_to_be_one(load: float, said: bool) -> None:  # noqa: FBT001 - a case's expectation
    assert ("the machine was busy" in page.text(report(load))) is said


def test_a_cold_build_of_another_day_is_marked() -> None:
    earlier = ColdBuild(took=700, machine=HERE, date=dt.date(2026, 1, 1))
    assert row(page.text(report(cold=earlier)), "cold")[1:] == [
        "700 s",
        "not measured in this run; from 2026-01-01, this machine",
    ]
    today = earlier.model_copy(update={"date": TODAY})
    assert row(page.text(report(cold=today)), "cold")[1:] == ["700 s", "one run"]
    assert row(page.text(report()), "cold")[1] == "not measured"


def test_only_accepted_logins_count() -> None:
    journal = (
        "Server listening on 0.0.0.0 port 22.\n"
        "Connection closed by 192.168.0.10 port 40000 [preauth]\n"
        "Accepted publickey for root from 192.168.0.10 port 40002 ssh2: ED25519 SHA256:abc\n"
        "pam_unix(sshd:session): session opened for user root(uid=0) by root(uid=0)\n"
        "Accepted password for root from 192.168.0.10 port 40004 ssh2\n"
    )
    assert count(journal) == 2


def test_failover_stands_beside_what_real_machines_need() -> None:
    text = page.text(report())
    assert row(text, "its node is fenced")[1:] == ["11.0 s", "11.0 s", "110 to 130 s"]
    assert row(text, "guest runs elsewhere")[1:] == ["13.5 s", "16.5 s", "up to 140 s"]
    assert row(text, "guest away, from its last answer on")[1:3] == ["13.0 s", "16.0 s"]
    assert "waits 0.1 times" in text
    assert "## A node dies" not in page.text(report().model_copy(update={"failovers": []}))


def test_a_change_is_compared_with_the_bare_commands_of_its_own_turn() -> None:
    text = page.text(report())
    assert row(text, "a node leaves")[1:] == ["3", "2.0 s", "9.0 s", "1.50", "≤ 1.5", "met", "40.0 s"]
    assert row(text, "four nodes get a QDevice")[4:7] == ["1.55", "≤ 1.5", "**missed**"]
    assert row(text, "`make doctor`, three nodes")[1:] == ["3", "3.0 s", "≤ 3 s", "met"]
    assert "## Changing a live cluster" not in page.text(report().model_copy(update={"changes": None}))


@pytest.mark.parametrize(("took", "verdict"), [(0.049, "met"), (0.05, "**missed**")])
def test_the_plan_takes_less_than_its_goal(took: float, verdict: str) -> None:
    quick = changes().model_copy(update={"planning": [took]})
    text = page.text(report().model_copy(update={"changes": quick}))
    assert row(text, "plan for 16 nodes, 14 transitions")[2:] == [f"{took * 1000:.1f} ms", "< 50 ms", verdict]


def test_changes_of_another_run_have_their_own_date_machine_and_load() -> None:
    assert "another run" not in page.text(report())
    later = report().model_copy(update={"changes": changes(dt.date(2026, 3, 9), load=7.5)})
    text = page.text(later).split("## Changing a live cluster")[1]
    assert row(text, "measured")[1] == "2026-03-09"
    assert row(text, "load before the start")[1].startswith("7.5 processes on 2 cores: **the machine was busy")
    assert row(text, "processor")[1] == "CPU, 2 cores"
