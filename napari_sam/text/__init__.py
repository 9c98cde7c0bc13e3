"""Words: phrases, CLIP models, and projections between CLIP space and a model."""
