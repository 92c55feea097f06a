"""What the components need from an outer host, whatever runs the VMs there. Each kind of host has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from config.model import NestedNode


class Hypervisor(Protocol):
    """Makes what nested nodes need on one outer host, marks it as the stack's, and removes only what has that mark.

    Attributes:
        usable: what must be done, after the verification of the host, before it makes anything.
    """

    usable: list[pulumi.Resource]

    def bridges(self) -> list[pulumi.Resource]:
        """Make the host's managed bridges; what uses one waits for all of these."""

    def installer(self) -> tuple[str, list[pulumi.Resource]]:
        """The installer image's path on the host, and what puts it there."""

    def vm(
        self, logical: str, node: NestedNode, parent: pulumi.Resource, after: Sequence[pulumi.Resource]
    ) -> tuple[pulumi.Resource, list[pulumi.Resource]]:
        """Make a node's VM, empty and off; a step on the host installs and starts it.

        Args:
            logical: its name in the program.
            node: what it is for.
            parent: the node's component.
            after: what must be done before.

        Returns:
            The VM, and what else must be there before it is used.
        """
