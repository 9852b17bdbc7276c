"""Several models that share a machine: configurations are found that are best while all of them run.

What a model does alone says little of that: two that each take all cores are in each other's way. So each model gets a few candidates
from a search of its own, and every claim comes from windows in which all models are under load at the same time.
"""
