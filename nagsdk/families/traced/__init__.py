"""Families whose layers, couplings and weight sharing follow from a function that builds a network."""
