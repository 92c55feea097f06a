"""The commands: up, preview, down, status, report and others, and how they run the engine."""
