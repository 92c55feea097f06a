"""Looks at the machines, and waits, before the engine starts."""
