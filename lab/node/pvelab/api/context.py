"""What an API method gets: who calls, with which parameters, and how it starts a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.access import permissions
from pvelab.errors import parameter_error

if TYPE_CHECKING:
    from pvelab.tasks import Runner, Work


@dataclass(frozen=True)
class Context:
    """One call of an API method.

    Attributes:
        node: name of the node that answers, which is this machine.
        user: who calls: "root@pam", "pulumi@pve", or with a token "pulumi@pve!token".
        params: the parameters of path, query and body, checked and converted by Proxmox's schema.
        runner: runs tasks: in the background for the API, in the foreground for a command line.
    """

    node: str
    user: str
    params: dict[str, Any]
    runner: Runner

    def allowed(self, path: str, privilege: str) -> bool:
        """Whether the caller holds a privilege on an ACL path such as "/vms/100"."""
        return permissions.allowed(self.user, path, privilege)

    def require(self, path: str, *privileges: str, any_of: bool = False) -> None:
        """Refuse with 403 unless the caller holds the privileges (all, or any of them) on an ACL path."""
        permissions.require(self.user, path, privileges, any_of=any_of)

    def root_only(self, *parameters: str) -> None:
        """Refuse parameters that only root@pam may give."""
        for name in parameters:
            if self.params.get(name) and self.user != permissions.ROOT:
                raise parameter_error({name: "Only root may use this option."})

    def require_quorum(self) -> None:
        """Refuse a change while the cluster file system is read-only ("cluster not ready - no quorum?")."""
        cfs.require_quorum()

    def start_task(self, kind: str, ident: str, work: Work) -> str:
        """Start a task such as "qmstart" of "100" and give back its UPID; the work fails by raising."""
        return self.runner.start(kind, ident, self.user, work)


# A method takes its context and gives back what goes into "data"; it may block.
Handler = Callable[[Context], Any]
# HTTP method, path as in Proxmox's API viewer ("/nodes/{node}/qemu/{vmid}"), handler.
Route = tuple[str, str, Handler]
