"""What is, compared with what is described: looked at on every node, now."""
