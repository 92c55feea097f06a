"""The state of every node at this moment, compared with the stack file."""
