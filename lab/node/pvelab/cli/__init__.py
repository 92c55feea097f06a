"""Entry points of the command-line tools: one module per tool."""
