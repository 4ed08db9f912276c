"""Lowered networks: turns a torch module into a deployable file."""
