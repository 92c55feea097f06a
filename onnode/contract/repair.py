"""What is asked of a node of a broken cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StartServices:
    """Corosync, pmxcfs and what reads /etc/pve run, started in this order."""

    quorate: bool  # enough others vote already: this node is to have quorum, too, within the time
    timeout_s: int


@dataclass(frozen=True)
class CorosyncFile:
    """The corosync.conf in /etc/corosync of one node, whole; corosync starts anew if it has loaded another version."""

    text: str


@dataclass(frozen=True)
class ExpectVotes:
    """So many votes are expected that this node's side has a quorum; asked after the loss of the others was confirmed."""

    votes: int
    gone: list[int]  # node ids that must not vote
    timeout_s: int


@dataclass(frozen=True)
class KeptConf:
    """A corosync.conf that a node has somewhere, with its text."""

    place: str  # a path, or words for what the running corosync has loaded
    text: str


@dataclass(frozen=True)
class KeptConfs:
    """Step `corosync-files`: every one that a node has, and the key with which its corosync speaks."""

    node: str
    files: list[KeptConf]
    authkey: str = "absent"  # SHA-256
