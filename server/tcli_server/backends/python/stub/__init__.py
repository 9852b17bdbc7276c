"""What runs in the process of a Python model, under whatever interpreter its user chose.

Only the standard library, numpy and this folder are there (`run.py` makes a package of it), so nothing here imports
anything else, and everything runs on Python 3.10.
"""
