"""What drifted."""

from __future__ import annotations

from dataclasses import dataclass

from cli.drift.kinds import STEP

ADDRESS_DOWN = "link-address"  # the refusal of a node's check that its addresses are up


@dataclass(frozen=True)
class Drift:
    """Something that is not as its resource made it.

    Attributes:
        urn: of the resource.
        where: the machine, or `cluster`.
        what: what differs, with the file and the value; never an order alone, since it is also shown as a finding.
        kind: who puts it right, one of `cli.drift.kinds`.
        next: for what nobody puts right, what a person has to do.
        code: the name of the step's refusal, if it refuses.
        addresses: those that the refusal is about.
    """

    urn: str
    where: str
    what: str
    kind: str = STEP
    next: str = ""
    code: str = ""
    addresses: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The resource's name."""
        return self.urn.rsplit("::", 1)[-1]
