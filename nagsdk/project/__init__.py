"""Declared builds: nagsdk.toml, nagsdk.lock, hashes of inputs, and artifacts by hash."""
