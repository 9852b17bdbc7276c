"""Puts one configuration under load for a moment, and keeps what happened together with what disturbed it."""
