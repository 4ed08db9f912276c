"""Measurements: the timing protocol, sessions, statistics, and the store of readings."""
