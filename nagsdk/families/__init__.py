"""Families of networks: how the choices of a search space become torch modules."""
