"""The steps on the control machine, one module each.

A module has `bring_about(desired, call)`, and `remove(desired, call)` where the step can be undone; both return an
`onnode.step.Outcome`.
"""
