"""What several machines are needed for: steps on the control machine, and what they decide."""
