"""Promptable segmentation for microscopy: points, boxes, masks and words."""
