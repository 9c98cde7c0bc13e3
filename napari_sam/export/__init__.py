"""Readers and writers of results, one format a file."""
