"""Metrics, the simulated annotator, benchmarks and their report."""
