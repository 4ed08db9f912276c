"""Declared builds: nagsdk.toml, nagsdk.lock, inputs and artifacts by hash."""
