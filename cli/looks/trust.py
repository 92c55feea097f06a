"""What the engine's processes trust, and where they find the cluster's API.

A provider can pin nothing. But Go takes its authorities from the file that SSL_CERT_FILE names, once in each process and
not before its first connection: there stand the system's authorities and, for APIs that are `pinned`, those of the
machines, read over pinned SSH in the same run. So every connection that carries a password is verified, by any build of
the provider. Under `pinned` the cluster's endpoint is a member's own, since that is what stands in certificates; it is
given by PROXMOX_VE_ENDPOINT and is no input, so that a dead seed is no change.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli.state import outer_vms
from cluster.errors import AdminError
from cluster.surroundings import ENDPOINT
from cluster.transport import bundle, certificates, endpoint, members
from cluster.waiting import until_async
from components.site import Site
from config import topology
from config.model import LibvirtHost, NestedNode
from onnode.cluster.membership import fingerprint
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from cli.description import Description
    from cluster.contract import Machine
    from cluster.transport.certificates import Held
    from cluster.transport.members import Opened
    from config.model import Config, Node, ProxmoxVeHost

CONNECT_S = 5.0
JOIN_S, JOIN_POLL_S = 30.0, 2.0  # from corosync's start on a joining node to its pveproxy's reload


def settings(stack: str, config: Config) -> dict[str, str]:
    """The environment variables that name what to trust and where the cluster is, without a look at any machine."""
    return {bundle.VARIABLE: str(bundle.of(stack)), **at_seed(config)}


def at_seed(config: Config) -> dict[str, str]:
    """The environment variable that names where the cluster is, under `pinned`; no provider is configured without it."""
    seed = next((node for node in config.nodes if node.name == config.cluster.seed), config.nodes[0])
    return _at(config, f"{seed.address}")


async def looked(described: Description, state: dict[str, Any] | None) -> tuple[dict[str, str], dict[str, StepError]]:
    """The variables after a look at all existing machines, over SSH and at their APIs; and the machines that do not answer.

    Raises:
        AdminError: api-certificate, if an API shows another certificate than its machine holds.
    """
    key = described.credentials.ssh_private_key.get_secret_value()
    async with members.connections(_machines(described, state), key, timeout_s=CONNECT_S) as opened:
        silent = {name: one for name, one in opened.items() if isinstance(one, StepError)}
        return await over(opened, described), silent


async def over(opened: Opened, described: Description) -> dict[str, str]:
    """The variables after a look over connections that are open already.

    A node that joins just now, as the step of a killed run lets it, holds no certificate for some seconds, while its API still shows the
    former one: with such a node there is another look.

    Raises:
        AdminError: api-certificate, api-unreachable.
    """

    async def look() -> dict[str, str] | AdminError:
        held = members.answered(await members.ask(opened, certificates.all_held))
        try:
            return await _compared(described, held)
        except AdminError as error:
            if all(one.certificate for one in held.values()):
                raise
            return error

    found = await until_async(look, lambda one: isinstance(one, dict), timeout_s=JOIN_S, poll_s=JOIN_POLL_S)
    if isinstance(found, AdminError):
        raise found
    return found


async def _compared(described: Description, held: Mapping[str, Held]) -> dict[str, str]:
    config = described.config
    pinned = [pem for name, one in held.items() if _is_pinned(config, name) for pem in one.trusted]
    bundle.write(bundle.of(described.stack), pinned)
    hosts = [_check(host, held[host.name]) for _, host in topology.proxmox_ve_hosts(config) if host.name in held]
    nodes = [node for node in config.nodes if node.name in held]
    found, *_ = await asyncio.gather(_member(config, nodes, held), *hosts)
    return settings(described.stack, config) | (_at(config, found) if found else {})


def _machines(described: Description, state: dict[str, Any] | None) -> list[Machine]:
    """Outer hosts, and existing nodes: VMs that were never made could not answer, and would cost time."""
    site = Site(described.config, described.credentials, described.stack)
    made = outer_vms.recorded(state)
    there = [node for node in described.config.nodes if not isinstance(node, NestedNode) or node.vmid in made]
    return [site.machine(machine) for machine in (*described.config.outer_hosts, *there)]


def _is_pinned(config: Config, name: str) -> bool:
    host = next((host for host in config.outer_hosts if host.name == name), None)
    if isinstance(host, LibvirtHost):
        return False  # nothing of it is asked over TLS
    return (host or config.cluster.api).tls == "pinned"


async def _check(host: ProxmoxVeHost, held: Held) -> None:
    await endpoint.check(host.endpoint, held if host.tls == "pinned" else None)


def _at(config: Config, host: str) -> dict[str, str]:
    api = config.cluster.api
    if api.tls != "pinned":
        return {}
    return {ENDPOINT: f"https://{host}:{urlsplit(api.endpoint).port or 443}"}


@dataclass(frozen=True)
class _MemberApi:
    """A member's API.

    Attributes:
        host: the address or name under which its certificate is valid; None if there is none.
        why: why there is none.
    """

    host: str | None
    why: str = ""


async def _member(config: Config, nodes: Sequence[Node], held: Mapping[str, Held]) -> str | None:
    """The host at which the cluster is asked: a quorate member if there is one, the seed before others; None if none answers.

    Raises:
        AdminError: api-certificate, api-unreachable.
    """
    quorate = [node for node in nodes if held[node.name].quorate]
    if config.cluster.api.tls != "pinned":
        if quorate:
            await endpoint.refuse_silent(config.cluster.api.endpoint)
        return None
    url = urlsplit(config.cluster.api.endpoint)
    apis = await asyncio.gather(
        *(_api_of(node, held[node.name], url.hostname or "", url.port or 443) for node in nodes)
    )
    by_rank = sorted(nodes, key=lambda node: (not held[node.name].quorate, node.name != config.cluster.seed))
    found = dict(zip((node.name for node in nodes), apis, strict=True))
    usable = (found[node.name].host for node in by_rank)
    if chosen := next((host for host in usable if host), None):
        return chosen
    if unfit := next((node for node in by_rank if found[node.name].why), None):
        names = endpoint.names_of(held[unfit.name])
        where = f"https://{unfit.address}:{url.port or 443}"
        raise certificates.foreign(where, fingerprint(held[unfit.name].certificate), found[unfit.name].why, names)
    for node in quorate:
        await endpoint.refuse_silent(f"https://{node.address}:{url.port or 443}")
    return None


async def _api_of(node: Node, held: Held, name: str, port: int) -> _MemberApi:
    why = ""
    for host in (f"{node.address}", *([name] if _is_name(name) else [])):
        try:
            found = await certificates.distrust(host, port, held.trusted)
        except ConnectionError:
            continue
        if found is None:
            return _MemberApi(host)
        why = why or found
    shown = await certificates.presented(f"{node.address}", port) if why else None
    if shown is None:
        return _MemberApi(None)
    if shown == fingerprint(held.certificate):
        return _MemberApi(None, why)
    # A join that was cut off leaves a pveproxy with its former certificate; the steps correct that.
    if held.serving and shown == fingerprint(held.served):
        return _MemberApi(None)
    raise certificates.foreign(f"https://{node.address}:{port}", shown, why, endpoint.names_of(held))


def _is_name(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return True
    return False
