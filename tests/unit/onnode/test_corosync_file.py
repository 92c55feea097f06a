"""corosync.conf's text: only the named value changes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnode.cluster import corosync, corosync_file

CONF = """\
# ours, since 2019
logging {
  debug: off
  to_syslog: yes
}

nodelist {
  node {
    name: pve1
    nodeid: 1
    quorum_votes: 1
    ring0_addr: 10.10.1.101
    ring1_addr: 10.20.1.101
  }
  node {
    name: pve2
    nodeid: 2
    ring0_addr: 10.10.1.102
    ring1_addr: 10.20.1.102
    # to be moved
  }
}

quorum {
  provider: corosync_votequorum
}

totem {
  cluster_name: lab
  config_version: 7
  interface {
    bindnetaddr: 10.10.1.0
    linknumber: 0
  }
  interface {
    knet_ping_timeout: 900
    linknumber: 1
  }
  ip_version: ipv4-6
  link_mode: passive
}

resources {
  unknown: value : with colons
}
"""


def changed_lines(text: str, other: str) -> tuple[list[str], list[str]]:
    """The lines that went, and those that came."""
    before, after = text.splitlines(), other.splitlines()
    return (
        [line.strip() for line in before if before.count(line) > after.count(line)],
        [line.strip() for line in after if after.count(line) > before.count(line)],
    )


@pytest.mark.parametrize(
    ("text", "went", "came"),
    [
        (corosync_file.with_version(CONF, 8), ["config_version: 7"], ["config_version: 8"]),
        (corosync_file.with_votes(CONF, {"pve1": 2}), ["quorum_votes: 1"], ["quorum_votes: 2"]),
        (corosync_file.with_votes(CONF, {"pve2": 3}), [], ["quorum_votes: 3"]),
        (corosync_file.with_priority(CONF, 0, 20), [], ["knet_link_priority: 20"]),
        (corosync_file.with_totem(CONF, {"token": "5000"}), [], ["token: 5000"]),
        (
            corosync_file.with_addresses(CONF, 1, {"pve2": "10.20.1.9"}),
            ["ring1_addr: 10.20.1.102"],
            ["ring1_addr: 10.20.1.9"],
        ),
        (
            corosync_file.with_addresses(CONF, 0, {"pve2": "10.10.1.9"}),
            ["ring0_addr: 10.10.1.102", "bindnetaddr: 10.10.1.0"],
            ["ring0_addr: 10.10.1.9"],
        ),
    ],
)
def test_only_the_named_value_changes(text: str, went: list[str], came: list[str]) -> None:
    assert changed_lines(CONF, text) == (went, came)
    assert corosync_file.problems(text) == []


def test_a_link_goes_with_its_settings_and_a_new_one_stands_in_its_place() -> None:
    without = corosync_file.without_link(CONF, 0)
    assert "ring0_addr" not in without
    assert re.findall(r"linknumber: (\d)", without) == ["1"]
    assert corosync_file.problems(without) == []
    again = corosync_file.with_addresses(without, 0, {"pve1": "10.10.1.1", "pve2": "10.10.1.2"})
    assert re.findall(r"linknumber: (\d)", again) == ["0", "1"]
    assert re.findall(r"(ring\d)_addr", again) == ["ring0", "ring1"] * 2
    assert corosync_file.problems(again) == []


def test_a_link_that_is_out_of_use_for_a_moment_keeps_its_settings() -> None:
    between = corosync_file.without_addresses(CONF, 1)
    conf = corosync.parse_conf(between)
    assert conf is not None
    assert [node.links.keys() for node in conf.nodes] == [{0}, {0}]
    assert corosync_file.problems(between) == []
    assert corosync_file.with_addresses(between, 1, {"pve1": "10.20.1.101", "pve2": "10.20.1.102"}) == CONF
    assert corosync_file.without_link(between, 1) == corosync_file.without_link(CONF, 1)


def test_where_one_link_has_settings_of_its_own_each_has_a_section() -> None:
    """Proxmox VE refuses to add a node otherwise."""
    bare = re.sub(r"  interface \{\n[^}]*\}\n", "", CONF)
    assert "interface" not in bare
    assert corosync_file.problems(bare) == []
    text = corosync_file.with_priority(bare, 1, 10)
    assert re.findall(r"linknumber: (\d)", text) == ["0", "1"]
    conf = corosync.parse_conf(text)
    assert conf is not None
    assert conf.priorities == {1: 10}
    # Sorted among the keys, as Proxmox VE would write it.
    assert text.index("config_version") < text.index("interface") < text.index("ip_version")


@given(st.dictionaries(st.sampled_from(["pve1", "pve2"]), st.integers(0, 9)), st.integers(8, 99))
def test_what_is_written_is_what_is_read(votes: dict[str, int], version: int) -> None:
    conf = corosync.parse_conf(corosync_file.with_version(corosync_file.with_votes(CONF, votes), version))
    assert conf is not None
    assert conf.version == version
    assert {node.name: node.votes for node in conf.nodes} == {"pve1": 1, "pve2": 1} | votes


def test_of_an_old_release_a_node_is_named_by_its_first_address() -> None:
    text = re.sub(r" *name: pve\d\n", "", CONF)
    assert changed_lines(text, corosync_file.with_votes(text, {"10.10.1.101": 5}))[1] == ["quorum_votes: 5"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (CONF.replace("10.20.1.102", "10.20.1.101"), "address 10.20.1.101 stands there twice"),
        (CONF.replace("nodeid: 2", "nodeid: 1"), "id 1: pve1 and pve2"),
        (CONF.replace("name: pve2", "name: pve1"), "pve1 stands there twice"),
        (CONF.replace("    ring1_addr: 10.20.1.102\n", ""), "pve2 has no address on link 1"),
        (CONF.replace("linknumber: 1", "linknumber: 3"), "link 1 has no section interface, other links have"),
        (CONF[: CONF.rindex("}")], "section resources does not end"),
        (CONF + "}\n", "line 46 is neither a section nor a value: }"),
        (CONF.replace("debug: off", "debug off"), "line 3 is neither a section nor a value: debug off"),
        (re.sub(r" *ring1_addr.*\n", "", CONF), "no node has an address on link 1, which has a section interface"),
        ("logging {\n}\n", "it describes no cluster"),
        (re.sub(r" *ring\d_addr.*\n", "", CONF), "no node has an address"),
    ],
)
def test_a_configuration_that_would_not_work_is_told(text: str, problem: str) -> None:
    assert problem in corosync_file.problems(text)


def test_there_is_nothing_wrong_with_a_good_one() -> None:
    assert corosync_file.problems(CONF) == []


DEVICE = corosync.Device("192.168.0.106", 1)
OTHER = corosync.Device("192.168.0.107", None, "lms", "required")
FOREIGN = """\
  device {
    model: net
    net {
      algorithm: ffsplit
      host: 192.168.0.106
      tls: on
      connect_timeout: 9000
    }
    votes: 1
    # the switch of the other site
    heuristics {
      mode: on
      exec_ping: /usr/bin/ping -q -c 1 10.0.0.1
    }
    sync_timeout: 40000
  }
"""
WITNESSED = CONF.replace("quorum {\n", f"quorum {{\n{FOREIGN}")


def test_a_qdevice_comes_and_goes_without_a_trace() -> None:
    there = corosync_file.with_device(CONF, DEVICE)
    assert changed_lines(CONF, there)[0] == []
    assert corosync_file.device_settings(there) == corosync_file.device_settings(CONF) == ""
    assert corosync_file.with_device(there, None) == CONF


def test_what_others_wrote_into_the_qdevices_section_stays() -> None:
    conf = corosync.parse_conf(WITNESSED)
    assert conf
    assert conf.device == DEVICE
    changed = corosync_file.with_device(WITNESSED, OTHER)
    assert changed_lines(WITNESSED, changed) == (
        ["algorithm: ffsplit", "host: 192.168.0.106", "tls: on", "votes: 1"],
        ["algorithm: lms", "host: 192.168.0.107", "tls: required"],
    )
    assert corosync_file.with_device(changed, DEVICE) == WITNESSED


def test_it_comes_back_after_the_section_was_gone_for_a_while() -> None:
    kept, without = corosync_file.device_settings(WITNESSED), corosync_file.with_device(WITNESSED, None)
    assert without == CONF
    assert "ffsplit" not in kept
    back = corosync_file.with_device(without, DEVICE, kept)
    assert back == WITNESSED
    assert corosync_file.with_device(without, None, kept) == CONF
