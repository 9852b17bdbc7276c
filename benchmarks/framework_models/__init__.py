"""The network of `served_backend.py`, made by each framework."""

WIDTHS = (32, 64, 64, 128, 128, 256, 256)
"""Channels after each convolution of 3 x 3; every second one halves the picture, and so does the first."""
CLASSES = 1000
