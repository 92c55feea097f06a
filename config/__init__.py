"""The stack file: one strict model, its cross checks, how it is read, and the credentials that go with it."""
