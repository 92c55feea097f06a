"""Packets of our own, between addresses of the loopback."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from onnode.cluster import link_preflight, link_probe

MTU = 1500


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_that_send_at_the_same_time_hear_each_other_in_full_size() -> None:
    port = free_port()
    with ThreadPoolExecutor() as pool:
        one = pool.submit(link_probe.exchange, "127.0.0.1", ["127.0.0.2"], MTU, port=port)
        other = pool.submit(link_probe.exchange, "127.0.0.2", ["127.0.0.1"], MTU, port=port)
    assert one.result()["127.0.0.2"].complete
    assert other.result()["127.0.0.1"].complete


def test_one_that_is_not_there_is_not_heard_and_does_not_hide_the_other() -> None:
    port = free_port()
    with ThreadPoolExecutor() as pool:
        one = pool.submit(link_probe.exchange, "127.0.0.1", ["127.0.0.2", "127.0.0.3"], MTU, seconds=2, port=port)
        pool.submit(link_probe.exchange, "127.0.0.2", ["127.0.0.1"], MTU, seconds=2, port=port)
    assert one.result()["127.0.0.2"].reached
    assert one.result()["127.0.0.3"] == link_probe.Answer()


def test_packets_of_others_prove_nothing() -> None:
    port = free_port()
    with ThreadPoolExecutor() as pool, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        found = pool.submit(link_probe.exchange, "127.0.0.1", ["127.0.0.2"], MTU, seconds=1, port=port)
        while not found.done():
            # As long as ours, with flags where ours has them.
            other.sendto(bytes(len(link_probe.HELLO)) + b"\x03", ("127.0.0.1", port))
    assert not found.result()["127.0.0.2"].reached


def test_an_address_that_this_node_does_not_have() -> None:
    assert not link_probe.exchange("192.0.2.1", ["127.0.0.2"], MTU, seconds=1)["127.0.0.2"].small


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (link_probe.Answer(small=True, large=True, told=link_probe.HEARD | link_probe.LARGE), "large"),
        (link_probe.Answer(small=True, large=True, told=link_probe.HEARD), "small"),
        (link_probe.Answer(small=True, told=link_probe.HEARD | link_probe.LARGE), "small"),
        (link_probe.Answer(small=True), "oneway"),
        (link_probe.Answer(told=link_probe.HEARD), "oneway"),
        (link_probe.Answer(), "none"),
    ],
)
def test_what_arrived_is_told_in_a_word(answer: link_probe.Answer, told: str) -> None:
    assert link_preflight._told(answer) == told
