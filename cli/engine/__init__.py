"""The engine as a child process: its environment, what it trusts, its locks and its failures."""
