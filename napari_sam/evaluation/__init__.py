"""Metrics, the simulated annotator and the benchmark that joins them."""
