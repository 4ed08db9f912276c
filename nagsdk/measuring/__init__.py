"""Measurements: the timing protocol, sessions, statistics, and the store that keeps them."""
