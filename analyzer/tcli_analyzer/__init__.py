"""Finds the best configuration of a model on this machine."""
