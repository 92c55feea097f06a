"""Design: the whole plan as plain properties, registered before anything else.

Policies judge these properties before the first action, since everything depends on this component. It owns one step
as well: the refusal to change what a live cluster cannot change, which must come before any node is touched.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pulumi

from admin.desired import Identity
from components import steps
from components.facts import design_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.site import Site

TYPE = "nested-pve-ha:index:Design"
LAB = "lab"  # property: in which lab the stack was made
LAB_VARIABLE = "NESTED_PVE_LAB_INSTANCE"


def lab_instance() -> str | None:
    """The lab that this runs in; None outside of one."""
    return os.environ.get(LAB_VARIABLE)


class Design(pulumi.ComponentResource):
    """The plan of one stack.

    Attributes:
        identity: the step after which nodes may be touched.
    """

    def __init__(
        self, name: str, site: Site, plain_secrets: Sequence[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        lab = lab_instance()
        facts = design_facts(site.config, plain_secrets)
        super().__init__(TYPE, name, facts | ({LAB: lab} if lab else {}), opts)
        cluster = site.config.cluster
        self.identity = steps.at_administrator(
            f"{name}-identity",
            "identity",
            Identity(cluster.name, cluster.seed, site.members),
            site.ssh_secrets,
            steps.after(self),
            remembers=True,
        )
        self.register_outputs(facts)
