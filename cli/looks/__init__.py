"""The looks at all machines before the engine is let go."""
