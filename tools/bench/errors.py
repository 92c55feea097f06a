"""What ends a measurement."""


class BenchError(Exception):
    """Something that is measured did not work, so there is no figure."""
