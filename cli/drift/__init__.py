"""What was changed behind the program's back: one look over everything that the stack's resources made.

Steps have no Read that the engine could call. So each is asked by its own observe and decide, on its machine, what it
would do now; what it names is drift. Read-only.
"""
