"""Measures what the product promises about its speed, and writes docs/benchmarks.md."""
