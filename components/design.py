"""Design: the whole plan as plain properties, registered before anything else.

Policies judge these properties before the first action, since everything depends on this component. It owns one step
as well: the refusal of what a live cluster cannot become, which must come before any node is touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from components import steps
from components.policed import policed_design
from components.recorded import DESIGN, INSTANCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.site import Site


class Design(pulumi.ComponentResource):
    """The plan of one stack.

    Attributes:
        identity: the step after which nodes may be touched.
        known: what it printed: it alone knows all nodes that were ever described.
    """

    def __init__(
        self, name: str, site: Site, plain_secrets: Sequence[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        facts = policed_design(site.config, plain_secrets)
        super().__init__(DESIGN, name, facts | ({INSTANCE: site.instance} if site.instance else {}), opts)
        self.identity = steps.at_administrator(
            f"{name}-identity",
            "identity",
            site.change,
            site.ssh_secrets,
            steps.after(self),
            remembers=True,
        )
        self.known: pulumi.Output[str] = self.identity.stdout
        self.register_outputs(facts)
