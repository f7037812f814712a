"""Measurements behind docs/benchmarks.md, docs/results.md and docs/models.md: one folder a question; see README.md."""
