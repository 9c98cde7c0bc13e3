"""Torch modules: image encoders, prompt encoder, mask decoder, registry."""
