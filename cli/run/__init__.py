"""What `up`, `preview` and `down` share: read a stack, compare it with the machines, run the engine."""
