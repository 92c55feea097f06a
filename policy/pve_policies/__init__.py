"""The rules. They know the program's resources by type and property only, and never import it."""

from .cpu import HOST_CPU
from .links import TWO_LINKS
from .nested import NESTED_ON

POLICIES = (NESTED_ON, HOST_CPU, TWO_LINKS)

__all__ = ["HOST_CPU", "NESTED_ON", "POLICIES", "TWO_LINKS"]
