"""What several machines are needed for: steps at the control machine, and what they decide."""
