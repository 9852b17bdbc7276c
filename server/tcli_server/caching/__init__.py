"""Answers that are kept, so that a model need not run again on what it has seen: `--cache-config=local,size=...`."""
