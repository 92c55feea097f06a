"""The program: configuration in, components out. Nothing is decided here."""

import gc
import os

gc.set_threshold(100_000)  # to look through what imports make for garbage takes a tenth of a preview

import pulumi

from cluster import surroundings
from components import adopted_guest, shared_storages
from components.corosync_cluster import CorosyncCluster, CorosyncClusterArgs
from components.design import Design
from components.ha_guest import GuestTemplate, GuestTemplateArgs, HaGuest, HaGuestArgs
from components.host_prep import HostPrep, HostPrepArgs
from components.nested_pve_node import NestedPveNode, NestedPveNodeArgs
from components.policed import plain_secrets, policed_cluster
from components.recorded import site_instance
from components.site import Site
from components.witness import Witness, WitnessArgs
from config import credentials, stack_file, topology
from config.errors import ConfigError
from config.load import load
from config.model import NestedNode

settings, secret_keys = pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env()


def read_site() -> Site:
    """The stack's description and secrets; every mistake in them, and an engine out of its place, ends the run here."""
    try:
        stack_file.refuse_misread(pulumi.get_stack())
        config = load(settings)
        secrets = credentials.load(config, settings, secret_keys, os.environ, stack=pulumi.get_stack())
        surroundings.refuse_bare(config, pulumi.get_stack(), os.environ)
    except ConfigError as error:
        raise pulumi.RunError(str(error)) from None
    return Site(config, secrets, pulumi.get_stack(), site_instance())


site = read_site()
config = site.config
design = Design("design", site, plain_secrets(settings, secret_keys))
hosts = {
    host.name: (host, HostPrep(host.name, HostPrepArgs(site, host, [design.identity]))) for host in config.outer_hosts
}
server = topology.witness(config)
witness = Witness(f"{server.name}-witness", WitnessArgs(site, server, [design.identity], hosts)) if server else None
before = [design.identity, *(witness.ready if witness else [])]
nodes = {
    node.name: NestedPveNode(
        node.name,
        NestedPveNodeArgs(site, node, before, hosts[node.host] if isinstance(node, NestedNode) else None),
    )
    for node in config.nodes
}
cluster = CorosyncCluster("cluster", CorosyncClusterArgs(site, design.known, nodes, witness))
ready = [*cluster.ready, *shared_storages.make("cluster-storage", site, cluster)]
templates = {one.name: GuestTemplate(one.name, GuestTemplateArgs(site, one, ready)) for one in config.templates}
guests: list[HaGuest] = []
for _, guest in topology.made_guests(config):
    earlier = guests[-config.parallel_clones :][:1] if len(guests) >= config.parallel_clones else []
    guests.append(HaGuest(guest.name, HaGuestArgs(site, guest, cluster, ready, templates, earlier)))
adopted_guest.make(site, ready)

pulumi.export("cluster", policed_cluster(config))
pulumi.export("api", config.cluster.api.endpoint)
pulumi.export("nodes", {node.name: f"https://{node.address}:8006" for node in config.nodes})
pulumi.export("guests", {guest.name: topology.sid(guest) for guest in config.guests})
