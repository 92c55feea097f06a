"""Drift: what was changed by hand of what the stack's resources made. Read-only.

Steps have no Read that the engine could call. So each step's own observe and decide run on its machine; the actions that
it would take now are drift.
"""
