"""Lowered networks: from a torch module to a deployable file."""
