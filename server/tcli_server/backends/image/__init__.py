"""Decodes pictures and brings them into the form that a model takes. Its models have no file, only a configuration."""
