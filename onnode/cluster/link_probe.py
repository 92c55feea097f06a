"""Packets of our own from node to node, sent by both at the same time, as Corosync will do.

A node whose firewall answers no ping still lets the answer to its own packets in, and Corosync's ports are open between
members. So what decides is whether such packets pass, on one of those ports, in full size, both ways.
"""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass

PORT = 5412  # the last of Corosync's 5405 to 5412, which Proxmox' firewall knows; only an eighth link would use it
HEADERS = 28  # of IPv4 and UDP
EVERY_S = 0.2
SECONDS = 10.0  # the others may begin later
LINGER_S = 1.0
HELLO = b"nested-pve-ha link probe "
HEARD = 1  # flags of a packet: its sender has had one from here
LARGE = 2  # … of full size
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2  # of <linux/in.h>: never fragment; Python 3.11 does not name them


@dataclass
class Answer:
    """What arrived from one peer, and what the peer reports as arrived."""

    small: bool = False
    large: bool = False
    told: int = 0

    @property
    def complete(self) -> bool:
        """Whether both sides have had all there is."""
        return self.large and bool(self.told & LARGE)

    @property
    def reached(self) -> bool:
        """Whether packets pass both ways."""
        return self.small and bool(self.told & HEARD)


def exchange(
    local: str, peers: list[str], mtu: int, *, seconds: float = SECONDS, port: int = PORT
) -> dict[str, Answer]:
    """Send to all these addresses and listen to them, until all is heard both ways or the time is up."""
    answers = {peer: Answer() for peer in peers}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        link.settimeout(EVERY_S)
        try:
            link.bind((local, port))
        except OSError:
            return answers
        end = time.monotonic() + seconds
        complete = False
        while time.monotonic() < end:
            for peer, answer in answers.items():
                _send(link, (peer, port), answer, mtu)
            _listen(link, answers, mtu)
            if not complete and all(answer.complete for answer in answers.values()):
                complete, end = True, min(end, time.monotonic() + LINGER_S)
    return answers


def _send(link: socket.socket, to: tuple[str, int], answer: Answer, mtu: int) -> None:
    flags = (HEARD if answer.small else 0) | (LARGE if answer.large else 0)
    packet = HELLO + bytes([flags])
    for whole in (packet, packet.ljust(mtu - HEADERS, b".")):
        with contextlib.suppress(OSError):  # too long, or refused by the other side's kernel: it did not pass
            link.sendto(whole, to)


def _listen(link: socket.socket, answers: dict[str, Answer], mtu: int) -> None:
    until = time.monotonic() + EVERY_S
    while time.monotonic() < until:
        try:
            packet, (sender, _) = link.recvfrom(65536)
        except OSError:  # nothing within the time, or an ICMP error for an earlier packet
            return
        answer = answers.get(sender)
        if answer is not None and packet.startswith(HELLO) and len(packet) > len(HELLO):
            answer.small = True
            answer.large = answer.large or len(packet) >= mtu - HEADERS
            answer.told |= packet[len(HELLO)]
