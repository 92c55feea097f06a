"""What is asked of a node when a cluster is formed."""

from __future__ import annotations

from dataclasses import dataclass

from onnode.contract.links import ClusterLink  # noqa: TC001 - `parse` resolves them


@dataclass(frozen=True)
class CreateCluster:
    """`pvecm create` on the seed; the caller has looked at every peer first."""

    cluster: str
    node: str
    node_id: int
    votes: int
    links: list[ClusterLink]
    timeout_s: int = 120


@dataclass(frozen=True)
class JoinCluster:
    """`pvecm add` on the joiner, password on standard input; finishes a join that stopped half way."""

    cluster: str
    node: str
    node_id: int
    votes: int
    seed_address: str
    seed_fingerprint: str  # SHA-256 of the seed's API certificate, read over SSH just before
    root_password: str
    links: list[ClusterLink]
    timeout_s: int = 180
    listed: bool | None = None  # does the live cluster list this node already? None: the caller could not see


@dataclass(frozen=True)
class ApiUser:
    """The user for day-to-day work, made on the seed with its role, and no other one, on `/`."""

    stack_tag: str
    user: str  # "pulumi@pve"
    password: str
    role: str  # that of the step's name for its own is made, with what the program's calls need


@dataclass(frozen=True)
class Storage:
    """A shared storage over NFS in the cluster's configuration; what is not described there stays as it is."""

    stack_tag: str
    name: str
    server: str
    export: str
    contents: list[str]
    adopt: bool = False  # one of that name, server and export without a mark is this stack's, too
