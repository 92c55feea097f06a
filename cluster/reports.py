"""Reading what the on-node steps report."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from cluster.errors import AdminError

T = TypeVar("T")


def read(kind: type[T], machine: str, facts: dict[str, Any]) -> T:
    """Turn a step's facts into their dataclass.

    Raises:
        AdminError: step-broken, when the package on the machine is of another version.
    """
    try:
        return TypeAdapter(kind).validate_python(facts)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, item["loc"])) for item in error.errors(include_url=False))
        raise AdminError(
            "step-broken",
            f"the step package on {machine} returned a result of an unknown form",
            observed=places,
            expected=f"the facts of {kind.__name__}",
            fix="`make up` copies the package of this checkout to the machine",
        ) from None
