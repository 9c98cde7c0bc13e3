"""Fitting weights: data, prompts, losses, the trainer."""
