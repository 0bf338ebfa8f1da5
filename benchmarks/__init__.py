"""Benchmarks: one command each, a table at the end; see docs/PERFORMANCE.md."""
